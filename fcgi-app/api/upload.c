/*
 * upload.c: large inputs, chunk by chunk; see upload.h.
 *
 * Each upload has a connection to itself from its first chunk to its commit:
 *   BEGIN, input_open, input_chunk_put …, submit_batch, COMMIT
 * Nothing of it exists for anybody else before the commit; everything else ends in ROLLBACK.
 */
#include "api/upload.h"

#include <string.h>

#include "api/app.h"
#include "api/upload_pool.h"
#include "common/log.h"
#include "common/sha256.h"
#include "common/times.h"

#define CHUNK 262144
#define QUEUE_MS 30000  /* the longest wait for a turn */
#define CONNECT_MS 3000 /* and then for the connection to come up */
#define SETTLE_EVERY_MS 100

static struct app *owner;
static size_t n_uploads;

static void send_chunk(struct upload *u);
static void settle(struct upload *u);

/* ---- the end of an upload --------------------------------------------------------------------- */

/* Ends it in this process; what statements are still under way find it over. */
static void close_upload(struct upload *u, bool clean)
{
	ev_timer_stop(owner->loop, &u->timer);
	u->state = UPLOAD_OVER;
	buf_free(&u->chunk);
	sha256_free(u->hash);
	u->hash = NULL;
	n_uploads--;
	upload_pool_leave(u, clean);
	req_unref(u->req);
}

static void finish(struct upload *u, enum upload_outcome outcome,
		   const struct insert_answer *answer)
{
	bool clean = outcome == UPLOAD_ANSWERED && u->state == UPLOAD_COMMITTING;

	if (!u->body_ended)
		req_body_discard(u->req);
	close_upload(u, clean);
	u->done(u, outcome, answer);
}

static void fail(struct upload *u, const struct db_result *why)
{
	if (why->outcome != DB_ERROR || db_is_outage(why)) {
		finish(u, UPLOAD_AWAY, NULL);
		return;
	}
	log_warning("an upload failed sqlstate=%s error=\"%s\" request=%s", why->sqlstate,
		    why->message, req_id(u->req));
	/* Class 40: deadlocks and the like; 55P03 and 57014: waited too long. Trying again may help. */
	if (strncmp(why->sqlstate, "40", 2) == 0 || strcmp(why->sqlstate, "55P03") == 0 ||
	    strcmp(why->sqlstate, "57014") == 0)
		finish(u, UPLOAD_AWAY, NULL);
	else
		finish(u, UPLOAD_REFUSED, NULL);
}

static void set_timer(struct upload *u, int ms)
{
	ev_timer_stop(owner->loop, &u->timer);
	ev_timer_set(&u->timer, ms / 1000., 0.);
	ev_timer_start(owner->loop, &u->timer);
}

/* Every statement holds the request until its callback has run. True if the upload goes on. */
static bool back_from_database(struct upload *u)
{
	bool goes_on = u->state != UPLOAD_OVER;

	req_unref(u->req);
	return goes_on;
}

static bool query(struct upload *u, const char *sql, const struct db_params *params,
		  db_done_fn *done)
{
	if (!db_query(upload_pool_db(u), sql, params, done, u))
		return false;
	req_ref(u->req);
	return true;
}

static bool command(struct upload *u, const char *sql, db_done_fn *done)
{
	if (!db_exec_simple(upload_pool_db(u), sql, done, u))
		return false;
	req_ref(u->req);
	return true;
}

/* True if what was stored is still in an open transaction, so that it will be there with the job. */
static bool still_open(struct upload *u)
{
	if (db_in_transaction(upload_pool_db(u)))
		return true;
	finish(u, UPLOAD_AWAY, NULL);
	return false;
}

/* ---- submitting what was stored --------------------------------------------------------------- */

static void committed(void *ctx, const struct db_result *result)
{
	struct upload *u = ctx;
	struct insert_answer answer = { 0 };

	if (!back_from_database(u))
		return;
	if (result->outcome == DB_OK) {
		answer = u->answer;
		finish(u, UPLOAD_ANSWERED, &answer);
	} else if (result->outcome == DB_ERROR || !result->sent) {
		fail(u, result);
	} else {
		u->state = UPLOAD_SETTLING;
		u->since = mono_ms();
		settle(u);
	}
}

static void commit(struct upload *u)
{
	u->state = UPLOAD_COMMITTING;
	if (!command(u, "COMMIT", committed))
		finish(u, UPLOAD_AWAY, NULL);
}

static bool read_answer(struct upload *u, const PGresult *res)
{
	size_t place;

	return dbr_rows(res) == 1 && insert_read(res, 0, 1, &place, &u->answer);
}

static void submitted(void *ctx, const struct db_result *result)
{
	struct upload *u = ctx;
	struct insert_answer answer;

	if (!back_from_database(u))
		return;
	if (result->outcome != DB_OK) {
		fail(u, result);
	} else if (!read_answer(u, result->res)) {
		finish(u, UPLOAD_REFUSED, NULL);
	} else if (u->answer.code == INSERT_CREATED) {
		insert_made(u->row, &u->answer);
		commit(u);
	} else {
		answer = u->answer;
		finish(u, UPLOAD_ANSWERED, &answer);
	}
}

static bool submit(struct upload *u, db_done_fn *done)
{
	struct lane_item *item = &u->row->lane;
	struct db_params params;
	bool sent;

	db_params_init(&params);
	insert_encode(&params, &item, 1);
	sent = query(u, insert_sql, &params, done);
	db_params_free(&params);
	return sent;
}

static void all_stored(struct upload *u)
{
	if (!still_open(u))
		return;
	u->state = UPLOAD_SUBMITTING;
	sha256_end(u->hash, u->row->fingerprint);
	u->hash = NULL;
	u->row->input = NULL;
	u->ready(u);
	if (!submit(u, submitted))
		finish(u, UPLOAD_AWAY, NULL);
}

/* ---- the commit's outcome is unknown: does the job exist? ----------------------------------------- */

/* The same submit again, in a transaction that is rolled back: it says whether the id was there. */
static void settled(void *ctx, const struct db_result *result)
{
	struct upload *u = ctx;
	struct insert_answer answer;

	if (!back_from_database(u))
		return;
	if (result->outcome != DB_OK || !read_answer(u, result->res)) {
		settle(u);
	} else if (u->answer.code == INSERT_CREATED) {
		finish(u, UPLOAD_AWAY, NULL);
	} else {
		answer = u->answer;
		finish(u, UPLOAD_ANSWERED, &answer);
	}
}

static void ask_again(struct upload *u)
{
	struct db *db = upload_pool_db(u);

	if (db_in_transaction(db))
		db_exec_simple(db, "ROLLBACK", NULL, NULL);
	if (!db_exec_simple(db, "BEGIN", NULL, NULL) || !submit(u, settled))
		settle(u);
}

/* Asks again in a moment, unless that has gone on for too long. */
static void settle(struct upload *u)
{
	if (mono_ms() - u->since >= owner->cfg->settle_ms) {
		finish(u, UPLOAD_UNKNOWN, NULL);
		return;
	}
	set_timer(u, SETTLE_EVERY_MS);
}

/* ---- storing chunks --------------------------------------------------------------------------------- */

/* Goes on with whatever is next: a chunk, the rest of the body, or the submit. */
static void go_on(struct upload *u)
{
	if (u->sending)
		return;
	if (u->chunk.len >= CHUNK || (u->body_ended && u->chunk.len > 0)) {
		send_chunk(u);
	} else if (u->body_ended) {
		all_stored(u);
	}
	if (u->state == UPLOAD_STORING && u->paused && u->chunk.len < CHUNK) {
		u->paused = false;
		req_body_resume(u->req);
	}
}

static void chunk_stored(void *ctx, const struct db_result *result)
{
	struct upload *u = ctx;

	u->sending = false;
	if (!back_from_database(u))
		return;
	if (result->outcome == DB_OK)
		go_on(u);
	else
		fail(u, result);
}

static void send_chunk(struct upload *u)
{
	size_t len = u->chunk.len < CHUNK ? u->chunk.len : CHUNK;
	struct db_params params;

	if (!still_open(u))
		return;

	db_params_init(&params);
	dbp_uuid(&params, &u->row->id);
	dbp_int4(&params, u->chunks);
	dbp_bytea(&params, u->chunk.data, len);
	u->sending = query(u, "SELECT longhaul.input_chunk_put($1, $2, $3)", &params, chunk_stored);
	db_params_free(&params);
	if (!u->sending) {
		finish(u, UPLOAD_AWAY, NULL);
		return;
	}
	u->chunks++;
	buf_consume(&u->chunk, len);
}

static void opened(void *ctx, const struct db_result *result)
{
	struct upload *u = ctx;

	u->sending = false;
	if (!back_from_database(u))
		return;
	if (result->outcome != DB_OK) {
		fail(u, result);
		return;
	}
	if (dbr_rows(result->res) != 1) {
		finish(u, UPLOAD_AWAY, NULL);
		return;
	}
	u->row->id = dbr_uuid(result->res, 0, 0);
	go_on(u);
}

/* Its connection is up. */
static void start_storing(struct upload *u)
{
	struct db_params params;

	ev_timer_stop(owner->loop, &u->timer);
	u->state = UPLOAD_STORING;
	db_params_init(&params);
	dbp_uuid(&params, &u->row->id);
	u->sending = db_exec_simple(upload_pool_db(u), "BEGIN", NULL, NULL) &&
		     query(u, "SELECT longhaul.input_open($1)", &params, opened);
	db_params_free(&params);
	if (!u->sending)
		finish(u, UPLOAD_AWAY, NULL);
}

/* ---- its connection ---------------------------------------------------------------------------- */

static void assigned(struct upload *u)
{
	set_timer(u, CONNECT_MS);
}

static void connection_up(struct upload *u)
{
	if (u->state == UPLOAD_QUEUED)
		start_storing(u);
}

/* Between two chunks nothing is under way that would tell; the transaction is gone all the same. */
static void connection_down(struct upload *u)
{
	if (u->state == UPLOAD_STORING)
		finish(u, UPLOAD_AWAY, NULL);
}

/* Waited too long for a connection; or it is time to ask again. */
static void timer_came(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct upload *u = w->data;

	(void)loop;
	(void)revents;
	if (u->state == UPLOAD_SETTLING)
		ask_again(u);
	else
		finish(u, u->slot ? UPLOAD_AWAY : UPLOAD_BUSY, NULL);
}

/* ---- from the request ----------------------------------------------------------------------------------- */

bool upload_begin(struct upload *u, const void *head, size_t len)
{
	u->state = UPLOAD_QUEUED;
	u->row->input_size = 0;
	ev_timer_init(&u->timer, timer_came, 0., 0.);
	u->timer.data = u;
	set_timer(u, QUEUE_MS);
	n_uploads++;
	req_ref(u->req);
	if (len > 0)
		upload_data(u, head, len);
	if (u->state == UPLOAD_OVER || upload_pool_enter(u))
		return true;
	close_upload(u, false);
	return false;
}

bool upload_data(struct upload *u, const char *data, size_t len)
{
	if (u->state == UPLOAD_OVER)
		return true;
	u->row->input_size += (int64_t)len;
	if (u->row->input_size > u->max_bytes) {
		finish(u, UPLOAD_TOO_LARGE, NULL);
		return true;
	}
	sha256_add(u->hash, data, len);
	if (!buf_add(&u->chunk, data, len)) {
		finish(u, UPLOAD_AWAY, NULL);
		return true;
	}
	if (u->state == UPLOAD_STORING)
		go_on(u);
	if (u->state == UPLOAD_OVER)
		return true;
	/* One chunk on its way and one in hand is enough. */
	u->paused = u->chunk.len >= CHUNK || u->state == UPLOAD_QUEUED;
	return !u->paused;
}

void upload_end(struct upload *u, bool complete)
{
	if (u->state == UPLOAD_OVER)
		return;
	u->body_ended = true;
	if (!complete)
		finish(u, UPLOAD_CUT_SHORT, NULL);
	else if (u->state == UPLOAD_STORING)
		go_on(u);
}

bool upload_abandon(struct upload *u)
{
	if (!u->hash || u->state == UPLOAD_OVER)
		return false;
	close_upload(u, false);
	return true;
}

size_t uploads_pending(void)
{
	return n_uploads;
}

void uploads_start(struct app *a)
{
	static const struct upload_pool_user user = { assigned, connection_up, connection_down };

	owner = a;
	upload_pool_start(a, &user);
}

void uploads_stop(void)
{
	upload_pool_stop();
}
