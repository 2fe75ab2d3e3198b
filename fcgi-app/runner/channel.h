/*
 * channel.h: a runner's end of the socket and the shared memory to its daemon.
 *
 * The runner is single and blocking: it sends and waits. When the daemon is gone there is nobody
 * left to work for, so any failure here ends the runner and whatever it has started.
 */
#ifndef LONGHAUL_RUNNER_CHANNEL_H
#define LONGHAUL_RUNNER_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/wire.h"

struct channel {
	int fd;
	struct wire_page *page;
	struct buf in; /* frames read; those before `at` are done with */
	size_t at;
	struct buf out;       /* the frame being made */
	unsigned int answers; /* in the ring since the last bell */
	int64_t bell_us;      /* when that was */
};

/* Takes over the two inherited descriptors. False and a reason in *why if they aren't there. */
bool channel_open(struct channel *ch, const char **why);

/* Waits for the next frame. *payload is valid until the next call. False: the daemon is gone. */
bool channel_next(struct channel *ch, struct wire_head *head, const char **payload);

/* Sends a frame; waits while the daemon doesn't read. */
void channel_send(struct channel *ch, enum wire_kind kind, uint32_t ticket, const void *payload,
		  size_t size);

/* Answers a job: through the ring if the answer is small and `ordered` (behind frames that were sent
 * for this job) isn't asked for. */
void channel_done(struct channel *ch, uint32_t ticket, const struct wire_done *done, bool ordered);

/* Ends the runner and its whole session. May be called from a signal handler. */
_Noreturn void channel_lost(void);

int64_t mono_us(void);

#endif
