/*
 * drain.c: the way from SIGTERM to the end.
 */
#include "drain.h"

#include "common/log.h"
#include "common/service.h"
#include "common/times.h"
#include "finish.h"
#include "job.h"
#include "lease.h"
#include "pool.h"
#include "type.h"
#include "webhooks.h"
#include "worker.h"

#define LAST_WRITES_MS 5000 /* for outcomes and the sign-off, once all handlers have stopped */

static int64_t stop_at, give_up_at;
static bool stopped;

static int longest_grace(void)
{
	int ms = 0;

	for (size_t i = 0; i < types.n; i++)
		if (types.v[i]->cfg.grace_ms > ms)
			ms = types.v[i]->cfg.grace_ms;
	return ms;
}

void drain_begin(void)
{
	int64_t now = mono_ms();

	if (!worker.draining) {
		log_info("draining jobs=%d drain_ms=%d", jobs_held(), config.drain_ms);
		worker.draining = true;
		stop_at = now + config.drain_ms;
		pool_withdraw_all();
	} else if (stop_at > now) {
		log_info("told again to end: running jobs are stopped");
		stop_at = now;
	}
	give_up_at = stop_at + longest_grace() + LAST_WRITES_MS;
	service_stopping(give_up_at + LAST_WRITES_MS - now);
}

bool drain_in_time(int64_t now)
{
	return !worker.draining || now < give_up_at + LAST_WRITES_MS;
}

static void release_waiting(void)
{
	for (size_t i = 0; i < types.n; i++)
		while (!list_empty(&types.v[i]->waiting))
			finish_release(LIST_ENTRY(types.v[i]->waiting.next, struct job, link));
}

void drain_step(int64_t now)
{
	if (!worker.draining || worker.life >= LIFE_STOPPING) {
		if (worker.draining && now >= give_up_at)
			worker.life = LIFE_OVER;
		return;
	}
	release_waiting();
	if (!stopped && now >= stop_at) {
		stopped = true;
		pool_stop_all(STOP_DRAIN);
		webhooks_stop();
	}
	if (jobs_held() == 0 && finish_is_empty() && webhooks_idle()) {
		lease_stop();
	} else if (now >= give_up_at) {
		log_warning("the end doesn't wait for the database any longer jobs=%d",
			    jobs_held());
		worker.life = LIFE_OVER;
	}
	worker_wake_at(stopped ? give_up_at : stop_at);
}
