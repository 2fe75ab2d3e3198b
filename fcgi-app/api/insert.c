/*
 * insert.c: putting jobs into the database, coalesced.
 *
 * The insert is idempotent on the job's id. So when the connection breaks while a statement is
 * under way, its rows are sent again, with the same ids, until an answer says whether they exist
 * or [api] settle_ms have passed.
 */
#include "api/insert.h"

#include <string.h>

#include <ev.h>

#include "api/app.h"
#include "api/counters.h"
#include "api/fair.h"
#include "common/log.h"
#include "common/times.h"

#define SETTLE_EVERY_MS 50
/* Deadlocks and the like: the database says itself that trying again is right. */
#define TRIES_MAX 3
/* A job that is due later than this gets its turn when it is due. A little ahead of time it counts now: the
 * database, by its clock, may take it for due. */
#define LATER_MS 60000

const char insert_sql[] =
	"SELECT * FROM longhaul.submit_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
	"$14, $15, $16, $17, $18, $19)";

static struct app *owner;
static struct lane fresh;
static struct lane again;          /* rows in doubt */
static struct lane_item *doubtful; /* rows in doubt that aren't in a lane now */
static size_t n_doubtful;
static ev_timer settle_timer;

static struct pgarray ids, type_ids, clients, priorities, run_ats, media_types, inputs, sizes, keys,
	fingerprints, waiters, traceparents, request_ids, webhooks, base_urls, problem_bases,
	start_bys, lasts, turns;

static struct {
	struct pgarray *array;
	enum db_type elem;
} const arrays[] = {
	{ &ids, DB_UUID },
	{ &type_ids, DB_INT4 },
	{ &clients, DB_TEXT },
	{ &priorities, DB_INT2 },
	{ &run_ats, DB_TIMESTAMPTZ },
	{ &media_types, DB_TEXT },
	{ &inputs, DB_BYTEA },
	{ &sizes, DB_INT8 },
	{ &keys, DB_TEXT },
	{ &fingerprints, DB_BYTEA },
	{ &waiters, DB_INT8 },
	{ &traceparents, DB_TEXT },
	{ &request_ids, DB_TEXT },
	{ &webhooks, DB_TEXT },
	{ &base_urls, DB_TEXT },
	{ &problem_bases, DB_TEXT },
	{ &start_bys, DB_TIMESTAMPTZ },
	{ &lasts, DB_INT8 },
	{ &turns, DB_INT4 },
};
#define N_ARRAYS (sizeof(arrays) / sizeof(arrays[0]))

static bool is_for_later(const struct insert *row, int64_t now)
{
	return row->run_at_ms > now + LATER_MS;
}

static void add_turn(const struct insert *row, int64_t now)
{
	struct fair_turn turn;

	if (is_for_later(row, now)) {
		pga_null(&lasts);
		pga_null(&turns);
		return;
	}
	turn = fair_next(row->type_id, row->priority, row->client);
	pga_int8(&lasts, turn.last);
	pga_int4(&turns, turn.next);
}

void insert_encode(struct db_params *params, struct lane_item *const *items, size_t n)
{
	int64_t now = now_ms();

	for (size_t k = 0; k < N_ARRAYS; k++)
		pga_reset(arrays[k].array);
	fair_begin();
	for (size_t i = 0; i < n; i++) {
		const struct insert *row = (const struct insert *)items[i];

		pga_uuid(&ids, &row->id);
		pga_int4(&type_ids, row->type_id);
		pga_text(&clients, row->client);
		pga_int2(&priorities, row->priority);
		if (row->run_at_ms)
			pga_timestamptz(&run_ats, row->run_at_ms);
		else
			pga_null(&run_ats);
		pga_text(&media_types, row->media_type);
		pga_bytea(&inputs, row->input, (size_t)row->input_size);
		pga_int8(&sizes, row->input_size);
		pga_text(&keys, row->key);
		pga_bytea(&fingerprints, row->fingerprint, sizeof(row->fingerprint));
		if (row->notify)
			pga_int8(&waiters, owner->waiter);
		else
			pga_null(&waiters);
		pga_text(&traceparents, row->traceparent);
		pga_text(&request_ids, row->request_id);
		pga_text(&webhooks, row->webhook);
		pga_text(&base_urls, row->base_url);
		pga_text(&problem_bases, row->problem_base);
		if (row->start_by_ms)
			pga_timestamptz(&start_bys, row->start_by_ms);
		else
			pga_null(&start_bys);
		add_turn(row, now);
	}
	for (size_t k = 0; k < N_ARRAYS; k++)
		dbp_array(params, arrays[k].array);
}

/* Notes whose turn it was. */
void insert_made(const struct insert *row, const struct insert_answer *answer)
{
	if (answer->code == INSERT_CREATED && !is_for_later(row, now_ms()))
		fair_took(row->type_id, row->priority, row->client, answer->seq);
}

/* Reads row i of an answer to n rows; *place is which of them it is about. False if it names none. */
bool insert_read(const PGresult *res, int i, size_t n, size_t *place, struct insert_answer *out)
{
	int32_t ord = dbr_int4(res, i, 0);

	if (ord < 1 || (size_t)ord > n)
		return false;
	*place = (size_t)ord - 1;
	out->code = (enum insert_code)dbr_int2(res, i, 1);
	out->job_id = dbr_uuid(res, i, 2);
	out->created_ms = dbr_null(res, i, 3) ? 0 : dbr_ms(res, i, 3);
	out->seq = dbr_int8(res, i, 4);
	out->version = dbr_int8(res, i, 5);
	return true;
}

/* Which job and request a row is, for a log line. Valid until the next call. */
static const char *row_text(const struct insert *row)
{
	static char text[160];
	char id[UUID_TEXT];

	uuid_format(&row->id, id);
	snprintf(text, sizeof(text), "job=%s request=%s", id,
		 row->request_id ? row->request_id : "-");
	return text;
}

static void deliver(struct lane_item *const *items, size_t n, const PGresult *res)
{
	bool answered[n];
	struct insert_answer answer;
	size_t k;

	for (k = 0; k < n; k++)
		answered[k] = false;
	for (int i = 0, rows = dbr_rows(res); i < rows; i++) {
		if (!insert_read(res, i, n, &k, &answer) || answered[k])
			continue;
		answered[k] = true;
		insert_made((struct insert *)items[k], &answer);
		((struct insert *)items[k])
			->done((struct insert *)items[k], INSERT_ANSWERED, &answer);
	}
	for (k = 0; k < n; k++) {
		struct insert *row = (struct insert *)items[k];

		if (answered[k])
			continue;
		log_error("submit_batch left out a row %s", row_text((struct insert *)items[k]));
		row->done(row, INSERT_REFUSED, NULL);
	}
}

/* ---- rows in doubt ---------------------------------------------------------------------------- */

static void doubt(struct insert *row)
{
	if (!row->unknown_since)
		row->unknown_since = mono_ms();
	row->lane.next = doubtful;
	doubtful = &row->lane;
	n_doubtful++;
	if (!ev_is_active(&settle_timer))
		ev_timer_again(owner->loop, &settle_timer);
}

/* Sends the rows in doubt again if the connection is up; gives up those that took too long. */
static void settle(void)
{
	struct lane_item *it = doubtful, *next;
	int64_t now = mono_ms();

	doubtful = NULL;
	n_doubtful = 0;
	for (; it; it = next) {
		struct insert *row = (struct insert *)it;

		next = it->next;
		if (now - row->unknown_since >= owner->cfg->settle_ms)
			row->done(row, INSERT_UNKNOWN, NULL);
		else if (!lane_add(&again, it))
			doubt(row);
	}
	if (!doubtful)
		ev_timer_stop(owner->loop, &settle_timer);
}

static void settle_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	settle();
}

void insert_resume(void)
{
	settle();
}

/* A row in doubt got no answer: it stays in doubt, whatever the reason. */
static void fail_again(struct lane_item *item, const struct db_result *why)
{
	(void)why;
	doubt((struct insert *)item);
}

static bool says_try_again(const char *sqlstate)
{
	return sqlstate[0] == '4' && sqlstate[1] == '0';
}

/* The row waited too long for another transaction, or was stopped by the statement's time limit. */
static bool says_busy(const char *sqlstate)
{
	return says_try_again(sqlstate) || strcmp(sqlstate, "55P03") == 0 ||
	       strcmp(sqlstate, "57014") == 0;
}

static void fail(struct lane_item *item, const struct db_result *why)
{
	struct insert *row = (struct insert *)item;

	if (why->outcome != DB_ERROR && why->sent) {
		doubt(row);
		return;
	}
	if (why->outcome != DB_ERROR || db_is_outage(why)) {
		row->done(row, INSERT_AWAY, NULL);
		return;
	}
	if (says_try_again(why->sqlstate) && ++row->tries < TRIES_MAX && lane_add(&fresh, item))
		return;
	log_warning("a submit failed %s sqlstate=%s error=\"%s\"", row_text(row), why->sqlstate,
		    why->message);
	row->done(row, says_busy(why->sqlstate) ? INSERT_AWAY : INSERT_REFUSED, NULL);
}

/* What waits too long for a lock waits for another transaction's key. */
static bool suspect(const struct lane_item *item, const char *sqlstate)
{
	return strcmp(sqlstate, "55P03") != 0 || ((const struct insert *)item)->key;
}

static void count_submits(size_t n)
{
	count_batch(COUNT_SUBMITS, n);
}

static const struct lane_ops fresh_ops = { insert_sql, insert_encode, deliver,      suspect,
					   fail,       false,         count_submits };
static const struct lane_ops again_ops = { insert_sql, insert_encode, deliver,      suspect,
					   fail_again, false,         count_submits };

void insert_start(struct app *a)
{
	size_t rows = (size_t)a->cfg->batch_rows, max = (size_t)a->cfg->queue_max;

	owner = a;
	for (size_t k = 0; k < N_ARRAYS; k++)
		pga_init(arrays[k].array, arrays[k].elem);
	lane_open(&fresh, &fresh_ops, a->write, rows, a->cfg->batch_bytes, max);
	/* What is in doubt was accepted into a queue once: it isn't refused for being much. */
	lane_open(&again, &again_ops, a->write, rows, a->cfg->batch_bytes, SIZE_MAX);
	ev_timer_init(&settle_timer, settle_due, 0., SETTLE_EVERY_MS / 1000.);
}

void insert_stop(void)
{
	ev_timer_stop(owner->loop, &settle_timer);
	lane_close(&fresh);
	lane_close(&again);
	for (size_t k = 0; k < N_ARRAYS; k++)
		pga_free(arrays[k].array);
}

bool insert_add(struct insert *row)
{
	row->unknown_since = 0;
	row->tries = 0;
	row->lane.bytes = row->input ? (size_t)row->input_size : 0;
	return lane_add(&fresh, &row->lane);
}

size_t insert_pending(void)
{
	return lane_pending(&fresh) + lane_pending(&again) + n_doubtful;
}
