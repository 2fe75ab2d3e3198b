/*
 * upload_pool.c: the few database connections of uploads.
 */
#include "api/upload_pool.h"

#include <stdlib.h>

#include <ev.h>

#include "api/app.h"
#include "api/upload.h"
#include "common/db.h"
#include "common/mem.h"

#define IDLE_MS 60000 /* a connection not needed for this long is closed */

/* One connection. */
struct slot {
	struct db *db; /* NULL = none yet */
	struct upload *user;
	bool rolling_back;
	ev_timer idle;
};

static struct app *owner;
static const struct upload_pool_user *call;
static struct slot *slots;
static int n_slots;
static struct upload *waiting, **waiting_tail = &waiting;
static int n_waiting;

static void slot_idle(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct slot *slot = w->data;

	(void)loop;
	(void)revents;
	db_close(slot->db);
	slot->db = NULL;
}

static void slot_state(void *ctx, bool up)
{
	struct slot *slot = ctx;

	if (slot->user)
		(up ? call->up : call->down)(slot->user);
}

/* Begins to connect if there is no connection. */
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

/* A free one, connected if possible; NULL = all are in use. */
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

static void assign_waiting(void)
{
	struct slot *slot;

	while (waiting && (slot = slot_find()) && slot_open(slot)) {
		struct upload *u = waiting;

		unqueue(u);
		u->slot = slot;
		slot->user = u;
		ev_timer_stop(owner->loop, &slot->idle);
		call->assigned(u);
		if (db_up(slot->db))
			call->up(u);
	}
}

static void slot_free(struct slot *slot)
{
	slot->user = NULL;
	slot->rolling_back = false;
	ev_timer_set(&slot->idle, IDLE_MS / 1000., 0.);
	ev_timer_start(owner->loop, &slot->idle);
	assign_waiting();
}

static void rolled_back(void *ctx, const struct db_result *result)
{
	(void)result; /* a lost connection rolls back too */
	slot_free(ctx);
}

bool upload_pool_enter(struct upload *u)
{
	if (n_waiting >= owner->cfg->streams_queue && !slot_find())
		return false;
	u->next = NULL;
	*waiting_tail = u;
	waiting_tail = &u->next;
	n_waiting++;
	assign_waiting();
	return true;
}

void upload_pool_leave(struct upload *u, bool clean)
{
	struct slot *slot = u->slot;

	u->slot = NULL;
	if (!slot) {
		unqueue(u);
		return;
	}
	slot->user = NULL;
	slot->rolling_back = !clean && db_exec_simple(slot->db, "ROLLBACK", rolled_back, slot);
	if (!slot->rolling_back)
		slot_free(slot);
}

struct db *upload_pool_db(const struct upload *u)
{
	return u->slot ? u->slot->db : NULL;
}

void upload_pool_start(struct app *a, const struct upload_pool_user *user)
{
	owner = a;
	call = user;
	n_slots = a->cfg->streams;
	slots = mem_zalloc((size_t)n_slots * sizeof(*slots));
	for (int i = 0; i < n_slots; i++) {
		ev_timer_init(&slots[i].idle, slot_idle, 0., 0.);
		slots[i].idle.data = &slots[i];
	}
}

void upload_pool_stop(void)
{
	for (int i = 0; i < n_slots; i++) {
		ev_timer_stop(owner->loop, &slots[i].idle);
		db_close(slots[i].db);
		ev_timer_stop(owner->loop,
			      &slots[i].idle); /* what was called back may have freed it */
	}
	free(slots);
	slots = NULL;
	n_slots = 0;
}
