/*
 * courier.c: starts longhaul-courier and talks to it.
 */
#include "courier.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ev.h>

#include "common/log.h"
#include "common/times.h"
#include "common/wire.h"
#include "settings.h"
#include "spawn.h"
#include "worker.h"

#define READ_SIZE 65536
#define RESTART_MIN_MS 50
#define RESTART_MAX_MS 10000
#define STEADY_MS 10000 /* one that has lived so long is started again quickly */
#define END_MS 2000     /* time to end by itself */

static struct {
	pid_t pid; /* 0 = none */
	int fd;
	int64_t started_at, start_at;
	int restart_ms;
	struct buf in, out;
	size_t out_at;
	ev_io io;
	ev_signal child;
	courier_posted_fn *posted;
	courier_died_fn *died;
} c = { .fd = -1 };

bool courier_is(pid_t pid)
{
	return c.pid == pid;
}

bool courier_up(void)
{
	return c.fd >= 0;
}

/* ---- ends ------------------------------------------------------------------------------------- */

static void hang_up(void)
{
	if (c.fd < 0)
		return;
	ev_io_stop(worker.loop, &c.io);
	close(c.fd);
	c.fd = -1;
	buf_reset(&c.in);
	buf_reset(&c.out);
	c.out_at = 0;
}

/* It has died, or must: posts under way are over. It is started anew once it has been buried. */
static void lost(const char *why)
{
	if (c.fd < 0)
		return;
	log_warning("the courier is lost pid=%d: %s", (int)c.pid, why);
	kill(c.pid, SIGKILL);
	hang_up();
	c.died();
}

static void on_child(struct ev_loop *loop, ev_signal *w, int revents)
{
	int status;
	int64_t now = mono_ms();

	(void)loop;
	(void)w;
	(void)revents;
	if (c.pid == 0 || waitpid(c.pid, &status, WNOHANG) != c.pid)
		return;
	lost("it has ended");
	c.pid = 0;
	if (now - c.started_at >= STEADY_MS)
		c.restart_ms = 0;
	c.restart_ms = c.restart_ms == 0 ? RESTART_MIN_MS : 2 * c.restart_ms;
	if (c.restart_ms > RESTART_MAX_MS)
		c.restart_ms = RESTART_MAX_MS;
	c.start_at = now + c.restart_ms;
}

/* ---- sending ---------------------------------------------------------------------------------- */

static void flush(void)
{
	int events;

	while (c.out_at < c.out.len) {
		ssize_t n = send(c.fd, c.out.data + c.out_at, c.out.len - c.out_at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) { /* reading tells that it is gone */
			c.out_at = c.out.len;
			break;
		}
		c.out_at += (size_t)n;
	}
	if (c.out_at == c.out.len) {
		buf_reset(&c.out);
		c.out_at = 0;
	}
	events = EV_READ | (c.out.len > 0 ? EV_WRITE : 0);
	if ((c.io.events & (EV_READ | EV_WRITE)) != events) {
		ev_io_stop(worker.loop, &c.io);
		ev_io_set(&c.io, c.fd, events);
		ev_io_start(worker.loop, &c.io);
	}
}

void courier_post(uint32_t ticket, const struct wire_post *post)
{
	if (!wire_put_post(&c.out, ticket, post))
		abort();
	flush();
}

void courier_forget(uint32_t ticket)
{
	if (c.fd < 0)
		return;
	if (!wire_put(&c.out, WIRE_FORGET, ticket, NULL, 0))
		abort();
	flush();
}

/* ---- receiving -------------------------------------------------------------------------------- */

static bool on_frame(const struct wire_head *head, const char *payload)
{
	struct wire_posted posted;

	if (head->kind != WIRE_POSTED || !wire_get_posted(payload, head->size, &posted))
		return false;
	c.posted(head->ticket, &posted);
	return true;
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
	ssize_t n;

	(void)loop;
	(void)w;
	if (revents & EV_WRITE)
		flush();
	if (!(revents & EV_READ))
		return;
	if (!buf_reserve(&c.in, READ_SIZE))
		abort();
	n = recv(c.fd, c.in.data + c.in.len, READ_SIZE, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lost("it has closed its socket");
		return;
	}
	c.in.len += (size_t)n;
	if (!wire_frames(&c.in, on_frame))
		lost("it doesn't keep to the protocol");
}

/* ---- start and end ---------------------------------------------------------------------------- */

static void start(int64_t now)
{
	const struct webhook_config *w = &config.webhook;
	struct wire_courier setup = {
		.log_level = config.log.level,
		.timeout_ms = w->timeout_ms,
		.connect_ms = w->connect_ms,
		.response_max = (int32_t)w->response_max,
		.allow_http = w->allow_http,
		.allow = w->allow,
		.dns_servers = w->dns_servers,
		.ca_file = w->ca_file,
	};

	c.started_at = now;
	if (!spawn_courier(worker.courier_path, &c.pid, &c.fd)) {
		c.start_at = now + RESTART_MAX_MS;
		return;
	}
	ev_io_init(&c.io, on_io, c.fd, EV_READ);
	ev_io_start(worker.loop, &c.io);
	if (!wire_put_courier(&c.out, &setup))
		abort();
	flush();
	log_debug("courier started pid=%d", (int)c.pid);
}

void courier_open(courier_posted_fn *posted, courier_died_fn *died)
{
	c.posted = posted;
	c.died = died;
	ev_signal_init(&c.child, on_child, SIGCHLD);
	ev_signal_start(worker.loop, &c.child);
}

void courier_step(int64_t now)
{
	if (c.pid != 0)
		return;
	if (now >= c.start_at)
		start(now);
	else
		worker_wake_at(c.start_at);
}

void courier_close(void)
{
	int64_t until = mono_ms() + END_MS;

	if (c.pid == 0)
		return;
	hang_up(); /* which it takes as the sign to end */
	while (waitpid(c.pid, NULL, WNOHANG) == 0) {
		if (mono_ms() >= until)
			kill(c.pid, SIGKILL);
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
	c.pid = 0;
	buf_free(&c.in);
	buf_free(&c.out);
}
