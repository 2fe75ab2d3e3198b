/*
 * longhaul/handler.h: the handler ABI, version 1.
 *
 * A handler does the work of one job type. It runs in a runner process, one job at a time, and
 * may block: nothing else waits for it. If it crashes, leaks or hangs, that costs one job.
 * Every function takes the job it was called for and may only be used during run(), from the
 * thread that run() was called in.
 */
#ifndef LONGHAUL_HANDLER_H
#define LONGHAUL_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LH_HANDLER_ABI 1

struct lh_job; /* opaque */

/* What is known of the job. Strings live as long as run(); empty strings, never NULL. */
struct lh_job_info {
	const char *id;         /* UUID, 36 characters */
	const char *type;       /* job type name */
	const char *client;     /* who submitted it */
	const char *media_type; /* of the input */
	int64_t input_size;     /* bytes */
	int attempt;            /* 1 = the first */
	int64_t deadline_ms;    /* wall clock, Unix milliseconds; 0 = none */
	const char *traceparent;
	const char *request_id;
	/* The lease, for handlers whose own database transaction must hold it. */
	const char *lease_boot; /* UUID, 36 characters */
	int64_t lease_fence;
};

/* Settings of the type's section in the worker's configuration. Keys in lower case. */
struct lh_settings;
const char *lh_setting(const struct lh_settings *settings, const char *key, const char *otherwise);

const struct lh_job_info *lh_job_info(const struct lh_job *job);

/* Reads input: number of bytes (1…size), 0 at its end, -1 if the job is lost or canceled. */
ssize_t lh_read(struct lh_job *job, void *data, size_t size);

/* Reports progress. total < 0 = unknown; message (UTF-8, cut at 200 bytes) may be NULL. Cheap:
 * the worker passes on the newest at its own pace. */
void lh_progress(struct lh_job *job, int64_t done, int64_t total, const char *message);

/* Appends text to the attempt's log, of which the last 64 KiB are kept, whatever becomes of the attempt. DBAs can read
 * it, the job's client if the job type says so. Cheap; what is no UTF-8 is replaced. */
void lh_log(struct lh_job *job, const void *text, size_t size);

/* Media type of the result; before the first lh_write. Default application/octet-stream. */
void lh_result_type(struct lh_job *job, const char *media_type);

/* Appends to the result. false: the job is lost or canceled, or the result is too large. */
bool lh_write(struct lh_job *job, const void *data, size_t size);

/* True once the job should stop: canceled, out of time, or its lease lost. */
bool lh_cancelled(struct lh_job *job);

enum lh_verdict {
	LH_DONE = 1,      /* the result is complete */
	LH_FAILED = 2,    /* failed for good: see lh_fail */
	LH_TRY_AGAIN = 3, /* failed, may work later: the type's retry policy decides */
	LH_CANCELED = 4,  /* stopped because lh_cancelled() */
	LH_ENDED = 5,     /* the handler's own transaction has ended the job (import_finish) */
	LH_DIED = 6, /* what did the work has died: not the job's fault, unless it happens again */
};

/* Says why, as a problem (RFC 9457): type is a short name ("invalid-input"), status 400…599, detail
 * may be NULL. errors_json: a JSON array for the member "errors", or NULL. Returns LH_FAILED. */
enum lh_verdict lh_fail(struct lh_job *job, const char *type, int status, const char *title,
			const char *detail, const char *errors_json);
/* Asks for another attempt in delay_ms (< 0: the type's backoff). Returns LH_TRY_AGAIN. */
enum lh_verdict lh_try_again(struct lh_job *job, int64_t delay_ms, const char *title,
			     const char *detail);

struct lh_handler {
	unsigned int abi; /* LH_HANDLER_ABI */
	const char *name;
	/* Once per runner process, before all else; also when a configuration is only checked, so it
	 * should have no effect on anything outside. The settings live no longer than this call.
	 * false + *error (static or malloc'ed text) refuses. May be NULL. */
	bool (*init)(const struct lh_settings *settings, void **state, const char **error);
	/* Then, before the first job: for what takes time. Refuses in the same way. May be NULL. */
	bool (*start)(void *state, const char **error);
	enum lh_verdict (*run)(struct lh_job *job, void *state);
	void (*fini)(void *state); /* may be NULL */
};

/* What a shared object NAME.so in [worker] handlers_dir must have, with the name NAME. It is refused if it
 * was made for another version of this ABI. */
extern const struct lh_handler lh_handler;

#ifdef __cplusplus
}
#endif

#endif
