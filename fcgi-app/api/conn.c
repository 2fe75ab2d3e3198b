/*
 * conn.c: the life of a FastCGI connection.
 *
 * Only the event loop's own callbacks (conn_event, the sweep) close a connection. Everything else, the
 * handlers' answers included, may mark it CONN_DEAD at most, so that no caller up the stack holds a
 * connection that is gone.
 */
#include "api/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/app.h"
#include "api/conn_state.h"
#include "api/request.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"

#define RECEIVE_SIZE 65536
#define BODY_AHEAD 65536  /* most bytes kept of a body that its handler doesn't want yet */
#define BUFFER_MAX 163840 /* a whole head and a whole foreign record behind it */
#define LINGER_MS 2000
#define SWEEP_S 1.0
#define SPARE_MAX 256

static struct {
	struct ev_loop *loop;
	void (*changed)(void);
	struct conn *first, *spare;
	int open, requests, spares;
	bool draining;
	ev_timer sweep;
	ev_prepare bury;
} conns;

static unsigned char scratch[RECEIVE_SIZE];

int conns_open(void)
{
	return conns.open;
}

int conns_requests(void)
{
	return conns.requests;
}

/* Marks it for closing. */
void conn_doom(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_DEAD;
	if (!c->working)
		ev_feed_event(conns.loop, &c->io, EV_CUSTOM);
}

/* True while the handler has asked for no (more) body and there is some. */
static bool body_blocked(const struct conn *c)
{
	return c->content_left > 0 && c->req &&
	       (c->req->body.mode == BODY_WAITING || c->req->body.mode == BODY_PAUSED);
}

/* Tells the event loop what to watch for: nothing new in the common case. */
static void conn_watch(struct conn *c)
{
	int events = 0;

	/* conn_event will be called, and calls this; stopping the watcher would take its event away */
	if (ev_is_pending(&c->io))
		return;
	if (c->state == CONN_LINGER || ((c->state == CONN_HEAD || c->state == CONN_REQUEST) &&
					c->in.len < (body_blocked(c) ? BODY_AHEAD : BUFFER_MAX)))
		events |= EV_READ;
	if (!c->out.held && outq_waiting(&c->out) > 0)
		events |= EV_WRITE;
	if (ev_is_active(&c->io) && (c->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(conns.loop, &c->io);
	ev_io_set(&c->io, c->io.fd, events);
	if (events)
		ev_io_start(conns.loop, &c->io);
}

struct request *conn_request_unlink(struct conn *c)
{
	struct request *req = c->req;

	c->req = NULL;
	c->want_drain = false;
	conns.requests--;
	return req;
}

static void conn_close(struct conn *c)
{
	ev_io_stop(conns.loop, &c->io);
	ev_clear_pending(conns.loop, &c->io);
	if (c->req)
		request_detach(conn_request_unlink(c), true);
	close(c->io.fd);
	buf_free(&c->in);
	outq_free(&c->out);
	if (c->prev)
		c->prev->next = c->next;
	else
		conns.first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	if (--conns.open == 0)
		ev_timer_stop(conns.loop, &conns.sweep);
	if (conns.spares < SPARE_MAX) {
		c->next = conns.spare;
		conns.spare = c;
		conns.spares++;
	} else {
		free(c);
	}
	if (conns.changed)
		conns.changed();
}

/* The answer is out and the body in: ready for the next request, or the end. */
static void conn_next(struct conn *c)
{
	if (c->refused) {
		shutdown(c->io.fd, SHUT_WR);
		c->state = CONN_LINGER;
		c->last = mono_ms();
	} else if (!c->keep || conns.draining) {
		conn_doom(c);
	} else {
		c->state = CONN_HEAD;
		memset(&c->walk, 0, sizeof(c->walk));
	}
}

/* Goes on to the next state if the present one is complete. */
void conn_settle(struct conn *c)
{
	if (c->state == CONN_REQUEST && !c->req && c->body_done && c->padding_left == 0)
		c->state = CONN_FLUSH;
	if (c->state == CONN_FLUSH && outq_waiting(&c->out) == 0)
		conn_next(c);
}

/* A request is there: from now on until its answer is complete it is the router's. */
void conn_request_begin(struct conn *c, struct request *req)
{
	c->req = req;
	req->conn = c;
	c->state = CONN_REQUEST;
	c->body_done = c->body_told = c->want_drain = false;
	c->content_left = 0;
	c->padding_left = 0;
	c->out.held = true;
	conns.requests++;
}

/* Works on what was received before. */
static void conn_work_buffered(struct conn *c)
{
	struct input in = { (unsigned char *)c->in.data, c->in.len };

	conn_work(c, &in);
	if (in.n > 0)
		memmove(c->in.data, in.p, in.n);
	c->in.len = in.n;
	if (in.n == 0)
		buf_free(&c->in); /* an idle or parked connection owns no buffer */
}

static void conn_receive(struct conn *c)
{
	struct input in = { scratch, 0 };
	ssize_t n = recv(c->io.fd, scratch, sizeof(scratch), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
		conn_doom(c);
		return;
	}
	if (n > 0)
		c->last = mono_ms();
	if (c->state == CONN_LINGER)
		return;
	in.n = n > 0 ? (size_t)n : 0;
	if (c->in.len > 0) {
		if (!buf_add(&c->in, in.p, in.n))
			conn_doom(c);
		else
			conn_work_buffered(c);
		return;
	}
	conn_work(c, &in);
	if (in.n > 0 && !buf_add(&c->in, in.p, in.n))
		conn_doom(c);
}

/* Tells the handler of a streamed answer that it can go on. */
static void stream_drain(struct conn *c)
{
	struct request *req = c->req;

	if (!c->want_drain || !req || outq_waiting(&c->out) >= STREAM_LOW)
		return;
	c->want_drain = false;
	if (req->reply.drain)
		req->reply.drain(req, req->reply.drain_ctx);
}

static void conn_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct conn *c = (struct conn *)io;

	(void)loop;
	c->working = true;
	if (c->state != CONN_DEAD && outq_waiting(&c->out) > 0 && !outq_flush(&c->out, c->io.fd))
		conn_doom(c);
	if (c->state != CONN_DEAD && (revents & EV_READ))
		conn_receive(c);
	if (c->state != CONN_DEAD && !(revents & EV_READ))
		conn_work_buffered(c);
	if (c->state != CONN_DEAD)
		stream_drain(c);
	conn_settle(c);
	if (conns.draining && c->state == CONN_HEAD && c->in.len == 0)
		c->state = CONN_DEAD;
	c->working = false;

	if (c->out.moved) {
		c->out.moved = false;
		c->last = mono_ms();
	}
	if (c->state == CONN_DEAD)
		conn_close(c);
	else
		conn_watch(c);
}

void conn_kick(struct conn *c)
{
	if (!c->working)
		ev_feed_event(conns.loop, &c->io, EV_CUSTOM);
}

/* After an answer moved on outside of conn_event. */
static void conn_moved(struct conn *c)
{
	if (c->working)
		return;
	conn_settle(c);
	if (c->state == CONN_DEAD)
		return;
	if (c->in.len > 0)
		conn_kick(c);
	conn_watch(c);
}

void conn_answer(struct conn *c, const struct iovec *parts, int nparts)
{
	if (c->state == CONN_DEAD)
		return;
	if (outq_waiting(&c->out) == 0)
		c->last = mono_ms();
	if (!outq_stdout(&c->out, c->io.fd, c->id, parts, nparts, false))
		conn_doom(c);
	if (outq_waiting(&c->out) >= STREAM_LOW)
		c->want_drain = true;
	conn_moved(c);
}

void conn_answer_end(struct conn *c, const struct iovec *parts, int nparts)
{
	struct request *req = conn_request_unlink(c);

	c->last = mono_ms();
	if (c->state != CONN_DEAD && !outq_stdout(&c->out, c->io.fd, c->id, parts, nparts, true))
		conn_doom(c);
	request_detach(req, false);
	conn_moved(c);
}

void conn_abort(struct conn *c)
{
	request_detach(conn_request_unlink(c), false);
	conn_doom(c);
}

size_t conn_queued(const struct conn *c)
{
	return outq_waiting(&c->out);
}

void conn_new(int fd)
{
	struct conn *c = conns.spare;

	if (c) {
		conns.spare = c->next;
		conns.spares--;
	} else {
		c = mem_alloc(sizeof(*c));
	}
	memset(c, 0, sizeof(*c));
	ev_io_init(&c->io, conn_event, fd, EV_READ);
	c->last = mono_ms();
	c->next = conns.first;
	if (c->next)
		c->next->prev = c;
	conns.first = c;
	if (conns.open++ == 0)
		ev_timer_again(conns.loop, &conns.sweep);
	conn_watch(c);
}

/* How long the peer may take with what it owes us now; 0 if it is we who are at work. */
static int patience(const struct conn *c)
{
	switch (c->state) {
	case CONN_HEAD:
		return c->in.len > 0 ? app.cfg->io_timeout_ms : 0;
	case CONN_LINGER:
		return LINGER_MS;
	case CONN_REQUEST:
		if (!c->body_done && (!c->req || c->req->body.mode == BODY_READING ||
				      c->req->body.mode == BODY_DISCARDED))
			return app.cfg->io_timeout_ms;
		break;
	default:
		break;
	}
	return outq_waiting(&c->out) > 0 && !c->out.held ? app.cfg->io_timeout_ms : 0;
}

static void conns_sweep(struct ev_loop *loop, ev_timer *timer, int revents)
{
	int64_t now = mono_ms();
	struct conn *next;

	(void)loop;
	(void)timer;
	(void)revents;
	for (struct conn *c = conns.first; c; c = next) {
		int ms = patience(c);

		next = c->next;
		if (ms == 0 || now - c->last < ms)
			continue;
		if (c->state != CONN_LINGER)
			log_info("closing a FastCGI connection: no progress in %d ms request=%s",
				 ms, c->req ? c->req->id : "-");
		conn_close(c);
	}
}

static void conns_bury(struct ev_loop *loop, ev_prepare *prepare, int revents)
{
	(void)loop;
	(void)prepare;
	(void)revents;
	request_bury();
}

void conns_start(struct ev_loop *loop, void (*changed)(void))
{
	conns.loop = loop;
	conns.changed = changed;
	ev_timer_init(&conns.sweep, conns_sweep, 0, SWEEP_S);
	ev_prepare_init(&conns.bury, conns_bury);
	ev_prepare_start(loop, &conns.bury);
}

void conns_drain(void)
{
	conns.draining = true;
	/* read once more before closing: a request may have arrived on an idle connection just now */
	for (struct conn *c = conns.first; c; c = c->next)
		if (c->state == CONN_HEAD)
			ev_feed_event(conns.loop, &c->io, EV_READ);
}

void conns_stop(void)
{
	conns.changed = NULL;
	while (conns.first)
		conn_close(conns.first);
	request_bury();
	while (conns.spare) {
		struct conn *c = conns.spare;

		conns.spare = c->next;
		free(c);
	}
	conns.spares = 0;
	ev_prepare_stop(conns.loop, &conns.bury);
}
