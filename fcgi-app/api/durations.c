/*
 * durations.c: how long jobs usually take; see durations.h.
 */
#include "api/durations.h"

#include <stdlib.h>

#include "api/app.h"
#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"

static struct app *owner;
static struct duration_point *points; /* by type, then size */
static size_t n_points;
static int64_t asked_at; /* monotonic; 0 = never */
static bool asking;

double duration_at(const struct duration_point *p, size_t n, double bytes)
{
	size_t above = 0;
	double share;

	if (n == 0)
		return 0;
	while (above < n && p[above].bytes < bytes)
		above++;
	if (above == 0)
		return p[0].ms;
	if (above == n) {
		/* One size tells nothing about others as long as they are near it. */
		if (p[n - 1].bytes <= 0)
			return p[n - 1].ms;
		return p[n - 1].ms * bytes / p[n - 1].bytes;
	}
	share = (bytes - p[above - 1].bytes) / (p[above].bytes - p[above - 1].bytes);
	return p[above - 1].ms + share * (p[above].ms - p[above - 1].ms);
}

static void history_came(void *ctx, const struct db_result *result)
{
	int n;

	(void)ctx;
	asking = false;
	if (result->outcome != DB_OK) {
		if (result->outcome == DB_ERROR)
			log_warning("the history of durations can't be read sqlstate=%s",
				    result->sqlstate);
		return;
	}
	n = dbr_rows(result->res);
	points = mem_realloc(points, (size_t)n + 1, sizeof(*points));
	n_points = (size_t)n;
	for (int i = 0; i < n; i++) {
		points[i].type_id = dbr_int4(result->res, i, 0);
		points[i].bytes = dbr_float8(result->res, i, 1);
		points[i].ms = dbr_float8(result->res, i, 2);
	}
}

static void refresh(void)
{
	int64_t now = mono_ms();

	if (asking || (asked_at && now - asked_at < owner->cfg->history_refresh_ms))
		return;
	asked_at = now;
	asking = db_query(owner->side, "SELECT * FROM longhaul.history()", NULL, history_came,
			  NULL);
}

double duration_of(int32_t type_id, int64_t input_size)
{
	size_t from = 0, to;

	refresh();
	while (from < n_points && points[from].type_id != type_id)
		from++;
	for (to = from; to < n_points && points[to].type_id == type_id;)
		to++;
	return duration_at(points + from, to - from, (double)input_size);
}

void durations_start(struct app *a)
{
	owner = a;
}

void durations_stop(void)
{
	free(points);
	points = NULL;
	n_points = 0;
}
