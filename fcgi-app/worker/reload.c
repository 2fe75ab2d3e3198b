/*
 * reload.c: from a changed file to a changed worker, with no job lost.
 *
 * A type whose section is gone is retired: nothing more is claimed, what runs may end. One whose handler
 * or settings have changed gets new runners; the old ones finish what they have begun. The numbers of
 * [worker] are read where they are used and count from then on. What was settled at the start stays.
 */
#include "reload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ev.h>

#include "check.h"
#include "chores.h"
#include "claim.h"
#include "common/exit_codes.h"
#include "common/log.h"
#include "common/mem.h"
#include "lease.h"
#include "pool.h"
#include "settings.h"
#include "type.h"
#include "webhooks.h"
#include "worker.h"

#define CHECK_MS 60000 /* a check of the new configuration that takes longer is given up */
#define ERRORS_MAX 65536

static struct cmdline cmdline;

/* The check under way. */
static struct {
	pid_t pid; /* 0 = none */
	bool again;
	struct stat file; /* as it was before */
	ev_io io;
	ev_timer timer;
	struct buf errors;
} check;

/* ---- reading ---------------------------------------------------------------------------------- */

/* What can be wrong with the options taken together. */
static bool makes_sense(struct buf *errors)
{
	size_t before = errors->len;
	char err[200];

	database_config_check(&config.database, errors);
	if (!webhooks_check(err, sizeof(err)))
		buf_addf(errors, "longhaul-worker: [webhook] %s\n", err);
	if (config.lease_ms <= 2 * config.beat_ms)
		buf_adds(errors,
			 "longhaul-worker: [worker] beat_ms must be less than half of lease_ms\n");
	if (types.n == 0)
		buf_adds(
			errors,
			"longhaul-worker: the configuration has no [type NAME] section: there is nothing to do\n");
	return errors->len == before;
}

static bool load(struct buf *errors)
{
	return config_load(&worker_program, &cmdline, errors) && makes_sense(errors);
}

int configure(int argc, char **argv, bool *go_on)
{
	struct buf errors = { 0 };
	int rc = EXIT_OK;

	*go_on = false;
	if (!cmdline_parse(&worker_program, argc, argv, &cmdline, &rc))
		return rc;
	if (!load(&errors)) {
		fputs(errors.data ? errors.data : "", stderr);
		rc = EXIT_USAGE;
	} else {
		*go_on = !cmdline.check_only;
	}
	buf_free(&errors);
	if (!*go_on)
		cmdline_free(&cmdline);
	return rc;
}

void configure_end(void)
{
	config_free(&worker_program);
	cmdline_free(&cmdline);
}

/* ---- taking ----------------------------------------------------------------------------------- */

/* Options that were used up at the start: connections, processes and files that were opened. */
static bool stays_fixed(const struct opt *row)
{
	static const char *const keys[] = {
		"host", "runner", "lease_ms", "beat_ms", "spool", NULL
	};

	if (!strcmp(row->section, "database") || !strcmp(row->section, "webhook"))
		return true;
	for (const char *const *k = keys; *k && !strcmp(row->section, "worker"); k++)
		if (!strcmp(row->key, *k))
			return true;
	return false;
}

/* Takes over the options outside of types. Returns whether runners must be told. */
static bool take_options(struct worker_config *fresh)
{
	struct buf changed = { 0 }, fixed = { 0 };
	int64_t result_max = config.result_max;
	int level = config.log.level;

	config_take(&worker_program, &config, fresh, stays_fixed, &changed, &fixed);
	log_set_level((enum log_level)config.log.level);
	if (changed.len > 0)
		log_info("options changed: %s", changed.data);
	if (fixed.len > 0)
		log_warning("options that take a restart to change, unchanged for now: %s",
			    fixed.data);
	buf_free(&changed);
	buf_free(&fixed);
	return level != config.log.level || result_max != config.result_max;
}

/* Gives a type that we have the section that it has now. */
static void take_type(struct type *t, struct type *fresh, bool new_runners)
{
	struct type_config cfg = t->cfg;
	struct buf settings = t->settings;
	int slots = cfg.slots;
	bool differs = strcmp(cfg.handler, fresh->cfg.handler) != 0 ||
		       memcmp(cfg.object, fresh->cfg.object, sizeof(cfg.object)) != 0 ||
		       settings.len != fresh->settings.len ||
		       memcmp(settings.data, fresh->settings.data, settings.len) != 0;

	t->cfg = fresh->cfg;
	t->settings = fresh->settings;
	fresh->cfg = cfg;
	fresh->settings = settings;
	if (t->retired) {
		t->retired = false;
		t->look_asap = true;
	}
	if (differs) {
		log_info("type %s has new settings", t->name);
		t->mean_us = -1;
		t->start_failures = 0;
		t->broken_until = 0;
	}
	if (differs || new_runners)
		pool_retire(t);
	if (slots != t->cfg.slots) {
		log_info("type %s has slots=%d, had %d", t->name, t->cfg.slots, slots);
		pool_shrink(t);
		t->look_asap = true;
	}
}

static void retire_type(struct type *t)
{
	log_info("type %s is served no more jobs=%d", t->name, t->n_held);
	t->retired = true;
	t->wake = false;
	pool_retire(t);
}

static void add_type(struct type *t)
{
	log_info("type %s is new", t->name);
	types.v = mem_realloc(types.v, types.n + 1, sizeof(*types.v));
	types.v[types.n++] = t;
}

static void take_types(struct types *fresh, bool new_runners)
{
	size_t had = types.n;
	bool *named = mem_zalloc(had + 1);

	for (size_t i = 0; i < fresh->n; i++) {
		size_t at = 0;

		while (at < had && strcmp(types.v[at]->name, fresh->v[i]->name) != 0)
			at++;
		if (at == had) {
			add_type(fresh->v[i]);
			continue;
		}
		named[at] = true;
		take_type(types.v[at], fresh->v[i], new_runners);
		type_free(fresh->v[i]);
	}
	for (size_t i = 0; i < had; i++)
		if (!named[i] && !types.v[i]->retired)
			retire_type(types.v[i]);
	free(named);
	free(fresh->v);
}

/* Loads the file beside what is in use, which nobody looks at meanwhile. */
static bool load_beside(struct worker_config *fresh, struct types *fresh_types, struct buf *errors)
{
	struct worker_config old = config;
	struct types old_types = types;
	bool ok;

	config = (struct worker_config){ 0 };
	types = (struct types){ 0 };
	check_handlers(false); /* they were asked before */
	ok = load(errors);
	check_handlers(true);
	*fresh = config;
	*fresh_types = types;
	config = old;
	types = old_types;
	return ok;
}

/* Frees a configuration that isn't the one in use. */
static void drop(struct worker_config *fresh)
{
	struct worker_config old = config;

	config = *fresh;
	config_free(&worker_program);
	config = old;
}

static void refuse(const struct buf *errors)
{
	const char *line = errors->len > 0 ? errors->data : "it can't be checked";

	while (*line) {
		int n = (int)strcspn(line, "\n");

		log_error("the new configuration is refused, the old one stays: %.*s", n, line);
		line += n;
		line += *line == '\n';
	}
}

static void take(void)
{
	struct worker_config fresh;
	struct types fresh_types;
	struct buf errors = { 0 };

	if (load_beside(&fresh, &fresh_types, &errors)) {
		take_types(&fresh_types, take_options(&fresh));
		chores_read_types();
		lease_beat();
		log_info("the new configuration is in use types=%zu", types.n);
	} else {
		refuse(&errors);
		for (size_t i = 0; i < fresh_types.n; i++)
			type_free(fresh_types.v[i]);
		free(fresh_types.v);
	}
	drop(&fresh);
	buf_free(&errors);
}

void reload_step(void)
{
	for (size_t i = 0; i < types.n; i++) {
		struct type *t = types.v[i];

		if (!t->retired || t->n_held > 0 || t->n_runners > 0 || claim_asks_for(t))
			continue;
		log_info("type %s is gone", t->name);
		type_free(t);
		types.v[i--] = types.v[--types.n];
	}
}

/* ---- checking --------------------------------------------------------------------------------- */

/* In the child: loads the configuration as at the start, says what is wrong, and ends. */
static _Noreturn void become_check(int out, pid_t parent)
{
	struct buf errors = { 0 };
	size_t at = 0;
	ssize_t n;
	bool ok;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	/* The loop's handlers would tell the parent's loop. */
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	config = (struct worker_config){ 0 };
	types = (struct types){ 0 };
	ok = load(&errors);
	while (at < errors.len && (n = write(out, errors.data + at, errors.len - at)) > 0)
		at += (size_t)n;
	_exit(ok ? 0 : 1);
}

bool reload_under_way(void)
{
	return check.pid != 0;
}

bool reload_is(pid_t pid)
{
	return check.pid == pid;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void stat_file(struct stat *st)
{
	memset(st, 0, sizeof(*st));
	if (cmdline.config_path)
		(void)!stat(cmdline.config_path, st);
}

/* The child has said all it had to say. */
static void check_done(void)
{
	struct stat now;
	int status = 1;

	ev_io_stop(worker.loop, &check.io);
	ev_timer_stop(worker.loop, &check.timer);
	close(check.io.fd);
	while (waitpid(check.pid, &status, 0) < 0 && errno == EINTR)
		;
	check.pid = 0;
	stat_file(&now);
	if (worker.draining) {
		buf_free(&check.errors);
	} else if (check.again || !same_file(&now, &check.file)) {
		buf_free(&check.errors);
		reload_begin();
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		take();
	} else {
		refuse(&check.errors);
	}
	if (check.pid == 0)
		buf_free(&check.errors);
}

static void on_words(struct ev_loop *loop, ev_io *w, int revents)
{
	char data[4096];
	ssize_t n = read(w->fd, data, sizeof(data));

	(void)loop;
	(void)revents;
	if (n > 0 && check.errors.len < ERRORS_MAX)
		buf_add(&check.errors, data, (size_t)n);
	else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		check_done();
}

static void on_late(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	buf_adds(&check.errors, "a handler takes too long to look at its settings\n");
	kill(-check.pid, SIGKILL);
	kill(check.pid, SIGKILL);
}

void reload_begin(void)
{
	pid_t parent = getpid();
	int fds[2];

	if (worker.draining)
		return;
	check.again = check.pid != 0;
	if (check.again)
		return;
	stat_file(&check.file);
	if (pipe2(fds, O_CLOEXEC) != 0) {
		log_error("cannot check the new configuration: %s", strerror(errno));
		return;
	}
	check.pid = fork();
	if (check.pid == 0)
		become_check(fds[1], parent);
	close(fds[1]);
	if (check.pid < 0) {
		log_error("cannot check the new configuration: %s", strerror(errno));
		check.pid = 0;
		close(fds[0]);
		return;
	}
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	ev_io_init(&check.io, on_words, fds[0], EV_READ);
	ev_io_start(worker.loop, &check.io);
	ev_timer_init(&check.timer, on_late, (double)CHECK_MS / 1000, 0.);
	ev_timer_start(worker.loop, &check.timer);
}
