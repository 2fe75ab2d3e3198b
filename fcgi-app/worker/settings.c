/*
 * settings.c: the worker's option tables.
 */
#include "settings.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "common/mem.h"
#include "common/wire.h"
#include "type.h"

struct worker_config config;

#define NUM(key, def, min, max, help) \
	OPT_NUM("worker", #key, struct worker_config, key, def, min, max, help)
#define BYTES(key, def, min, max, help) \
	OPT_BYTES("worker", #key, struct worker_config, key, def, min, max, help)
#define HOUR 3600000

static const struct opt worker_opts[] = {
	OPT_STR("worker", "host", struct worker_config, host, "",
		"Name of this host in the table of workers. Empty: the system's."),
	OPT_STR("worker", "runner", struct worker_config, runner, "",
		"Path of longhaul-runner. Empty: beside longhaul-worker, else where it is installed."),
	OPT_STR("worker", "handlers_dir", struct worker_config, handlers_dir, "",
		"Folder of handlers that aren't built in: handler = NAME is the shared object NAME.so there. Only root "
		"and the worker's user may be able to write to it. Empty: there are none."),
	NUM(lease_ms, "30000", 100, HOUR,
	    "If this host doesn't renew its lease for so long, others take its jobs, and it kills its handlers."),
	NUM(beat_ms, "10000", 20, HOUR,
	    "How often the lease is renewed: less than half of lease_ms."),
	NUM(outage_ms, "120000", 0, 24 * HOUR,
	    "While the database can't be reached, handlers go on for so long after the lease was last renewed, if "
	    "that is longer than lease_ms: nobody else may have noticed, and then their results count. If somebody "
	    "has, a job runs twice at once for as long; what it does here is refused. 0: killed after lease_ms."),
	NUM(claim_batch, "500", 1, 5000, "Most jobs claimed by one statement."),
	NUM(prefetch, "2000", 0, 20000,
	    "Most jobs of a type held beyond its slots, when they are short."),
	NUM(prefetch_ms, "100", 0, 60000, "Jobs are claimed ahead for this much of work."),
	BYTES(prefetch_bytes, "8MiB", 65536, (int64_t)1 << 30,
	      "Most memory for jobs of a type held beyond its slots."),
	NUM(poll_ms, "1000", 10, HOUR,
	    "How often the queue is looked at when nothing wakes the worker."),
	NUM(look_back_ms, "1000", 10, HOUR,
	    "How often a busy worker looks for jobs that came in behind its place in the queue."),
	NUM(bottom_ms, "60000", 100, 24 * HOUR,
	    "How often that look begins at the very start of the queue."),
	NUM(finish_batch, "500", 1, 5000, "Most outcomes written by one statement."),
	BYTES(finish_bytes, "4MiB", 65536, 64 << 20,
	      "Most bytes of results written by one statement."),
	NUM(finish_delay_ms, "5", 0, 1000,
	    "Under load, least time between two statements that write outcomes, unless one is full."),
	BYTES(hold_bytes, "32MiB", 65536, (int64_t)4 << 30,
	      "While so many bytes of results wait in memory to be written, no job is begun; with a spool they are "
	      "moved there first."),
	OPT_STR("worker", "spool", struct worker_config, spool, "",
		"Folder on a local disk, made if it isn't there, for results beyond hold_bytes that wait for the "
		"database. Its files have no names and end with the worker. Empty: none."),
	BYTES(spool_max, "1GiB", 65536, (int64_t)1 << 40, "Most bytes in the spool."),
	BYTES(result_max, "1GiB", 0, (int64_t)1 << 40, "Largest result of a job; 0 = no limit."),
	NUM(progress_ms, "250", 10, 60000, "How often the progress of running jobs is stored."),
	NUM(types_ms, "5000", 20, HOUR, "How often the job types are read again."),
	NUM(rescue_ms, "5000", 20, HOUR, "How often the jobs of dead workers are looked for."),
	NUM(promote_ms, "1000", 10, HOUR,
	    "How often, at least, delayed jobs are looked at, and those to be started by a time."),
	NUM(promote_batch, "1000", 1, 10000, "Most delayed jobs made claimable by one statement."),
	NUM(schedule_ms, "1000", 10, HOUR,
	    "How often, at least, it is looked whether recurring jobs are due."),
	NUM(maintain_ms, "60000", 100, 24 * HOUR,
	    "How often partitions are made, and what has expired is removed."),
	NUM(history_ms, "10000", 10, HOUR,
	    "How often the database is told how long jobs took, for estimates."),
	NUM(tally_ms, "2000", 10, HOUR,
	    "How often the counts of ended jobs are added up, by one of the workers."),
	NUM(tick_ms, "20", 1, 1000,
	    "How often runners that work are looked at (timeouts, slow jobs)."),
	NUM(slow_ms, "20", 1, 60000,
	    "A runner that is busy with one job for so long gives back the others that it holds."),
	NUM(give_back_ms, "1000", 10, HOUR,
	    "Jobs claimed ahead are put back if no runner of this host becomes free for so long."),
	NUM(runner_start_ms, "10000", 100, HOUR,
	    "A runner that isn't ready by then is killed; so is one that doesn't begin its next job."),
	NUM(runner_idle_ms, "60000", 10, HOUR,
	    "Runners idle for so long are ended, but for one of each type."),
	NUM(drain_ms, "30000", 0, 24 * HOUR,
	    "At SIGTERM, running jobs may go on for so long; then they are stopped and put back."),
};

static const struct opt type_opts[] = {
	OPT_STR("type", "handler", struct type, cfg.handler, "",
		"Who does the work: noop, exec, command-loop, bulk-import, sql or http; or a shared object: see [worker] handlers_dir."),
	OPT_NUM("type", "slots", struct type, cfg.slots, "1", 1, 1000,
		"Most jobs that run at a time on this host."),
	OPT_NUM("type", "timeout_ms", struct type, cfg.timeout_ms, "0", 0, INT_MAX,
		"A job that runs longer is stopped and has failed. 0 = as the job type says in the database."),
	OPT_NUM("type", "grace_ms", struct type, cfg.grace_ms, "5000", 0, HOUR,
		"Time that a handler has to stop when it is told to, before it is killed."),
	OPT_BYTES(
		"type", "log_max", struct type, cfg.log_max, "64KiB", 0, WIRE_LOG,
		"How much is kept of what an attempt logs (a command: writes to stderr): the end of it. 0 = nothing."),
};

/* The keys that a handler understands beside those above. What their values may be is the handler's
 * business: check_handler() asks it. */
static const struct handler_keys {
	const char *handler;
	const char *keys[16];
} handlers[] = {
	{ "noop", { NULL } },
	{ "exec",
	  { "command", "environment", "directory", "user", "result_type", "show_stderr",
	    "rlimit_as", "rlimit_cpu_s", "rlimit_nofile", "rlimit_fsize" } },
	{ "command-loop",
	  { "command", "environment", "directory", "user", "result_type", "show_stderr",
	    "rlimit_as", "rlimit_cpu_s", "rlimit_nofile", "rlimit_fsize", "work_dir",
	    "start_ms" } },
	{ "bulk-import", { "database" } },
	{ "http",
	  { "url", "method", "headers", "success", "try_again", "connect_timeout_ms",
	    "retry_after_max_ms", "redirects", "ca_file", "unix_socket" } },
	{ "sql", { "function", "database", "result_type", "input_max" } },
};

#define N_HANDLERS (sizeof(handlers) / sizeof(handlers[0]))

static bool has_key(const struct handler_keys *h, const char *key)
{
	for (const char *const *k = h->keys; *k; k++)
		if (!strcmp(*k, key))
			return true;
	return false;
}

static void *type_begin(void *ctx, const char *name, char *err, size_t errsize)
{
	(void)ctx;
	if (*name == '\0' || strlen(name) > 200) {
		snprintf(err, errsize, "a type's name has 1 to 200 characters");
		return NULL;
	}
	return type_add(name);
}

/* Takes a key and its value out of the kept settings, if they are there. */
static void drop_key(struct buf *settings, const char *key)
{
	char *p = settings->data, *end = p + settings->len;

	while (p < end) {
		size_t key_len = strlen(p) + 1, pair_len = key_len + strlen(p + key_len) + 1;

		if (!strcmp(p, key)) {
			memmove(p, p + pair_len, (size_t)(end - p) - pair_len);
			settings->len -= pair_len;
			return;
		}
		p += pair_len;
	}
}

static const struct handler_keys *built_in(const char *handler)
{
	for (size_t i = 0; i < N_HANDLERS; i++)
		if (!strcmp(handlers[i].handler, handler))
			return &handlers[i];
	return NULL;
}

/* Keeps a handler's key for the runner. Which handler it is may stand further down: see type_end. */
static bool type_other(void *ctx, void *base, const char *key, const char *value, char *err,
		       size_t errsize)
{
	struct type *t = base;
	const struct handler_keys *h = built_in(t->cfg.handler);

	(void)ctx;
	if (h && !has_key(h, key)) {
		snprintf(err, errsize, "handler %s has no key \"%s\"", h->handler, key);
		return false;
	}
	if (t->settings.len > 0)
		drop_key(&t->settings, key);
	if (!buf_add(&t->settings, key, strlen(key) + 1) ||
	    !buf_add(&t->settings, value, strlen(value) + 1)) {
		snprintf(err, errsize, "out of memory");
		return false;
	}
	return true;
}

/* All kept keys must be the handler's. */
static bool keys_fit(const struct type *t, const struct handler_keys *h, char *err, size_t errsize)
{
	const char *p = t->settings.data, *end = p + t->settings.len;

	while (p < end) {
		if (!has_key(h, p)) {
			snprintf(err, errsize, "%s: handler %s has no such key", p, h->handler);
			return false;
		}
		p += strlen(p) + 1;
		p += strlen(p) + 1;
	}
	return true;
}

/* Makes the name of a handler that isn't built in the path of its shared object. */
static bool name_object(struct type *t, char *err, size_t errsize)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	char *name = t->cfg.handler;
	struct stat st;

	if (!*config.handlers_dir || !*name || name[strspn(name, allowed)] != '\0') {
		snprintf(err, errsize, "handler: there is no handler \"%s\"", name);
		return false;
	}
	if (config.handlers_dir[0] != '/') {
		snprintf(err, errsize, "handler: [worker] handlers_dir must begin with a slash");
		return false;
	}
	t->cfg.handler = mem_printf("%s/%s.so", config.handlers_dir, name);
	free(name);
	if (stat(t->cfg.handler, &st) == 0) {
		t->cfg.object[0] = (int64_t)st.st_ino;
		t->cfg.object[1] = (int64_t)st.st_size;
		t->cfg.object[2] = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	}
	return true;
}

static bool type_end(void *ctx, void *base, char *err, size_t errsize)
{
	struct type *t = base;
	const struct handler_keys *h = built_in(t->cfg.handler);
	char grace[16];

	if (!*t->cfg.handler) {
		snprintf(err, errsize, "handler is missing");
		return false;
	}
	if (h ? t->settings.len > 0 && !keys_fit(t, h, err, errsize)
	      : !name_object(t, err, errsize))
		return false;
	/* A handler that stops a command of its own needs to know its time. */
	snprintf(grace, sizeof(grace), "%d", t->cfg.grace_ms);
	if (!buf_add(&t->settings, "grace_ms", 9) ||
	    !buf_add(&t->settings, grace, strlen(grace) + 1) || !buf_add(&t->settings, "", 1)) {
		snprintf(err, errsize, "out of memory");
		return false;
	}
	(void)ctx;
	return check_handler(t, err, errsize);
}

static const struct opt_group groups[] = {
	OPT_GROUP(database_opts, &config.database),
	OPT_GROUP(log_opts, &config.log),
	OPT_GROUP(webhook_opts, &config.webhook),
	OPT_GROUP(worker_opts, &config),
};

static const struct opt_kind kinds[] = {
	{
		.kind = "type",
		.help = "A job type that this host serves, by its name in the database. Further keys belong to the "
			"handler. exec: command (a program and its arguments), environment (A=b …), directory, user, "
			"result_type, show_stderr, rlimit_as, rlimit_cpu_s, rlimit_nofile, rlimit_fsize. "
			"command-loop: the same, work_dir, start_ms. "
			"bulk-import: database (a connection string). sql: function (SCHEMA.FUNCTION), database, result_type, "
			"input_max. http: url, method, headers, success, try_again, connect_timeout_ms, retry_after_max_ms, "
			"redirects, ca_file, unix_socket.",
		.rows = type_opts,
		.n = sizeof(type_opts) / sizeof(type_opts[0]),
		.begin = type_begin,
		.other = type_other,
		.end = type_end,
	},
};

static const char *const foreign[] = { "api", NULL };

const struct program worker_program = {
	.name = "longhaul-worker",
	.summary =
		"Claims jobs from the database and runs them. For benchmarks: with COUNT_FILE=path in the "
		"environment, the number of jobs ended so far is kept in the file path.PID.",
	.groups = groups,
	.n_groups = sizeof(groups) / sizeof(groups[0]),
	.kinds = kinds,
	.n_kinds = sizeof(kinds) / sizeof(kinds[0]),
	.foreign = foreign,
};
