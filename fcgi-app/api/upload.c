/*
 * upload.c: large inputs, chunk by chunk; see upload.h.
 *
 * Each upload has a connection to itself from its first chunk to its commit:
 *   BEGIN, input_open, input_chunk_put …, submit_batch, COMMIT
 * Nothing of it exists for anybody else before the commit; everything else ends in ROLLBACK.
 */
#include "api/upload.h"

#include <stdlib.h>
#include <string.h>

#include "api/app.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/sha256.h"
#include "common/times.h"

#define CHUNK 262144
#define QUEUE_MS 30000  /* the longest wait for a turn */
#define CONNECT_MS 3000 /* and then for the connection to come up */
#define SETTLE_EVERY_MS 100
#define SLOT_IDLE_MS 60000 /* a connection not needed for this long is closed */

/* One connection, made when first needed. */
struct slot {
	struct db *db; /* NULL = none yet */
	struct upload *user;
	bool rolling_back;
	ev_timer idle;
};

static struct app *owner;
static struct slot *slots;
static int n_slots;
static struct upload *waiting, **waiting_tail = &waiting;
static int n_waiting;
static size_t n_uploads;

static void assign_waiting(void);
static void send_chunk(struct upload *u);
static void settle(struct upload *u);

/* ---- the pool --------------------------------------------------------------------------------- */

static void slot_idle(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct slot *slot = w->data;

	(void)loop;
	(void)revents;
	db_close(slot->db);
	slot->db = NULL;
}

static void slot_free(struct slot *slot)
{
	slot->user = NULL;
	slot->rolling_back = false;
	ev_timer_set(&slot->idle, SLOT_IDLE_MS / 1000., 0.);
	ev_timer_start(owner->loop, &slot->idle);
	assign_waiting();
}

static void rolled_back(void *ctx, const struct db_result *result)
{
	(void)result; /* a lost connection rolls back too */
	slot_free(ctx);
}

/* Gives the connection back, without what may be open in its transaction. */
static void slot_release(struct slot *slot)
{
	slot->user = NULL;
	slot->rolling_back = db_exec_simple(slot->db, "ROLLBACK", rolled_back, slot);
	if (!slot->rolling_back)
		slot_free(slot);
}

/* The upload needs its connection no more. The transaction, if there is one, is over: `clean`. */
static void let_slot_go(struct upload *u, bool clean)
{
	struct slot *slot = u->slot;

	u->slot = NULL;
	if (!slot)
		return;
	if (clean)
		slot_free(slot);
	else
		slot_release(slot);
}

static void unqueue(struct upload *u)
{
	struct upload **at = &waiting;

	while (*at && *at != u)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = u->next;
	if (!u->next)
		waiting_tail = at;
	n_waiting--;
}

/* ---- the end of an upload --------------------------------------------------------------------- */

/* Ends it in this process; what statements are still under way find it over. */
static void close_upload(struct upload *u, bool clean)
{
	ev_timer_stop(owner->loop, &u->timer);
	if (u->state == UPLOAD_QUEUED)
		unqueue(u);
	u->state = UPLOAD_OVER;
	buf_free(&u->chunk);
	sha256_free(u->hash);
	u->hash = NULL;
	n_uploads--;
	let_slot_go(u, clean);
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
	log_warning("an upload failed: sqlstate=%s: %s request=%s", why->sqlstate, why->message,
		    req_id(u->req));
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
	if (!db_query(u->slot->db, sql, params, done, u))
		return false;
	req_ref(u->req);
	return true;
}

static bool command(struct upload *u, const char *sql, db_done_fn *done)
{
	if (!db_exec_simple(u->slot->db, sql, done, u))
		return false;
	req_ref(u->req);
	return true;
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
	struct db *db = u->slot->db;

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
	if (dbr_rows(result->res) != 1 || !db_in_transaction(u->slot->db)) {
		finish(u, UPLOAD_AWAY, NULL); /* chunks without a job must not stay */
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
	u->sending = db_exec_simple(u->slot->db, "BEGIN", NULL, NULL) &&
		     query(u, "SELECT longhaul.input_open($1)", &params, opened);
	db_params_free(&params);
	if (!u->sending)
		finish(u, UPLOAD_AWAY, NULL);
}

/* ---- getting a connection ---------------------------------------------------------------------------- */

static void slot_state(void *ctx, bool up)
{
	struct slot *slot = ctx;

	if (up && slot->user && slot->user->state == UPLOAD_QUEUED)
		start_storing(slot->user);
}

static bool slot_open(struct slot *slot)
{
	const struct database_config *database = &owner->cfg->database;
	struct db_config config = {
		.conninfo = database->conninfo,
		.application_name = "longhaul-api upload",
		.prepared = database->prepared,
		.reconnect_min_ms = database->reconnect_min_ms,
		.reconnect_max_ms = database->reconnect_max_ms,
		.connect_timeout_ms = database->connect_timeout_ms,
		.query_timeout_ms = database->query_timeout_ms,
		.statement_timeout_ms = database->statement_timeout_ms,
	};

	if (!slot->db)
		slot->db = db_open(owner->loop, &config, "upload", slot_state, slot);
	return slot->db != NULL;
}

static struct slot *slot_find(void)
{
	struct slot *found = NULL;

	for (int i = 0; i < n_slots; i++) {
		if (slots[i].user || slots[i].rolling_back)
			continue;
		if (slots[i].db && db_up(slots[i].db))
			return &slots[i];
		if (!found)
			found = &slots[i];
	}
	return found;
}

static void assign_waiting(void)
{
	struct slot *slot;

	while (waiting && (slot = slot_find()) && slot_open(slot)) {
		struct upload *u = waiting;

		unqueue(u);
		u->slot = slot;
		slot->user = u;
		ev_timer_stop(owner->loop, &slot->idle);
		if (db_up(slot->db))
			start_storing(u);
		else
			set_timer(u, CONNECT_MS);
	}
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
	if (n_waiting >= owner->cfg->streams_queue && !slot_find())
		return false;
	u->state = UPLOAD_QUEUED;
	u->row->input_size = 0;
	n_uploads++;
	req_ref(u->req);
	ev_timer_init(&u->timer, timer_came, 0., 0.);
	u->timer.data = u;
	set_timer(u, QUEUE_MS);
	u->next = NULL;
	*waiting_tail = u;
	waiting_tail = &u->next;
	n_waiting++;
	if (len > 0)
		upload_data(u, head, len);
	assign_waiting();
	return true;
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
	owner = a;
	n_slots = a->cfg->streams;
	slots = mem_zalloc((size_t)n_slots * sizeof(*slots));
	for (int i = 0; i < n_slots; i++) {
		ev_timer_init(&slots[i].idle, slot_idle, 0., 0.);
		slots[i].idle.data = &slots[i];
	}
}

void uploads_stop(void)
{
	for (int i = 0; i < n_slots; i++) {
		ev_timer_stop(owner->loop, &slots[i].idle);
		db_close(slots[i].db);
	}
	free(slots);
	slots = NULL;
	n_slots = 0;
}
