/*
 * main.c: longhaul-runner hosts one handler and runs jobs with it, one at a time, as
 * longhaul-worker tells it to.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/exit_codes.h"
#include "common/log.h"
#include "handlers.h"
#include "handlers/handlers.h"
#include "job.h"

/* The service manager signals every process of the service, but when a runner ends is the daemon's
 * decision: it drains. A function and not SIG_IGN, which commands that handlers start would inherit. */
static void leave_to_daemon(int signo)
{
	(void)signo;
}

static void on_orphaned(int signo)
{
	(void)signo;
	channel_lost();
}

static void signals_setup(void)
{
	struct sigaction sa = { .sa_handler = leave_to_daemon, .sa_flags = SA_RESTART };

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sa.sa_handler = on_orphaned;
	sigaction(WIRE_ORPHANED, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
}

/* Finds and initialises the handler. False: *why says why not. */
static bool setup(struct runner *r, const char *payload, size_t size, const char **why)
{
	struct wire_setup s;

	*why = "the set-up message is damaged";
	if (!buf_add(&r->setup, payload, size) || !wire_get_setup(r->setup.data, size, &s))
		return false;
	log_set_level((enum log_level)s.log_level);
	r->settings.pairs = s.settings;
	r->result_max = s.result_max;
	uuid_format(&s.boot, r->boot);
	snprintf(r->type, sizeof(r->type), "%s", s.type);
	r->handler = handler_find(s.handler, why);
	if (!r->handler)
		return false;
	*why = "the handler's init failed";
	if (r->handler->init && !r->handler->init(&r->settings, &r->state, why))
		return false;
	*why = "the handler's start failed";
	return !r->handler->start || r->handler->start(r->state, why);
}

/* Takes frames until the daemon closes the socket. */
static int serve(struct runner *r)
{
	struct wire_head head;
	const char *payload;
	static const char *why =
		"it is set up already"; /* may be malloc'ed, or not: nobody frees it */

	while (channel_next(&r->channel, &head, &payload)) {
		switch (head.kind) {
		case WIRE_SETUP:
			if (r->handler || !setup(r, payload, head.size, &why)) {
				channel_send(&r->channel, WIRE_REFUSED, 0, why, strlen(why));
				return EXIT_ENVIRONMENT;
			}
			channel_send(&r->channel, WIRE_READY, 0, NULL, 0);
			break;
		case WIRE_JOB:
			if (!r->handler || !job_run(r, head.ticket, payload, head.size)) {
				log_error("the daemon sent a damaged job");
				return EXIT_INTERNAL;
			}
			break;
		default: /* meant for a job that has ended */
			break;
		}
	}
	if (r->handler && r->handler->fini)
		r->handler->fini(r->state);
	return EXIT_OK;
}

/* "-t HANDLER": reads settings as in struct wire_setup from stdin and has the handler look at them. What it
 * doesn't like goes to stdout. */
static int check_settings(const char *name)
{
	static char text[65536];
	static const char *why; /* may be malloc'ed, or not: nobody frees it */
	const struct lh_handler *handler = handler_find(name, &why);
	struct lh_settings settings = { .pairs = text };
	void *state = NULL;

	handlers_check_only = true;
	/* Room for the empty key that ends them. */
	if (fread(text, 1, sizeof(text) - 3, stdin) == sizeof(text) - 3) {
		puts("the settings are too long");
		return EXIT_USAGE;
	}
	if (!handler) {
		puts(why);
		return EXIT_USAGE;
	}
	if (!handler->init)
		return EXIT_OK;
	why = "the handler's init failed";
	if (!handler->init(&settings, &state, &why)) {
		puts(why);
		return EXIT_USAGE;
	}
	if (handler->fini)
		handler->fini(state);
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	static struct runner runner;
	const char *why;

	log_open_helper("longhaul-runner", LOG_LEVEL_WARNING);
	if (argc == 3 && !strcmp(argv[1], "-t"))
		return check_settings(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "--manual")) {
		handlers_manual();
		return EXIT_OK;
	}
	if (!channel_open(&runner.channel, &why)) {
		fprintf(stderr, "longhaul-runner: %s\n", why);
		return EXIT_USAGE;
	}
	signals_setup();
	prctl(PR_SET_NAME, "longhaul-runner"); /* started by a descriptor, it has none */
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* what a command leaves behind becomes our child */
	return serve(&runner);
}
