/*
 * upload.h: inputs too large for a batched submit. They go chunk by chunk over one of a few extra
 * connections, as fast as the database takes them, in one transaction with the job.
 */
#ifndef LONGHAUL_API_UPLOAD_H
#define LONGHAUL_API_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "api/http.h"
#include "api/insert.h"
#include "common/buf.h"

struct app;
struct sha256;
struct slot;

enum upload_state {
	UPLOAD_QUEUED,  /* waits for a connection, or for its connection to come up */
	UPLOAD_STORING, /* chunks go in */
	UPLOAD_SUBMITTING,
	UPLOAD_COMMITTING,
	UPLOAD_SETTLING, /* the connection broke at the commit: asks whether the job exists */
	UPLOAD_OVER,
};

enum upload_outcome {
	UPLOAD_ANSWERED,  /* see the answer; INSERT_CREATED is committed */
	UPLOAD_AWAY,      /* nothing was stored */
	UPLOAD_BUSY,      /* likewise: too many uploads are under way */
	UPLOAD_UNKNOWN,   /* the commit's outcome could not be settled */
	UPLOAD_REFUSED,   /* the database refuses it: nothing was stored */
	UPLOAD_TOO_LARGE, /* likewise: more than max_bytes came */
	UPLOAD_CUT_SHORT, /* likewise: the body ended before its Content-Length */
};

/* A member of the submit's state, in its request's memory. The first group is the caller's. */
struct upload {
	struct request *req;
	struct insert *row;  /* what to submit; id, size and fingerprint are filled in here */
	struct sha256 *hash; /* the fingerprint so far; taken over */
	int64_t max_bytes;
	/* The input is complete and about to be submitted under row->id. */
	void (*ready)(struct upload *u);
	/* Called once, unless the upload was abandoned. */
	void (*done)(struct upload *u, enum upload_outcome outcome,
		     const struct insert_answer *answer);

	enum upload_state state;
	struct slot *slot;   /* its connection */
	struct upload *next; /* while it waits for a connection; both are the pool's */
	struct buf chunk;
	int32_t chunks; /* sent to the database */
	bool sending, paused, body_ended;
	struct insert_answer answer;
	int64_t since; /* monotonic: of the state's beginning */
	ev_timer timer;
};

void uploads_start(struct app *a);
void uploads_stop(void);
size_t uploads_pending(void);

/* Takes a request's body over. `head`: what was read of it before. Then the caller passes on what
 * its body callbacks get. False: too many wait, nothing was begun. */
bool upload_begin(struct upload *u, const void *head, size_t len);
bool upload_data(struct upload *u, const char *data, size_t len); /* false: pause */
void upload_end(struct upload *u, bool complete);
/* The client left. True: the upload ended with that, done() isn't called. False: it was over, never
 * begun, or all of it was there and it goes on to its end. */
bool upload_abandon(struct upload *u);

#endif
