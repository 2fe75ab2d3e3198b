/*
 * standby.c: whether the standby that polls may ask is recent enough; see standby.h.
 */
#include "api/standby.h"

#include <string.h>

#include <ev.h>

#include "api/app.h"
#include "common/db.h"
#include "common/log.h"
#include "common/times.h"

#define LOOKS 8 /* in the time that a standby may be behind */
#define LOOK_MIN_MS 20
#define LOOK_MAX_MS 1000

static const char position_sql[] = "SELECT timeline, lsn FROM longhaul.wal_position()";

static struct app *owner;
static ev_timer look;
static bool asking, good;
static int64_t recent_at; /* monotonic: what the standby shows is no older than this; 0 = unknown */

/* Where the primary was, until the standby has come that far. */
static struct {
	bool known;
	int64_t at; /* when it was asked */
	int64_t lsn;
	char timeline[9];
} mark;

static void judge(void)
{
	int64_t age = mono_ms() - recent_at;
	bool now_good = recent_at != 0 && age <= owner->cfg->standby_lag_ms;

	/* Nothing can change while there is no primary, as far as we know; and it is all that there is. */
	if (now_good == good || !db_up(owner->side))
		return;
	good = now_good;
	if (good)
		log_info("polls go to the standby");
	else
		log_warning("the standby is behind or away: polls go to the primary");
}

/* One that writes a log of its own shows what the primary has only if it is the primary. */
static bool has_reached(const PGresult *res)
{
	const char *timeline = dbr_null(res, 0, 0) ? NULL : dbr_text(res, 0, 0, NULL);

	return (!timeline || strcmp(timeline, mark.timeline) == 0) &&
	       dbr_int8(res, 0, 1) >= mark.lsn;
}

static void standby_came(void *ctx, const struct db_result *result)
{
	(void)ctx;
	asking = false;
	if (result->outcome == DB_OK && dbr_rows(result->res) == 1 && mark.known &&
	    has_reached(result->res)) {
		recent_at = mark.at;
		mark.known = false;
	}
	judge();
}

static void ask_standby(void)
{
	asking = db_query(owner->replica, position_sql, NULL, standby_came, NULL);
	if (!asking)
		judge();
}

static void primary_came(void *ctx, const struct db_result *result)
{
	(void)ctx;
	asking = false;
	if (result->outcome != DB_OK || dbr_rows(result->res) != 1 || dbr_null(result->res, 0, 0))
		return;
	mark.known = true;
	mark.lsn = dbr_int8(result->res, 0, 1);
	strncpy(mark.timeline, dbr_text(result->res, 0, 0, NULL), sizeof(mark.timeline) - 1);
	ask_standby();
}

/* A mark stays until the standby has passed it: one that is steadily behind by less than it may be would
 * never reach the newest. But an old one of another primary would never be reached. */
static void look_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	if (asking)
		return;
	judge();
	if (mark.known && mono_ms() - mark.at <= owner->cfg->standby_lag_ms) {
		ask_standby();
		return;
	}
	mark.known = false;
	mark.at = mono_ms();
	asking = db_query(owner->side, position_sql, NULL, primary_came, NULL);
}

void standby_state(void *ctx, bool up)
{
	(void)ctx;
	(void)up;
	recent_at = 0;
	mark.known = false;
	judge();
}

bool standby_good(void)
{
	return good;
}

void standby_start(struct app *a)
{
	int ms = a->cfg->standby_lag_ms / LOOKS;

	owner = a;
	if (!a->replica)
		return;
	ms = ms < LOOK_MIN_MS ? LOOK_MIN_MS : ms > LOOK_MAX_MS ? LOOK_MAX_MS : ms;
	ev_timer_init(&look, look_due, 0., ms / 1000.);
	ev_timer_start(a->loop, &look);
}

void standby_stop(void)
{
	ev_timer_stop(owner->loop, &look);
	asking = good = mark.known = false;
	recent_at = 0;
}
