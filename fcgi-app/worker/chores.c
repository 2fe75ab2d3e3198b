/*
 * chores.c: statements that are sent now and then. Any number of workers may do so at once.
 */
#include "chores.h"

#include <string.h>

#include "claim.h"
#include "common/db.h"
#include "common/log.h"
#include "common/times.h"
#include "lease.h"
#include "type.h"
#include "worker.h"

#define MAINTAIN_SOON_MS 2000 /* the first upkeep after a start, at most */
#define MAINTAIN_NEXT_MS 200  /* the next, if there was too much for one */
#define TALLY_STEP "20000"

enum { TYPES, RESCUE, PROMOTE, SCHEDULE, DEADLINE, MAINTAIN, HISTORY, TALLY, N_CHORES };

struct chore {
	const char *name, *sql;
	void (*done)(const struct db_result *r, int64_t now);
	int64_t next_at;
	bool under_way;
};

static void types_done(const struct db_result *r, int64_t now);
static void rescue_done(const struct db_result *r, int64_t now);
static void promote_done(const struct db_result *r, int64_t now);
static void schedule_done(const struct db_result *r, int64_t now);
static void deadline_done(const struct db_result *r, int64_t now);
static void maintain_done(const struct db_result *r, int64_t now);
static void tally_done(const struct db_result *r, int64_t now);

static struct chore chores[N_CHORES] = {
	[TYPES] = { "reading the job types",
		    "SELECT type_id, name, timeout_ms, paused, limited, aged "
		    "FROM longhaul.worker_types($1)",
		    types_done, 0, false },
	[RESCUE] = { "rescue", "SELECT longhaul.rescue()", rescue_done, 0, false },
	[PROMOTE] = { "promote_due", "SELECT moved, next_due_ms FROM longhaul.promote_due($1)",
		      promote_done, 0, false },
	[SCHEDULE] = { "schedule_tick", "SELECT made, next_due_ms FROM longhaul.schedule_tick(100)",
		       schedule_done, 0, false },
	[DEADLINE] = { "expire_unstarted",
		       "SELECT ended, next_due_ms FROM longhaul.expire_unstarted(500)",
		       deadline_done, 0, false },
	[MAINTAIN] = { "maintain", "SELECT longhaul.maintain()", maintain_done, 0, false },
	[HISTORY] = { "report_history", "SELECT longhaul.report_history($1, $2, $3, $4, $5)", NULL,
		      0, false },
	[TALLY] = { "tally_fold", "SELECT longhaul.tally_fold(" TALLY_STEP ")", tally_done, 0,
		    false },
};

void chores_spare_others(int64_t until)
{
	if (chores[RESCUE].next_at < until)
		chores[RESCUE].next_at = until;
}

void chores_read_types(void)
{
	chores[TYPES].next_at = 0;
}

void chores_promote(void)
{
	chores[PROMOTE].next_at = 0;
}

static void take_type(struct type *t, const struct db_result *r, int row)
{
	bool paused = dbr_bool(r->res, row, 3), limited = dbr_bool(r->res, row, 4);

	if (t->limited && !limited)
		claim_look_back();
	if (t->id == 0 || t->paused != paused) {
		claim_look_back();
		lease_beat();
		log_info("type %s id=%d paused=%s", t->name, (int)dbr_int4(r->res, row, 0),
			 paused ? "yes" : "no");
	}
	t->id = dbr_int4(r->res, row, 0);
	t->timeout_ms = dbr_null(r->res, row, 2) ? 0 : dbr_int4(r->res, row, 2);
	t->paused = paused;
	t->limited = limited;
	t->aged = dbr_bool(r->res, row, 5);
	t->missing_said = false;
}

static void types_done(const struct db_result *r, int64_t now)
{
	(void)now;
	for (size_t i = 0; i < types.n; i++) {
		struct type *t = types.v[i];
		bool found = false;

		for (int row = 0; row < dbr_rows(r->res) && !found; row++) {
			found = !strcmp(dbr_text(r->res, row, 1, NULL), t->name);
			if (found)
				take_type(t, r, row);
		}
		if (found)
			continue;
		t->paused = true; /* its id is kept for jobs in hand */
		if (!t->missing_said)
			log_warning("the database has no job type %s", t->name);
		t->missing_said = true;
	}
}

static void rescue_done(const struct db_result *r, int64_t now)
{
	int n = dbr_rows(r->res) > 0 ? dbr_int4(r->res, 0, 0) : 0;

	(void)now;
	if (n <= 0)
		return;
	log_info("jobs of dead workers are queued again n=%d", n);
	claim_look_back();
}

/* An answer of two columns: for how many jobs something was done, in how many ms this chore is due again. Returns
 * the first. */
static int took_turn(struct chore *c, const struct db_result *r, int64_t now)
{
	if (dbr_rows(r->res) == 0)
		return 0;
	if (!dbr_null(r->res, 0, 1)) {
		int64_t due = now + dbr_int8(r->res, 0, 1);

		if (due < c->next_at)
			c->next_at = due;
	}
	return dbr_int4(r->res, 0, 0);
}

static void queued_some(struct chore *c, const struct db_result *r, int64_t now)
{
	if (took_turn(c, r, now) <= 0)
		return;
	claim_wake_all();
	claim_look_back();
}

static void promote_done(const struct db_result *r, int64_t now)
{
	queued_some(&chores[PROMOTE], r, now);
}

static void schedule_done(const struct db_result *r, int64_t now)
{
	queued_some(&chores[SCHEDULE], r, now);
}

static void deadline_done(const struct db_result *r, int64_t now)
{
	int n = took_turn(&chores[DEADLINE], r, now);

	if (n > 0)
		log_info("jobs were not started in time n=%d", n);
}

static void maintain_done(const struct db_result *r, int64_t now)
{
	if (dbr_rows(r->res) > 0 && dbr_bool(r->res, 0, 0) &&
	    chores[MAINTAIN].next_at > now + MAINTAIN_NEXT_MS)
		chores[MAINTAIN].next_at = now + MAINTAIN_NEXT_MS;
}

static void tally_done(const struct db_result *r, int64_t now)
{
	if (dbr_rows(r->res) > 0 && dbr_bool(r->res, 0, 0))
		chores[TALLY].next_at = now;
}

static void chore_done(void *ctx, const struct db_result *r)
{
	struct chore *c = ctx;

	c->under_way = false;
	if (r->outcome == DB_ERROR)
		log_warning("%s failed sqlstate=%s error=\"%s\"", c->name, r->sqlstate, r->message);
	else if (r->outcome == DB_OK && c->done)
		c->done(r, mono_ms());
}

static void add_names(struct db_params *p)
{
	struct pgarray names;

	pga_init(&names, DB_TEXT);
	for (size_t i = 0; i < types.n; i++)
		pga_text(&names, types.v[i]->name);
	dbp_array(p, &names);
	pga_free(&names);
}

/* What ran since the last report. A report that fails is lost: there will be more. */
static void add_history(struct db_params *p)
{
	struct pgarray ids, buckets, jobs, sizes, ran;
	struct pgarray *all[] = { &ids, &buckets, &jobs, &sizes, &ran };
	struct history_report report = { &ids, &buckets, &jobs, &sizes, &ran };

	pga_init(&ids, DB_INT4);
	pga_init(&buckets, DB_INT2);
	pga_init(&jobs, DB_INT4);
	pga_init(&sizes, DB_FLOAT8);
	pga_init(&ran, DB_FLOAT8);
	for (size_t i = 0; i < types.n; i++)
		if (types.v[i]->id != 0)
			history_take(&types.v[i]->history, types.v[i]->id, &report);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		dbp_array(p, all[i]);
		pga_free(all[i]);
	}
}

static bool has_history(void)
{
	for (size_t i = 0; i < types.n; i++)
		if (types.v[i]->id != 0 && types.v[i]->history.dirty)
			return true;
	return false;
}

static void run(struct chore *c, struct db *db, int every_ms, int64_t now)
{
	struct db_params p = { 0 };

	if (c->under_way || !db_up(db))
		return;
	if (now >= c->next_at) {
		if (c == &chores[TYPES])
			add_names(&p);
		else if (c == &chores[PROMOTE])
			dbp_int4(&p, config.promote_batch);
		else if (c == &chores[HISTORY])
			add_history(&p);
		/* A little apart from the other hosts. */
		c->next_at = now + every_ms - (int64_t)random_below((uint32_t)every_ms / 8 + 1);
		c->under_way = db_query(db, c->sql, &p, chore_done, c);
		db_params_free(&p);
	}
	worker_wake_at(c->next_at);
}

void chores_step(int64_t now)
{
	if (!lease_holds(now) || worker.draining)
		return;
	if (chores[MAINTAIN].next_at == 0)
		chores[MAINTAIN].next_at = now + (int64_t)random_below(MAINTAIN_SOON_MS);
	run(&chores[TYPES], worker.beat, config.types_ms, now);
	run(&chores[RESCUE], worker.stream, config.rescue_ms, now);
	run(&chores[PROMOTE], worker.stream, config.promote_ms, now);
	run(&chores[SCHEDULE], worker.stream, config.schedule_ms, now);
	run(&chores[DEADLINE], worker.stream, config.promote_ms, now);
	run(&chores[MAINTAIN], worker.upkeep, config.maintain_ms, now);
	run(&chores[TALLY], worker.upkeep, config.tally_ms, now);
	if (has_history())
		run(&chores[HISTORY], worker.upkeep, config.history_ms, now);
}
