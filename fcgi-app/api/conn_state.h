/*
 * conn_state.h: what conn.c and conn_input.c share. Nobody else includes it.
 */
#ifndef LONGHAUL_API_CONN_STATE_H
#define LONGHAUL_API_CONN_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "api/fcgi_records.h"
#include "api/outq.h"
#include "common/buf.h"

struct request;

enum conn_state {
	CONN_HEAD,    /* idle, or BEGIN_REQUEST and PARAMS are arriving */
	CONN_REQUEST, /* body in, answer out; `req` is NULL once the answer is complete */
	CONN_FLUSH,   /* the body is in, the answer complete; the peer hasn't taken all of it */
	CONN_LINGER,  /* refused: our side is shut; still reading, or a reset would hide the answer */
	CONN_DEAD,    /* to be closed by conn_event */
};

struct conn {
	ev_io io; /* first: the event loop hands it to conn_event */
	struct conn *prev, *next;
	enum conn_state state;
	bool working;	 /* conn_event is on the stack */
	bool keep;	 /* the peer wants the connection kept after this request */
	bool refused;	 /* linger after the answer */
	bool body_done;	 /* the empty STDIN record came */
	bool body_told;	 /* so was the handler */
	bool want_drain; /* the handler waits for the queue to shrink */
	uint16_t id;
	uint16_t content_left; /* of the STDIN record being read */
	uint8_t padding_left;
	struct fcgi_walk walk;
	struct request *req;
	struct buf in; /* received, not consumed */
	struct outq out;
	int64_t last; /* when the peer last sent or took something */
};

struct input {
	unsigned char *p;
	size_t n;
};

/* In conn.c. */
void conn_doom(struct conn *c);	  /* marks it for closing */
void conn_settle(struct conn *c); /* goes on to the next state if the present one is complete */
void conn_request_begin(struct conn *c, struct request *req);
struct request *conn_request_unlink(struct conn *c);

/* In conn_input.c. Consumes what can be consumed of this input now; the rest stays in it. */
void conn_work(struct conn *c, struct input *in);

#endif
