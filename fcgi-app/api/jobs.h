/*
 * jobs.h: what the jobs side of the API process offers to the transport.
 */
#ifndef LONGHAUL_API_JOBS_H
#define LONGHAUL_API_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/http.h"

struct app;

/* Opens the database connections and starts reading the job types; never blocks on them. False
 * only when memory, randomness or the configuration is at fault (logged). */
bool app_start(struct app *app);
/* Calls `go` from the loop, once: when app_ready() is true, or after longest_ms. */
void app_when_ready(struct app *app, int longest_ms, void (*go)(void));
/* Answers what is parked, refuses to park more and calls `done` once nothing is under way in the
 * database for any request. */
void app_drain(struct app *app, void (*done)(void));
/* Closes the connections and frees everything; for a clean exit after app_drain(). */
void app_stop(struct app *app);
/* True when a submit would be tried now: connected and the job types are known. */
bool app_ready(const struct app *app);

/* One job type as the API needs it. Stays valid until the control returns to the event loop:
 * keep type_id across callbacks and look it up again. */
struct job_type {
	int32_t type_id;
	char *name;
	char *submit_path; /* "/accounts/bulk-import" */
	char *collection;  /* "import-jobs" */
	int32_t wait_ms;
	char *media_types; /* comma separated, as in Accept-Post; "text/" + star and star/star are patterns */
	int64_t max_input_bytes;
	int64_t retention_s;
	int32_t poll_min_ms;
	int32_t poll_max_ms;
	bool paused;
	int64_t max_queued;          /* -1: no limit */
	int32_t default_estimate_ms; /* -1: unknown */
	bool log_for_clients;
	char *description; /* for people; "" = none */
};
/* `path` is what follows /v1, beginning with '/'; `seg` one path segment. NULL if there is none. */
const struct job_type *type_by_submit_path(const char *path);
const struct job_type *type_by_collection(const char *seg);
const struct job_type *type_by_id(int32_t type_id);
const struct job_type *type_by_name(const char *name);
/* False until the types were read for the first time: an unknown path is then a 503, not a 404. */
bool types_known(void);
/* Walks the types: i = 0, 1, …; NULL at the end. */
const struct job_type *type_at(int i);
/* Grows whenever something has changed of what clients are told of the types. */
uint64_t types_version(void);

/* Finds the client that an API key (by its SHA-256) belongs to. `done` is called once, maybe at
 * once: outcome 1 = found, 0 = no such key, -1 = the database is away. */
typedef void client_key_fn(void *ctx, int outcome, const char *client);
void client_key_lookup(const unsigned char sha256[32], client_key_fn *done, void *ctx);

/*
 * Handlers. m->seg[0] is the job's id (as it came, decoded) wherever the route has one; m->type_id
 * is the type of the submit path or of the collection, 0 for /v1/jobs and /v1/operations/{id}.
 */
route_handler submit_handle;        /* POST /v1{submit path} */
route_handler job_get_handle;       /* GET, HEAD /v1/{collection}/{id} */
route_handler events_handle;        /* GET, HEAD /v1/{collection}/{id}/events */
route_handler feed_handle;          /* GET, HEAD /v1/jobs/events */
route_handler result_get_handle;    /* GET, HEAD /v1/{collection}/{id}/results */
route_handler attempts_handle;      /* GET, HEAD /v1/{collection}/{id}/attempts */
route_handler log_handle;           /* GET, HEAD /v1/{collection}/{id}/log */
route_handler cancel_handle;        /* POST /v1/{collection}/{id}/cancel */
route_handler retry_handle;         /* POST /v1/{collection}/{id}/retry */
route_handler delete_handle;        /* DELETE /v1/{collection}/{id} */
route_handler list_type_handle;     /* GET /v1/{collection} */
route_handler list_all_handle;      /* GET /v1/jobs */
route_handler operation_get_handle; /* GET /v1/operations/{id} */

#endif
