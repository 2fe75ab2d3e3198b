/*
 * service.c: readiness, watchdog, status and handed-over sockets.
 */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <ev.h>
#include <systemd/sd-daemon.h>

#include "log.h"

#define STATUS_S 5.0 /* how often the status is told */
#define STATUS_BYTES 200

static struct {
	const struct service_hooks *hooks;
	ev_timer timer;
	bool watched, insane;
	char said[STATUS_BYTES];
} service;

/* A status that stands as it did isn't told again. */
static void tell_status(void)
{
	char text[STATUS_BYTES] = "";

	if (!service.hooks || !getenv("NOTIFY_SOCKET"))
		return;
	service.hooks->status(text, sizeof(text));
	if (strcmp(text, service.said) == 0)
		return;
	strcpy(service.said, text);
	sd_notifyf(0, "STATUS=%s", text);
}

static void turn(struct ev_loop *loop, ev_timer *timer, int revents)
{
	bool sane = !service.hooks->sane || service.hooks->sane();

	(void)loop;
	(void)timer;
	(void)revents;
	if (!sane && !service.insane)
		log_error("nothing goes on as it should: the watchdog is no longer fed");
	service.insane = !sane;
	if (service.watched && sane)
		sd_notify(0, "WATCHDOG=1");
	tell_status();
}

void service_start(struct ev_loop *loop, const struct service_hooks *hooks)
{
	uint64_t usec = 0;
	double every = STATUS_S;

	service.hooks = hooks;
	if (!getenv("NOTIFY_SOCKET"))
		return;
	service.watched = sd_watchdog_enabled(0, &usec) > 0;
	if (service.watched && (double)usec / 3e6 < every)
		every = (double)usec / 3e6; /* one may come late */
	ev_timer_init(&service.timer, turn, every, every);
	ev_timer_start(loop, &service.timer);
}

void service_stop(struct ev_loop *loop)
{
	ev_timer_stop(loop, &service.timer);
	service.hooks = NULL;
}

void service_ready(void)
{
	sd_notify(0, "READY=1");
	tell_status();
}

void service_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
		   (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void service_stopping(int64_t longest_ms)
{
	sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64, longest_ms * 1000);
	tell_status();
}

int service_socket(void)
{
	int n = sd_listen_fds(1), fd = SD_LISTEN_FDS_START;

	if (n == 0)
		return SERVICE_NO_SOCKET;
	if (n != 1 || sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
		log_error(
			"the service manager hands over what isn't one listening stream socket n=%d",
			n);
		return SERVICE_BAD_SOCKET;
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
		log_error("the socket handed over can't be used: %s", strerror(errno));
		return SERVICE_BAD_SOCKET;
	}
	return fd;
}

bool service_is_private(const char *entry)
{
	return strncmp(entry, "NOTIFY_SOCKET=", 14) == 0 || strncmp(entry, "WATCHDOG_", 9) == 0 ||
	       strncmp(entry, "LISTEN_", 7) == 0;
}
