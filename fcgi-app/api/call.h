/*
 * call.h: one database function called for one request.
 *
 * The function must be one that may be called twice: when the connection broke under it, it is called
 * again for a while, [api] settle_ms at most.
 */
#ifndef LONGHAUL_API_CALL_H
#define LONGHAUL_API_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "api/http.h"
#include "common/db.h"

struct call;
/* The rows; NULL: it failed, and that was answered (503; 504 if its outcome stayed unknown). The same struct may be
 * used for another call from here. */
typedef void call_fn(struct call *call, const PGresult *res);

/* Belongs to the request, which is kept until the call is over. */
struct call {
	struct request *req;
	bool doubted; /* it was called more than once: what it did may be the first call's work */
	/* here only */
	struct db *db;
	const char *sql;
	struct db_params params;
	call_fn *done;
	int64_t unknown_since; /* monotonic; 0 = the outcome isn't in doubt */
	ev_timer again;
};

/* An empty list of parameters for the next call_send(), which frees it. */
struct db_params *call_params(struct call *call, struct request *req);
/* Calls back later, or at once if the database is away. `sql` is static. */
void call_send(struct call *call, struct db *db, const char *sql, call_fn *done);
size_t calls_pending(void);

#endif
