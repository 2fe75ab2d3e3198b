/*
 * settings.h: the worker's configuration: [worker], [database], [log], [webhook] and a [type NAME] for each
 * job type that this host serves.
 */
#ifndef LONGHAUL_WORKER_SETTINGS_H
#define LONGHAUL_WORKER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"

struct worker_config {
	struct database_config database;
	struct log_config log;
	struct webhook_config webhook;
	/* [worker] */
	char *host, *runner, *handlers_dir;
	int lease_ms, beat_ms;
	int claim_batch, prefetch, prefetch_ms;
	int poll_ms, look_back_ms, bottom_ms;
	int finish_batch, finish_delay_ms;
	int64_t finish_bytes, hold_bytes, result_max, prefetch_bytes;
	int progress_ms, types_ms, rescue_ms, promote_ms, promote_batch, schedule_ms, maintain_ms;
	int history_ms, tally_ms;
	char *spool;
	int64_t spool_max;
	int outage_ms;
	int tick_ms, slow_ms, give_back_ms, runner_start_ms, runner_idle_ms, drain_ms;
};

/* What a [type NAME] section says. */
struct type_config {
	char *handler;
	int slots, timeout_ms, grace_ms;
	int64_t log_max;
	int64_t object[3]; /* of a shared object: inode, size and time, by which a new one is known */
};

struct type;

extern const struct program worker_program;

/* The configuration, and the types of its sections: valid after config_load() returned true. */
extern struct worker_config config;

#endif
