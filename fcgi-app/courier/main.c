/*
 * main.c: longhaul-courier posts what longhaul-worker gives it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ev.h>

#include "common/buf.h"
#include "common/exit_codes.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/wire.h"
#include "courier.h"
#include "multi.h"
#include "post.h"
#include "resolve.h"

#define READ_SIZE 65536

struct courier courier;

static struct {
	ev_io io;
	struct buf in, out;
	size_t out_at;
	bool set_up;
	int exit_code;
} channel;

static void leave(int code)
{
	channel.exit_code = code;
	ev_break(courier.loop, EVBREAK_ALL);
}

/* ---- sending ---------------------------------------------------------------------------------- */

static void flush(void)
{
	int events;

	while (channel.out_at < channel.out.len) {
		ssize_t n = send(WIRE_FD_SOCKET, channel.out.data + channel.out_at,
				 channel.out.len - channel.out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) { /* the daemon is gone: reading tells */
			channel.out_at = channel.out.len;
			break;
		}
		channel.out_at += (size_t)n;
	}
	if (channel.out_at == channel.out.len) {
		buf_reset(&channel.out);
		channel.out_at = 0;
	}
	events = EV_READ | (channel.out.len > 0 ? EV_WRITE : 0);
	if ((channel.io.events & (EV_READ | EV_WRITE)) != events) {
		ev_io_stop(courier.loop, &channel.io);
		ev_io_set(&channel.io, WIRE_FD_SOCKET, events);
		ev_io_start(courier.loop, &channel.io);
	}
}

void courier_answer(uint32_t ticket, const struct wire_posted *posted)
{
	if (!wire_put_posted(&channel.out, ticket, posted))
		abort();
	flush();
}

/* ---- receiving -------------------------------------------------------------------------------- */

static void transferred(void *private, CURLcode code)
{
	post_transferred(private, (int)code);
}

/* False: it can't work so; said in the log. */
static bool set_up(const char *payload, size_t size)
{
	struct wire_courier c;
	char err[120];

	if (channel.set_up || !wire_get_courier(payload, size, &c))
		return false;
	log_set_level((enum log_level)c.log_level);
	if (!netguard_parse(&courier.guard.net, c.allow, err, sizeof(err))) {
		log_error("[webhook] allow: %s", err);
		return false;
	}
	courier.guard.allow_http = c.allow_http;
	courier.timeout_ms = c.timeout_ms;
	courier.connect_ms = c.connect_ms;
	courier.response_max = c.response_max;
	courier.ca_file = mem_strdup(c.ca_file);
	channel.set_up = true;
	return resolver_open(courier.loop, c.dns_servers, c.connect_ms) &&
	       multi_open(courier.loop, transferred);
}

static bool on_frame(const struct wire_head *head, const char *payload)
{
	struct wire_post post;

	if (head->kind == WIRE_COURIER)
		return set_up(payload, head->size);
	if (!channel.set_up)
		return false;
	if (head->kind == WIRE_FORGET) {
		post_forget(head->ticket);
		return true;
	}
	if (head->kind != WIRE_POST || !wire_get_post(payload, head->size, &post))
		return false;
	post_begin(head->ticket, &post);
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
	if (!buf_reserve(&channel.in, READ_SIZE))
		abort();
	n = recv(WIRE_FD_SOCKET, channel.in.data + channel.in.len, READ_SIZE, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		leave(EXIT_OK);
		return;
	}
	channel.in.len += (size_t)n;
	if (!wire_frames(&channel.in, on_frame)) /* the daemon is of another version */
		leave(EXIT_ENVIRONMENT);
}

/* ---- start and end ---------------------------------------------------------------------------- */

/* Each post has a socket; a descriptor that can't be had would be its failure. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void clean_up(void)
{
	post_forget_all();
	if (channel.set_up) {
		resolver_close();
		multi_close();
	}
	webhook_guard_free(&courier.guard);
	free(courier.ca_file);
	buf_free(&channel.in);
	buf_free(&channel.out);
	ev_loop_destroy(courier.loop);
}

int main(void)
{
	struct stat st;

	log_open_helper("longhaul-courier", LOG_LEVEL_WARNING);
	if (fstat(WIRE_FD_SOCKET, &st) || !S_ISSOCK(st.st_mode)) {
		fputs("longhaul-courier: this program is started by longhaul-worker, not by hand\n",
		      stderr);
		return EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_limit();
	courier.loop = ev_loop_new(EVFLAG_AUTO);
	if (!courier.loop)
		return EXIT_ENVIRONMENT;
	ev_io_init(&channel.io, on_io, WIRE_FD_SOCKET, EV_READ);
	ev_io_start(courier.loop, &channel.io);
	ev_run(courier.loop, 0);
	clean_up();
	return channel.exit_code;
}
