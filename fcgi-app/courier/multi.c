/*
 * multi.c: libcurl's multi interface in a libev loop.
 */
#include "multi.h"

#include <stdlib.h>

#include <ev.h>

#include "common/log.h"
#include "common/mem.h"

static struct {
	struct ev_loop *loop;
	CURLM *multi;
	multi_done_fn *done;
	ev_timer timer;
} m;

/* Reports those that have ended. They may start new ones in there. */
static void collect(void)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(m.multi, &left))) {
		CURL *easy = msg->easy_handle;
		CURLcode code = msg->data.result;
		void *private = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
		curl_multi_remove_handle(m.multi, easy);
		m.done(private, code);
	}
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
	int running, fd = w->fd;

	(void)loop;
	curl_multi_socket_action(m.multi, fd,
				 (revents & EV_READ ? CURL_CSELECT_IN : 0) |
					 (revents & EV_WRITE ? CURL_CSELECT_OUT : 0),
				 &running);
	collect();
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	int running;

	(void)loop;
	(void)w;
	(void)revents;
	curl_multi_socket_action(m.multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect();
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *watcher)
{
	ev_io *io = watcher;

	(void)easy;
	(void)ctx;
	if (io)
		ev_io_stop(m.loop, io);
	if (what == CURL_POLL_REMOVE) {
		free(io);
		curl_multi_assign(m.multi, fd, NULL);
		return 0;
	}
	if (!io) {
		io = mem_zalloc(sizeof(*io));
		ev_init(io, on_io);
		curl_multi_assign(m.multi, fd, io);
	}
	ev_io_set(io, fd,
		  (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
	ev_io_start(m.loop, io);
	return 0;
}

static int on_timeout(CURLM *multi, long ms, void *ctx)
{
	(void)multi;
	(void)ctx;
	ev_timer_stop(m.loop, &m.timer);
	if (ms < 0)
		return 0;
	ev_now_update(m.loop);
	ev_timer_set(&m.timer, (double)ms / 1000, 0.);
	ev_timer_start(m.loop, &m.timer);
	return 0;
}

bool multi_open(struct ev_loop *loop, multi_done_fn *done)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return false;
	m.loop = loop;
	m.done = done;
	m.multi = curl_multi_init();
	ev_init(&m.timer, on_timer);
	return m.multi &&
	       curl_multi_setopt(m.multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
	       curl_multi_setopt(m.multi, CURLMOPT_TIMERFUNCTION, on_timeout) == CURLM_OK;
}

void multi_close(void)
{
	ev_timer_stop(m.loop, &m.timer);
	curl_multi_cleanup(m.multi);
	curl_global_cleanup();
}

bool multi_add(CURL *easy)
{
	CURLMcode code = curl_multi_add_handle(m.multi, easy);

	if (code != CURLM_OK)
		log_error("a transfer can't be started: %s", curl_multi_strerror(code));
	return code == CURLM_OK;
}

void multi_remove(CURL *easy)
{
	curl_multi_remove_handle(m.multi, easy);
}
