/*
 * main.c: longhaul-api from its start to its end.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ev.h>

#include "api/app.h"
#include "api/conn.h"
#include "api/fcgi.h"
#include "api/jobs.h"
#include "api/listener.h"
#include "api/metrics.h"
#include "api/reload.h"
#include "api/settings.h"
#include "common/exit_codes.h"
#include "common/hangup.h"
#include "common/log.h"
#include "common/service.h"

#define START_MS 1000 /* the longest wait for the database before requests are taken, and refused */
#define STOP_MS 5000  /* for what follows a drain */
#define OTHER_FILES 128 /* descriptors besides nginx's connections */
#define CONNECTIONS_MIN 16

static ev_signal on_term, on_int, on_hup;
static struct cmdline cmdline;
static ev_timer drain_timer;
static bool jobs_drained;

/* Ends the loop when a drain has nothing left to wait for; else makes room for new connections. */
static void connections_changed(void)
{
	if (!app.draining)
		listener_room();
	else if (jobs_drained && conns_open() == 0)
		ev_break(app.loop, EVBREAK_ALL);
}

static void jobs_done(void)
{
	jobs_drained = true;
	connections_changed();
}

static void drain_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)timer;
	(void)revents;
	log_warning("ending with requests under way requests=%d connections=%d", conns_requests(),
		    conns_open());
	ev_break(loop, EVBREAK_ALL);
}

/* SIGTERM or SIGINT: no new connections, what is under way is finished. A second one ends at once. */
static void end_wanted(struct ev_loop *loop, ev_signal *sig, int revents)
{
	(void)sig;
	(void)revents;
	if (app.draining) {
		ev_break(loop, EVBREAK_ALL);
		return;
	}
	log_info("draining requests=%d connections=%d", conns_requests(), conns_open());
	app.draining = true;
	service_stopping(app.cfg->drain_ms + STOP_MS);
	listener_stop();
	ev_timer_init(&drain_timer, drain_timeout, app.cfg->drain_ms / 1000.0, 0);
	ev_timer_start(loop, &drain_timer);
	conns_drain();
	app_drain(&app, jobs_done);
}

static void reread_wanted(struct ev_loop *loop, ev_signal *sig, int revents)
{
	(void)loop;
	(void)sig;
	(void)revents;
	service_reloading();
	api_reload(&cmdline);
	service_ready();
}

static void signals_start(struct ev_loop *loop)
{
	/* before FCGX_Init: libfcgi takes over the signals that have no handler yet */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	ev_signal_init(&on_term, end_wanted, SIGTERM);
	ev_signal_start(loop, &on_term);
	ev_signal_init(&on_int, end_wanted, SIGINT);
	ev_signal_start(loop, &on_int);
	ev_signal_init(&on_hup, reread_wanted, SIGHUP);
	ev_signal_start(loop, &on_hup);
	hangup_release();
}

/* Room for the configured number of connections; or, where the limit can't be raised, for as many as
 * it allows. False, logged, if that is no number to work with. */
static bool files_reserve(struct api_config *cfg)
{
	rlim_t other = OTHER_FILES + (rlim_t)cfg->streams;
	rlim_t need = (rlim_t)cfg->max_connections + other;
	struct rlimit limit, wanted;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur >= need)
		return true;
	wanted.rlim_cur = need;
	wanted.rlim_max = limit.rlim_max < need ? need : limit.rlim_max; /* root may */
	if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
		return true;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < other + CONNECTIONS_MIN) {
		log_error("the limit of open files is too low limit=%llu needed=%llu",
			  (unsigned long long)limit.rlim_cur, (unsigned long long)need);
		return false;
	}
	log_warning("the limit of open files allows %d connections only, not max_connections=%d",
		    (int)(limit.rlim_cur - other), cfg->max_connections);
	cfg->max_connections = (int)(limit.rlim_cur - other);
	return true;
}

/* Reads the command line and the configuration. Returns true to go on; else *exit_code. */
static bool configure(int argc, char **argv, struct cmdline *cl, int *exit_code)
{
	struct buf errors = { 0 };
	bool good;

	if (!cmdline_parse(&api_program, argc, argv, cl, exit_code))
		return false;
	good = config_load(&api_program, cl, &errors) && api_settings_check(&api_settings, &errors);
	if (!good && errors.data)
		fputs(errors.data, stderr);
	buf_free(&errors);
	*exit_code = good ? EXIT_OK : EXIT_USAGE;
	return good && !cl->check_only;
}

/* Begins to accept, and says so. */
static void serve(void)
{
	log_info("ready version=%s listen=%s", LONGHAUL_VERSION, api_settings.listen);
	listener_room();
	service_ready();
}

static void tell_status(char *out, size_t size)
{
	snprintf(out, size, "%s: %d requests on %d connections%s",
		 app.draining ? "ending" : "serving", conns_requests(), conns_open(),
		 app_ready(&app) ? "" : ", the database can't be reached");
}

static const struct service_hooks service_hooks = { .status = tell_status };

/* Opens everything in order. Returns an exit code; EXIT_OK = running. */
static int start(struct ev_loop *loop)
{
	signals_start(loop);
	if (!files_reserve(&api_settings))
		return EXIT_ENVIRONMENT;
	if (!fcgi_start())
		return EXIT_INTERNAL;
	conns_start(loop, connections_changed);
	if (!app_start(&app))
		return EXIT_INTERNAL;
	if (!listener_start(loop, api_settings.listen, api_settings.socket_mode))
		return EXIT_ENVIRONMENT;
	metrics_start(&app);
	service_start(loop, &service_hooks);
	/* A moment later than the socket is there: a restart under load would answer 503 meanwhile. */
	app_when_ready(&app, START_MS, serve);
	return EXIT_OK;
}

static void stop(void)
{
	service_stop(app.loop);
	listener_stop();
	conns_stop();
	app_stop(&app);
	metrics_stop();
	fcgi_stop();
}

int main(int argc, char **argv)
{
	struct ev_loop *loop;
	int rc;

	hangup_hold();
	if (!configure(argc, argv, &cmdline, &rc))
		return rc;
	log_open("longhaul-api", (enum log_level)api_settings.log.level);
	loop = ev_default_loop(EVFLAG_AUTO);
	if (!loop) {
		log_error("no event loop can be made");
		return EXIT_ENVIRONMENT;
	}
	app.cfg = &api_settings;
	app.loop = loop;

	rc = start(loop);
	if (rc == EXIT_OK) {
		ev_run(loop, 0);
		rc = app.exit_code;
		stop();
		log_info("ended");
	}
	ev_loop_destroy(loop);
	config_free(&api_program);
	cmdline_free(&cmdline);
	return rc;
}
