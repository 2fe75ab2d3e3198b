/*
 * main.c: longhaul-worker claims jobs and has them run.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ev.h>

#include "check.h"
#include "chores.h"
#include "claim.h"
#include "common/db.h"
#include "common/exit_codes.h"
#include "common/hangup.h"
#include "common/log.h"
#include "common/service.h"
#include "common/times.h"
#include "count_file.h"
#include "drain.h"
#include "finish.h"
#include "handout.h"
#include "job.h"
#include "lease.h"
#include "listen.h"
#include "pool.h"
#include "progress.h"
#include "reload.h"
#include "settings.h"
#include "spool.h"
#include "stream.h"
#include "strays.h"
#include "type.h"
#include "webhooks.h"
#include "worker.h"

struct worker worker = { .next_fence = 1 };

/* The longest wait for the database before the service counts as started: it goes on trying. */
#define READY_MS 2000

static ev_timer wake_timer;
static int64_t wake_at;

void worker_wake_at(int64_t ms)
{
	if (ms < wake_at)
		wake_at = ms;
}

static void on_wake_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
}

/* ---- what the service manager is told --------------------------------------------------------- */

static bool ready, reloading;

static bool is_sane(void)
{
	int64_t now = mono_ms();

	return lease_is_seen_to(now) && drain_in_time(now);
}

static void tell_status(char *out, size_t size)
{
	snprintf(out, size, "%s: %d jobs in hand%s",
		 worker.draining           ? "ending"
		 : worker.life < LIFE_LIVE ? "not registered"
		 : lease_holds(mono_ms())  ? "at work"
					   : "without a lease",
		 jobs_held(), db_up(worker.beat) ? "" : ", the database can't be reached");
}

static const struct service_hooks service_hooks = { is_sane, tell_status };

/* Ready once registered, and again after a reload. A database that is away keeps nobody from starting. */
static void ready_step(int64_t now)
{
	static int64_t latest;

	if (reloading && !reload_under_way()) {
		reloading = false;
		service_ready();
	}
	if (ready)
		return;
	if (latest == 0)
		latest = now + READY_MS;
	ready = worker.life != LIFE_STARTING || now >= latest;
	if (ready)
		service_ready();
	else
		worker_wake_at(latest);
}

/* ---- the loop --------------------------------------------------------------------------------- */

/* Before the loop sleeps: everything that is due. */
static void on_turn(struct ev_loop *loop, ev_prepare *w, int revents)
{
	int64_t now = mono_ms();

	(void)w;
	(void)revents;
	wake_at = INT64_MAX;
	lease_step(now); /* first: what follows is right only while we hold the lease */
	pool_step(now);
	stream_step(now);
	progress_step(now);
	handout_step(now);
	drain_step(now);
	finish_step(now);
	claim_step(now);
	chores_step(now);
	webhooks_step(now);
	count_file_step(now, false);
	jobs_trim_step(now);
	reload_step();
	strays_step(now);
	ready_step(now);
	if (worker.life == LIFE_OVER)
		ev_break(loop, EVBREAK_ALL);
	ev_timer_stop(loop, &wake_timer);
	if (wake_at == INT64_MAX)
		return;
	ev_now_update(loop);
	ev_timer_set(&wake_timer, wake_at > now ? (double)(wake_at - now) / 1000 : 0, 0.);
	ev_timer_start(loop, &wake_timer);
}

static void on_end_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	drain_begin();
}

static void on_hangup(struct ev_loop *loop, ev_signal *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	log_info("SIGHUP: the configuration is read again");
	if (!worker.draining) {
		reloading = true;
		service_reloading();
	}
	reload_begin();
}

/* ---- connections ------------------------------------------------------------------------------ */

static void claim_state(void *ctx, bool up)
{
	(void)ctx;
	if (up)
		claim_up();
}

static void finish_state(void *ctx, bool up)
{
	(void)ctx;
	if (up)
		finish_up();
}

static void beat_state(void *ctx, bool up)
{
	(void)ctx;
	if (up)
		lease_beat();
}

static void webhook_state(void *ctx, bool up)
{
	(void)ctx;
	if (up)
		webhooks_up();
}

static struct db *connect_to(const char *label, const char *application_name, int query_timeout_ms,
			     db_state_fn *on_state)
{
	const struct database_config *d = &config.database;
	struct db_config c = {
		.conninfo = d->conninfo,
		.application_name = application_name,
		.prepared = d->prepared,
		.reconnect_min_ms = d->reconnect_min_ms,
		.reconnect_max_ms = d->reconnect_max_ms,
		.connect_timeout_ms = d->connect_timeout_ms,
		.query_timeout_ms = query_timeout_ms,
		.statement_timeout_ms = d->statement_timeout_ms,
	};

	return db_open(worker.loop, &c, label, on_state, NULL);
}

static void connect_all(void)
{
	int timeout = config.database.query_timeout_ms, beat = config.lease_ms / 3;

	worker.claim = connect_to("claim", "longhaul-worker claim", timeout, claim_state);
	worker.finish = connect_to("finish", "longhaul-worker finish", timeout, finish_state);
	/* A beat that gets no answer must leave time for another try. */
	worker.beat = connect_to("beat", "longhaul-worker beat",
				 timeout > 0 && timeout < beat ? timeout : beat, beat_state);
	worker.stream = connect_to("stream", "longhaul-worker stream", timeout, NULL);
	worker.upkeep = connect_to("upkeep", "longhaul-worker upkeep", timeout, NULL);
	if (config.webhook.enabled)
		worker.webhook = connect_to("webhook", "longhaul-worker webhook", timeout,
					    webhook_state);
	listen_open();
}

static void disconnect_all(void)
{
	db_close(worker.claim);
	db_close(worker.finish);
	db_close(worker.beat);
	db_close(worker.stream);
	db_close(worker.upkeep);
	db_close(worker.webhook);
	db_close(worker.listen);
}

/* ---- start and end ---------------------------------------------------------------------------- */

static void run(void)
{
	static ev_prepare turn;
	static ev_signal term, intr, hup;

	ev_init(&wake_timer, on_wake_timer);
	ev_prepare_init(&turn, on_turn);
	ev_prepare_start(worker.loop, &turn);
	ev_signal_init(&term, on_end_signal, SIGTERM);
	ev_signal_start(worker.loop, &term);
	ev_signal_init(&intr, on_end_signal, SIGINT);
	ev_signal_start(worker.loop, &intr);
	ev_signal_init(&hup, on_hangup, SIGHUP);
	ev_signal_start(worker.loop, &hup);
	hangup_release();
	strays_open();
	pool_open();
	webhooks_open();
	connect_all();
	service_start(worker.loop, &service_hooks);
	ev_run(worker.loop, 0);
	service_stop(worker.loop);
	count_file_step(mono_ms(), true);
}

int main(int argc, char **argv)
{
	bool go_on;
	int rc;

	hangup_hold();
	rc = configure(argc, argv, &go_on);
	if (!go_on)
		return rc;
	log_open("longhaul-worker", (enum log_level)config.log.level);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a spool that may not grow is an error like others */
	worker.runner_path = runner_path();
	if (access(worker.runner_path, X_OK) != 0) {
		log_error("cannot execute the runner %s ([worker] runner)", worker.runner_path);
		return EXIT_ENVIRONMENT;
	}
	worker.courier_path = courier_path();
	if (config.webhook.enabled && access(worker.courier_path, X_OK) != 0) {
		log_error("cannot execute the courier %s ([webhook] courier)", worker.courier_path);
		return EXIT_ENVIRONMENT;
	}
	/* Not the default loop: that one reaps children before we have seen to their offspring. */
	worker.loop = ev_loop_new(EVFLAG_AUTO);
	if (!worker.loop || !spool_open() || !lease_open())
		return EXIT_ENVIRONMENT;
	log_info("started version=%s types=%zu runner=%s", LONGHAUL_VERSION, types.n,
		 worker.runner_path);
	run();
	log_info("ended jobs=%lld", (long long)finish_count());
	pool_close();
	webhooks_close();
	strays_close();
	disconnect_all();
	jobs_drop_all();
	spool_close();
	types_free();
	configure_end();
	ev_loop_destroy(worker.loop);
	free(worker.runner_path);
	free(worker.courier_path);
	return EXIT_OK;
}
