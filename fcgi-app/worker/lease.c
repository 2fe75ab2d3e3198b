/*
 * lease.c: registers the worker, renews its lease, and lets go of everything when it is lost.
 */
#include "lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chores.h"
#include "claim.h"
#include "common/db.h"
#include "common/exit_codes.h"
#include "common/log.h"
#include "common/schema.h"
#include "common/times.h"
#include "finish.h"
#include "listen.h"
#include "pool.h"
#include "type.h"
#include "webhooks.h"
#include "worker.h"

static struct {
	bool under_way, was_live, refused_said;
	unsigned int generation; /* of the question under way */
	int64_t sent_at, next_at;
	int64_t renewed_at; /* when the question was sent to which the database last said yes */
	bool late;          /* it has run out, and the database hasn't said what that means */
} lease;

bool lease_open(void)
{
	char text[UUID_TEXT];

	if (!uuid4_make(&worker.boot))
		return false;
	worker.life = LIFE_STARTING;
	lease.next_at = 0;
	uuid_format(&worker.boot, text);
	log_info("identity boot=%s", text);
	listen_as(&worker.boot);
	return true;
}

void lease_beat(void)
{
	lease.next_at = 0;
}

/* Says once per series why the database refuses; true if it can't become better by itself. */
static void refused(const char *what, const struct db_result *r)
{
	if (r->outcome != DB_ERROR || lease.refused_said)
		return;
	lease.refused_said = true;
	log_error("the database refuses %s sqlstate=%s error=\"%s\"", what, r->sqlstate,
		  r->message);
}

/* A schema, function or right that isn't there at the very first try: a mistake in the set-up. */
static bool is_wrong_setup(const struct db_result *r)
{
	return r->outcome == DB_ERROR && !lease.was_live &&
	       (!strcmp(r->sqlstate, "3F000") || !strcmp(r->sqlstate, "42883") ||
		!strcmp(r->sqlstate, "42501"));
}

static void renewed(void)
{
	lease.refused_said = lease.late = false;
	lease.renewed_at = lease.sent_at;
	worker.lease_until = lease.sent_at + config.lease_ms;
}

bool lease_holds(int64_t now)
{
	return worker.life == LIFE_LIVE && now < worker.lease_until;
}

static void start_done(void *ctx, const struct db_result *r)
{
	(void)ctx;
	lease.under_way = false;
	if (lease.generation != worker.generation || worker.life != LIFE_STARTING)
		return;
	if (is_wrong_setup(r)) {
		log_error("the database isn't set up for this worker: run longhaul-migrate "
			  "sqlstate=%s error=\"%s\"",
			  r->sqlstate, r->message);
		exit(EXIT_DATABASE);
	}
	if (r->outcome != DB_OK) {
		refused("the registration", r);
		lease.next_at = mono_ms() + 1000;
		return;
	}
	lease.was_live = true;
	worker.life = LIFE_LIVE;
	renewed();
	lease.next_at = 0; /* a beat tells what it serves */
	claim_look_back();
	log_info("registered lease_ms=%d types=%zu", config.lease_ms, types.n);
}

static void schema_done(void *ctx, const struct db_result *r)
{
	(void)ctx;
	if (!lease.was_live && !schema_suffices(r))
		exit(EXIT_DATABASE);
}

static void beat_done(void *ctx, const struct db_result *r)
{
	(void)ctx;
	lease.under_way = false;
	if (lease.generation != worker.generation || worker.life != LIFE_LIVE)
		return;
	if (r->outcome != DB_OK) {
		refused("the lease's renewal", r);
		lease.next_at = mono_ms() + config.beat_ms / 4;
		return;
	}
	if (dbr_rows(r->res) > 0 && !dbr_bool(r->res, 0, 0)) {
		lease_lost("the database has given it up");
		return;
	}
	if (lease.late)
		log_info("the lease is renewed late, nobody has taken it jobs=%d", jobs_held());
	/* What kept us from the database kept others too, perhaps, and they come back in any order. */
	if (lease.sent_at - lease.renewed_at > config.lease_ms / 2)
		chores_spare_others(mono_ms() + config.lease_ms);
	renewed();
	for (int i = 0; i < dbr_rows(r->res); i++) {
		struct uuid id;

		if (dbr_null(r->res, i, 1))
			continue;
		id = dbr_uuid(r->res, i, 1);
		pool_cancel(&id);
	}
}

static bool send_start(void)
{
	static const char sql[] = "SELECT longhaul.worker_start($1, $2, $3, $4, $5)";
	struct db_params p = { 0 };
	char host[256] = "";
	bool sent;

	gethostname(host, sizeof(host) - 1);
	dbp_uuid(&p, &worker.boot);
	dbp_text(&p, *config.host ? config.host : host);
	dbp_int4(&p, getpid());
	dbp_text(&p, LONGHAUL_VERSION);
	dbp_int4(&p, config.lease_ms);
	/* Answered before the other one is sent. */
	sent = db_query(worker.beat, schema_version_sql, NULL, schema_done, NULL) &&
	       db_query(worker.beat, sql, &p, start_done, NULL);
	db_params_free(&p);
	return sent;
}

static bool send_beat(int64_t now)
{
	static const char sql[] =
		"SELECT alive, job_id FROM longhaul.worker_beat($1, $2, $3, $4, $5, $6, $7, $8)";
	static int64_t last;
	struct pgarray ids, slots, running, rates, means, floors;
	struct pgarray *all[] = { &ids, &slots, &running, &rates, &means, &floors };
	static const enum db_type elem[] = { DB_INT4,   DB_INT4,   DB_INT4,
					     DB_FLOAT8, DB_FLOAT8, DB_INT8 };
	struct db_params p = { 0 };
	bool sent;

	for (size_t i = 0; i < 6; i++)
		pga_init(all[i], elem[i]);
	for (size_t i = 0; i < types.n; i++) {
		struct type *t = types.v[i];

		if (t->id == 0 || t->retired)
			continue;
		pga_int4(&ids, t->id);
		pga_int4(&slots, t->cfg.slots);
		pga_int4(&running, t->n_given < t->cfg.slots ? t->n_given : t->cfg.slots);
		pga_float8(&rates, now > last ? (double)(t->finished - t->finished_at_beat) * 1000 /
							(double)(now - last)
					      : 0);
		if (t->mean_us < 0)
			pga_null(&means);
		else
			pga_float8(&means, t->mean_us / 1000);
		pga_int8(&floors, cursor_floor(&t->cursor, 0));
		t->finished_at_beat = t->finished;
	}
	last = now;
	dbp_uuid(&p, &worker.boot);
	dbp_int4(&p, config.lease_ms);
	for (size_t i = 0; i < 6; i++) {
		dbp_array(&p, all[i]);
		pga_free(all[i]);
	}
	sent = db_query(worker.beat, sql, &p, beat_done, NULL);
	db_params_free(&p);
	return sent;
}

/* The lease couldn't be renewed in time. Somebody may have taken the jobs, or nobody can reach the database:
 * nothing new is begun, and what runs goes on for a while. */
static void run_out(int64_t now)
{
	int64_t end = lease.renewed_at + config.outage_ms;

	if (now >= end) {
		lease_lost("it could not be renewed in time");
		return;
	}
	worker_wake_at(end);
	if (lease.late)
		return;
	lease.late = true;
	log_warning("the lease has run out and the database can't be asked: handlers go on jobs=%d "
		    "for_ms=%lld",
		    jobs_held(), (long long)(end - now));
	pool_withdraw_all();
}

void lease_step(int64_t now)
{
	if (worker.life == LIFE_LIVE && now < worker.lease_until)
		worker_wake_at(worker.lease_until);
	else if (worker.life == LIFE_LIVE)
		run_out(now);
	if (worker.life > LIFE_LIVE || lease.under_way || !db_up(worker.beat))
		return;
	if (now >= lease.next_at) {
		lease.sent_at = now;
		lease.generation = worker.generation;
		lease.next_at = now + config.beat_ms;
		lease.under_way = worker.life == LIFE_LIVE ? send_beat(now) : send_start();
	}
	worker_wake_at(lease.next_at);
}

void lease_lost(const char *why)
{
	log_error("the lease is lost: %s; %d jobs are dropped, their handlers killed", why,
		  jobs_held());
	worker.generation++;
	pool_kill_all();
	finish_forget();
	jobs_drop_all();
	claim_forget();
	webhooks_forget();
	/* No answer that is still to come has a meaning; and one of them may be stuck. */
	db_reset(worker.claim);
	db_reset(worker.finish);
	db_reset(worker.stream);
	db_reset(worker.beat);
	if (worker.webhook)
		db_reset(worker.webhook);
	if (worker.draining)
		worker.life = LIFE_OVER;
	else if (!lease_open())
		exit(EXIT_ENVIRONMENT);
}

bool lease_is_seen_to(int64_t now)
{
	/* The answer to a beat, or the end of its connection, comes within query_timeout_ms. */
	int64_t late = (int64_t)config.lease_ms + config.beat_ms + config.database.query_timeout_ms;

	return worker.life > LIFE_LIVE || !db_up(worker.beat) || now < lease.sent_at + late;
}

static void stop_done(void *ctx, const struct db_result *r)
{
	(void)ctx;
	if (r->outcome != DB_OK)
		log_warning("could not sign off from the database: %s", r->message);
	worker.life = LIFE_OVER;
}

void lease_stop(void)
{
	static const char sql[] = "SELECT longhaul.worker_stop($1)";
	struct db_params p = { 0 };

	dbp_uuid(&p, &worker.boot);
	if (worker.life != LIFE_LIVE || !db_query(worker.beat, sql, &p, stop_done, NULL))
		worker.life = LIFE_OVER;
	else
		worker.life = LIFE_STOPPING;
	db_params_free(&p);
}
