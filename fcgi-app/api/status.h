/*
 * status.h: reading jobs from the database, coalesced.
 */
#ifndef LONGHAUL_API_STATUS_H
#define LONGHAUL_API_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/batch.h"
#include "api/jobrow.h"
#include "common/db.h"
#include "common/ids.h"

struct app;

enum status_outcome { STATUS_FOUND, STATUS_MISSING, STATUS_AWAY };

/* `row` is valid during the callback, NULL unless STATUS_FOUND. Another client's job is missing. */
typedef void status_fn(void *ctx, enum status_outcome outcome, const struct job_row *row);

#define STATUS_PRIMARY INT64_MAX /* as min_version: not from a standby */

/* One read. Owned by the caller until called back; then it can be used again. */
struct status_read {
	struct lane_item lane;
	struct uuid id;
	const char *client;
	int64_t min_version; /* a standby that is behind this doesn't answer */
	status_fn *done;
	void *ctx;
	bool primary; /* set here: the standby was asked already */
};

enum status_lane {
	STATUS_POLL,   /* the document; from a standby if there is one */
	STATUS_RESULT, /* with a result that is stored inline */
	STATUS_LANES,
};

void status_start(struct app *a);
void status_stop(void);
/* False: the database is away, `done` isn't called. Never calls back from inside. */
bool status_get(struct status_read *read, enum status_lane lane);
size_t status_pending(void);

#endif
