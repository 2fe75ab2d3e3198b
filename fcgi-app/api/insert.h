/*
 * insert.h: putting jobs into the database, coalesced, and finding out what became of one when
 * the connection broke in the middle.
 */
#ifndef LONGHAUL_API_INSERT_H
#define LONGHAUL_API_INSERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/batch.h"
#include "common/db.h"
#include "common/ids.h"
#include "common/sha256.h"

struct app;

/* submit_batch()'s verdict on one row. */
enum insert_code {
	INSERT_CREATED = 0,
	INSERT_SEEN = 1,        /* this id was inserted before, by the same request */
	INSERT_REPLAYED = 2,    /* the idempotency key made job_id earlier */
	INSERT_KEY_REUSED = 3,  /* by another request */
	INSERT_ID_CONFLICT = 4, /* the id belongs to another request */
	INSERT_KEY_GONE = 5,    /* the key's job has been removed */
	INSERT_QUEUE_FULL = 6,
	INSERT_NO_TYPE = 7,
};

enum insert_outcome {
	INSERT_ANSWERED, /* see the answer */
	INSERT_AWAY,     /* the database is away or too busy: nothing was inserted */
	INSERT_UNKNOWN,  /* the connection broke and it could not be settled in time */
	INSERT_REFUSED,  /* the database refuses this row: nothing was inserted */
};

struct insert_answer {
	enum insert_code code;
	struct uuid job_id;
	int64_t created_ms, seq, version;
};

struct insert;
typedef void insert_fn(struct insert *row, enum insert_outcome outcome,
		       const struct insert_answer *answer);

/* One job to be. Owned by the caller until called back; texts and input stay valid until then. */
struct insert {
	struct lane_item lane;
	struct uuid id;
	int32_t type_id;
	int16_t priority;
	bool notify;         /* a client waits: name this process as the waiter */
	int64_t run_at_ms;   /* 0 = now */
	int64_t start_by_ms; /* 0 = at any time */
	const char *client, *media_type;
	const char *key, *traceparent, *request_id; /* NULL = none */
	/* URL to tell of the end (NULL = none), what links and problem types in that begin with. */
	const char *webhook, *base_url, *problem_base;
	const void *input; /* NULL = already stored in chunks */
	int64_t input_size;
	unsigned char fingerprint[SHA256_SIZE];
	insert_fn *done;
	/* here only */
	int64_t unknown_since; /* monotonic; 0 = the outcome isn't in doubt */
	int tries;
};

void insert_start(struct app *a);
void insert_stop(void);
/* False: the database is away or too much waits; nothing was inserted. Calls back later. */
bool insert_add(struct insert *row);
size_t insert_pending(void);
/* The connection for writes came up: what is in doubt is asked for again. */
void insert_resume(void);

/* For the streaming connections, which submit one row in a transaction of their own. */
extern const char insert_sql[];
void insert_encode(struct db_params *params, struct lane_item *const *items, size_t n);
bool insert_read(const PGresult *res, int i, size_t n, size_t *place, struct insert_answer *out);
void insert_made(const struct insert *row, const struct insert_answer *answer);

#endif
