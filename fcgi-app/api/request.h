/*
 * request.h: what the transport knows of a request. Handlers see http.h only.
 *
 * Who owns a request: the connection holds one reference from its creation until the answer is
 * complete or the client has left; handlers may hold more. Without references it goes to the
 * graveyard, which is emptied once per turn of the event loop, so that a handler may still touch
 * its request after it has answered, until it returns.
 */
#ifndef LONGHAUL_API_REQUEST_H
#define LONGHAUL_API_REQUEST_H

#include "api/http.h"

struct conn;
struct arena_block;
struct path;

struct param {
	const char *name, *value;
	uint32_t name_len;
};

/* The body's way from the connection to the handler. */
enum body_mode {
	BODY_WAITING,   /* nobody has asked for it yet */
	BODY_READING,   /* data() takes it */
	BODY_PAUSED,    /* data() has had enough for now */
	BODY_DISCARDED, /* read and dropped */
};

struct request_body {
	enum body_mode mode;
	body_data_fn *data;
	body_end_fn *end;
	void *ctx;
	int64_t length; /* declared; -1 = not */
	int64_t got;    /* bytes that arrived */
	bool resumed;   /* req_body_resume came while data() was running */
};

/* The answer as far as it is made. */
struct reply {
	int status; /* 0: none yet */
	char *head; /* header lines, without the status line and those that are made at the end */
	size_t head_len, head_cap;
	bool nosniff; /* X-Content-Type-Options, Cache-Control, Retry-After are among them */
	bool cache_control;
	bool retry_after;
	bool streaming;
	int64_t length, sent; /* streaming: declared (-1 = not) and written */
	void (*drain)(struct request *, void *);
	void *drain_ctx;
};

struct request {
	struct conn *conn; /* NULL once the client has left or the answer is complete */
	struct request *next_dead;
	int refs;
	enum http_method method;
	const char *method_name, *path, *query, *client, *base_url;
	const struct path *path_parts; /* the router's */
	char id[33];
	bool base_url_known;
	bool parked, waiting, stream; /* counted as such: see counters.h */
	int route;                    /* the router's row, from 1; 0 = none of them */
	double begun;
	struct request_body body;
	struct reply reply;
	void (*gone)(struct request *, void *);
	void *gone_ctx;
	void (*release)(void *);
	void *release_ctx;
	struct arena_block *arena;
	int nparams;
	struct param params[];
};

/* A request with one reference, made of "NAME=value" strings, which are copied. Never NULL. */
struct request *request_new(char *const *envp);
/* Cuts it from its connection; `gone` is called if the answer wasn't complete. Drops the reference. */
void request_detach(struct request *req, bool client_left);
/* An answer has begun: it waits no longer. */
void request_unparked(struct request *req);
/* Frees what has no references any more. Called between two turns of the event loop. */
void request_bury(void);

/* How a request's header is called among the parameters: "If-Match" → "HTTP_IF_MATCH". False if it
 * doesn't fit. */
bool header_param_name(const char *header, char *out, size_t size);
/* CONTENT_LENGTH as a number; -1 if absent, empty or nonsense. */
int64_t content_length_parse(const char *text);
/* nginx's $msec, "1764000000.123", as milliseconds. */
bool msec_parse(const char *text, int64_t *ms);
/* A name that the request carries for its client; it must live as long as the request. */
void request_set_client(struct request *req, const char *client);

#endif
