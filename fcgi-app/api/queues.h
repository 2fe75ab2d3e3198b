/*
 * queues.h: what the process remembers of the queues' state, and waking the workers.
 */
#ifndef LONGHAUL_API_QUEUES_H
#define LONGHAUL_API_QUEUES_H

#include <stdbool.h>
#include <stdint.h>

#include "api/jobs.h"
#include "api/pacing.h"

struct app;

void queues_start(struct app *a);
void queues_stop(void);

/* The newest state known of a type's queue (valid until the loop runs on); has the database asked
 * again if it is older than [api] state_refresh_ms. Never NULL; `known` may be false. */
const struct queue_view *queue_view_of(int32_t type_id);
/* Can a job that the client submits now begin within budget_ms? If not, waiting for it is pointless. `asked`: the
 * client wants to wait; then only what is known for sure counts. */
enum queue_verdict {
	QUEUE_FINE,     /* it can, for all that is known */
	QUEUE_TOO_DEEP, /* it can't */
	QUEUE_ASKED, /* the database has been asked; wait_reconsider() is called when it has answered */
};
enum queue_verdict queue_too_deep(const struct job_type *type, const char *client,
				  int64_t budget_ms, bool asked);
/* True if the type's limit of queued jobs is known to be reached. */
bool queue_is_full(const struct job_type *type);

/* Pacing of a job by what is known now. */
void queue_pace(const struct job_row *row, const struct job_type *type, struct pace *out);

/* Jobs of this type were queued: tells the workers, at once or, if that was just done, a moment
 * later together with others. */
void queue_wake(int32_t type_id);

#endif
