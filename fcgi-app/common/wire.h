/*
 * wire.h: what the worker daemon and its runner processes say to each other.
 *
 * A runner is started with two descriptors: WIRE_FD_SOCKET, a stream socket on which frames go both
 * ways, and WIRE_FD_PAGE, a piece of shared memory (struct wire_page). Both ends are the same machine
 * and the same build, so numbers are in host order and structures are copied as they are.
 *
 * Jobs are handed out in WIRE_JOB frames, several at a time when they are short. A frame only offers a
 * job: before the runner begins it, it has to turn the job's ticket in the page from OFFERED into BEGUN,
 * and the daemon can turn it from OFFERED into WITHDRAWN meanwhile. So the daemon takes back what was not
 * begun from a runner that is busy or dead, without asking it, and knows of a dead one which job it was in.
 *
 * Small answers go into the ring of the page, so they outlive a crash in the next job and cost no system
 * call; a WIRE_BELL frame says that there are some. Progress and the wish to stop a job are plain fields.
 *
 * The daemon believes nothing that it reads from a runner: sizes are checked, tickets are looked up.
 */
#ifndef LONGHAUL_WIRE_H
#define LONGHAUL_WIRE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "ids.h"

#define WIRE_FD_SOCKET 3
#define WIRE_FD_PAGE 4
#define WIRE_ORPHANED SIGPWR /* the signal that a runner gets when its daemon dies */

#define WIRE_INLINE 65536 /* inputs and results up to this travel inside the job's frames */
#define WIRE_CHUNK 262144 /* larger ones in pieces of exactly this, but the last */
#define WIRE_FRAME_MAX (WIRE_CHUNK + 65536)
#define WIRE_TICKETS 128      /* jobs that a runner can hold */
#define WIRE_RING 32768       /* bytes of answers; a power of two */
#define WIRE_RING_RECORD 4096 /* larger answers go over the socket */
#define WIRE_MESSAGE 200      /* bytes of a progress message */
#define WIRE_ERROR_MAX 32768  /* bytes of a problem document */
#define WIRE_LOG 65536        /* bytes of a job's log: its end; a power of two */

enum wire_kind {
	/* daemon to runner */
	WIRE_SETUP = 1, /* struct wire_setup; once, first */
	WIRE_JOB,       /* struct wire_job */
	WIRE_INPUT,     /* the next chunk of the input; empty = its end */
	WIRE_STOP,      /* the page's stop field has changed: for a runner that waits for input */
	/* runner to daemon */
	WIRE_READY,   /* the handler's init succeeded */
	WIRE_REFUSED, /* it didn't; the payload is the reason */
	WIRE_WANT,    /* send the next chunk of the input */
	WIRE_RESULT,  /* a chunk of the result */
	WIRE_DONE,    /* struct wire_done */
	WIRE_BELL,    /* look into the ring */
	/* daemon to courier: see wire_courier.h */
	WIRE_COURIER, /* struct wire_courier; once, first */
	WIRE_POST,    /* struct wire_post */
	WIRE_FORGET,  /* give up the post of this ticket; no answer is wanted */
	/* courier to daemon */
	WIRE_POSTED, /* struct wire_posted */
};

struct wire_head {
	uint32_t size; /* of the payload */
	uint32_t kind;
	uint32_t ticket; /* of the job meant; 0 = none */
};

/* Adds a frame; false when memory ends. */
bool wire_put(struct buf *out, enum wire_kind kind, uint32_t ticket, const void *payload,
	      size_t size);
/* Looks at the first frame of `data`. 1: it is whole, *payload points into data; 0: more bytes are
 * needed; -1: this can't be a frame. *head is set unless 0 is returned for want of a whole head. */
int wire_next(const char *data, size_t len, struct wire_head *head, const char **payload);

/* Has `take` deal with the whole frames at the front of a buffer, and drops them. False: what is there can't be a frame,
 * or take() said so. */
bool wire_frames(struct buf *in, bool (*take)(const struct wire_head *head, const char *payload));

struct wire_setup {
	int64_t result_max; /* bytes of a result; 0 = no limit */
	int32_t log_level;
	struct uuid boot;
	const char *handler, *type;
	const char *
		settings; /* key NUL value NUL …, ended by an empty key; inside the payload once read */
	size_t settings_len; /* with that last NUL */
};

bool wire_put_setup(struct buf *out, const struct wire_setup *setup);
bool wire_get_setup(const char *payload, size_t size, struct wire_setup *setup);

struct wire_job {
	struct uuid id;
	int64_t fence, input_size, deadline_ms;
	int32_t attempt;
	const char *client, *media_type, *traceparent, *request_id; /* never NULL */
	const char *input; /* NULL = in chunks, to be asked for */
	size_t input_len;
};

bool wire_put_job(struct buf *out, uint32_t ticket, const struct wire_job *job);
bool wire_get_job(const char *payload, size_t size, struct wire_job *job);

/* How a job ended. The verdicts are those of the handler ABI (enum lh_verdict). */
struct wire_done {
	int32_t verdict;
	bool chunked;    /* the result went before in WIRE_RESULT frames */
	bool progressed; /* done, total, message were reported */
	int64_t ran_us;
	int64_t retry_ms;                         /* -1 = by the type's backoff */
	int64_t result_size;                      /* bytes, also of a chunked one; -1 = none */
	int64_t done, total;                      /* total -1 = unknown */
	const char *message, *media_type, *error; /* never NULL; "" = none */
	const char *result;                       /* inline; NULL = none or chunked */
	size_t result_len;
	const char *log; /* as far as log_len says; anything may be in it */
	size_t log_len;
	bool log_cut; /* more was logged, before that */
};

bool wire_put_done(struct buf *out, uint32_t ticket, const struct wire_done *done);
bool wire_get_done(const char *payload, size_t size, struct wire_done *done);

enum wire_ticket_state {
	WIRE_OFFERED = 1, /* daemon: may be begun */
	WIRE_BEGUN,       /* runner: is, or was, run */
	WIRE_WITHDRAWN,   /* daemon: must not be begun any more */
};

enum wire_stop {
	WIRE_GO_ON = 0,
	WIRE_STOP_CANCEL,
	WIRE_STOP_TIMEOUT,
	WIRE_STOP_LOST,
};

/* The shared memory. Each field has one writer, but for the tickets. */
struct wire_page {
	/* Ticket t lives in t % WIRE_TICKETS as t << 8 | state: an old frame whose place was given to a
	 * later ticket doesn't match any more. */
	_Atomic uint64_t tickets[WIRE_TICKETS];
	_Atomic uint64_t stop;         /* daemon: ticket << 8 | enum wire_stop */
	_Atomic uint32_t running;      /* runner: ticket being run; 0 = none */
	_Atomic int64_t began_us;      /* runner: since when, on the monotonic clock */
	_Atomic uint32_t progress_seq; /* runner: odd while it writes the fields below */
	uint32_t progress_ticket;
	int64_t progress_done, progress_total;
	uint32_t progress_len;
	char progress_message[WIRE_MESSAGE];
	/* runner: what the job logs stays here until its answer takes it along; if there is none, the daemon fetches
	 * it from what is left. */
	_Atomic uint64_t log_bytes; /* logged by log_ticket altogether */
	_Atomic uint32_t log_ticket;
	char log[WIRE_LOG];
	_Atomic uint32_t ring_head; /* runner: bytes ever written */
	_Atomic uint32_t ring_tail; /* daemon: bytes ever read */
	char ring[WIRE_RING];
};

void wire_offer(struct wire_page *page, uint32_t ticket); /* daemon, before the frame is sent */
bool wire_begin(struct wire_page *page, uint32_t ticket); /* runner; false: withdrawn, leave it */
bool wire_withdraw(struct wire_page *page, uint32_t ticket); /* daemon; false: it was begun */
bool wire_has_begun(struct wire_page *page, uint32_t ticket);

void wire_stop(struct wire_page *page, uint32_t ticket, enum wire_stop why);
enum wire_stop wire_stopped(struct wire_page *page, uint32_t ticket);

/* Runner: appends bytes (whole frames) to the ring; false if they don't fit now. */
bool wire_ring_put(struct wire_page *page, const void *data, size_t len);
/* Runner: bytes that the daemon hasn't fetched yet. */
size_t wire_ring_used(struct wire_page *page);
/* Daemon: moves all bytes to `out`; *tail is its own count of bytes read. False: the ring is corrupt
 * or memory ended. */
bool wire_ring_get(struct wire_page *page, uint32_t *tail, struct buf *out);

/* Runner: the log is this ticket's from now on, and empty; appends to it. */
void wire_log_begin(struct wire_page *page, uint32_t ticket);
void wire_log_add(struct wire_page *page, const char *data, size_t len);
/* Either side: appends what is kept of the log of that ticket; *cut: there was more before it. False when memory ends. */
bool wire_log_get(struct wire_page *page, uint32_t ticket, struct buf *out, bool *cut);

struct wire_progress {
	int64_t done, total; /* total -1 = unknown */
	char message[WIRE_MESSAGE + 1];
};

/* Runner: the newest progress. `len` ≤ WIRE_MESSAGE bytes of UTF-8. */
void wire_progress_set(struct wire_page *page, uint32_t ticket, int64_t done, int64_t total,
		       const char *message, size_t len);
/* Daemon: a changed progress of that ticket; *seen remembers the last one read (0 = none). False:
 * nothing new, or just being written. */
bool wire_progress_get(struct wire_page *page, uint32_t ticket, uint32_t *seen,
		       struct wire_progress *out);

#endif
