/*
 * conn_input.c: from received bytes to requests and bodies.
 */
#include <stdlib.h>
#include <string.h>

#include "api/app.h"
#include "api/conn.h"
#include "api/conn_state.h"
#include "api/fcgi.h"
#include "api/request.h"
#include "api/router.h"
#include "common/log.h"

#define CHATTER_MAX 1048576 /* most bytes of answers to management records that nobody reads */

/* Calls end() of the body, once. */
static void body_tell_end(struct conn *c)
{
	struct request *req = c->req;

	if (c->state != CONN_REQUEST || !req || !c->body_done || c->body_told ||
	    req->body.mode != BODY_READING)
		return;
	c->body_told = true;
	req->body.mode = BODY_DISCARDED;
	req->body.end(req, req->body.ctx,
		      req->body.length < 0 || req->body.got == req->body.length);
}

/* Hands n bytes of the body to whoever wants them. False if nobody does yet. */
static bool body_take(struct conn *c, const unsigned char *p, size_t n)
{
	struct request *req = c->req;
	struct request_body *body = req ? &req->body : NULL;
	int64_t wanted = (int64_t)n;
	bool more;

	if (!body || body->mode == BODY_DISCARDED)
		return true;
	if (body->mode != BODY_READING)
		return false;
	/* what goes beyond the declared length isn't shown to the handler; body_tell_end tells of it */
	if (body->length >= 0 && wanted > body->length - body->got)
		wanted = body->got < body->length ? body->length - body->got : 0;
	body->got += (int64_t)n;
	if (wanted == 0)
		return true;
	body->resumed = false;
	more = body->data(req, body->ctx, (const char *)p, (size_t)wanted);
	if (!more && !body->resumed && body->mode == BODY_READING)
		body->mode = BODY_PAUSED;
	return true;
}

static void conn_broken(struct conn *c, const char *why)
{
	log_warning("closing a FastCGI connection reason=\"%s\" request=%s", why,
		    c->req ? c->req->id : "-");
	conn_doom(c);
}

static void skip(struct input *in, size_t n)
{
	in->p += n;
	in->n -= n;
}

/* A record that isn't part of the request on this connection; `content` is whole. */
static void other_record(struct conn *c, const struct fcgi_record *rec,
			 const unsigned char *content)
{
	unsigned char reply[128];
	size_t n = 0;

	if (rec->type == FCGI_BEGIN_REQUEST) {
		bool busy = c->state == CONN_REQUEST || c->walk.begun;

		n = fcgi_put_end(reply, rec->id, busy ? FCGI_CANT_MPX_CONN : FCGI_UNKNOWN_ROLE);
		if (!busy && !(content[2] & FCGI_KEEP_CONN)) {
			c->refused = true;
			c->state = CONN_FLUSH;
		}
	} else if (rec->id == FCGI_NULL_REQUEST_ID && rec->type == FCGI_GET_VALUES) {
		n = fcgi_put_values(reply, sizeof(reply), content, rec->content,
				    app.cfg->max_connections);
	} else if (rec->id == FCGI_NULL_REQUEST_ID) {
		n = fcgi_put_unknown_type(reply, rec->type);
	}
	/* everything else is a leftover of a request that has ended */
	if (n > 0 &&
	    (outq_waiting(&c->out) > CHATTER_MAX || !outq_raw(&c->out, c->io.fd, reply, n)))
		conn_doom(c);
}

/* The peer gave up a request: it is ended, unless its answer with its own end is in the queue. */
static void conn_aborted(struct conn *c, uint16_t id)
{
	bool answered = c->state == CONN_REQUEST && !c->req;
	unsigned char end[16];

	if (c->req)
		request_detach(conn_request_unlink(c), true);
	c->out.held = false;
	c->body_done = true;
	c->state = CONN_FLUSH;
	if (!answered &&
	    !outq_raw(&c->out, c->io.fd, end, fcgi_put_end(end, id, FCGI_REQUEST_COMPLETE)))
		conn_doom(c);
	if (!outq_flush(&c->out, c->io.fd))
		conn_doom(c);
}

static void head_ready(struct conn *c, struct input *in)
{
	struct request *req = fcgi_decode(in->p + c->walk.first, c->walk.last - c->walk.first,
					  c->walk.id);

	skip(in, c->walk.done);
	if (!req) {
		conn_doom(c);
		return;
	}
	c->id = c->walk.id;
	c->keep = c->walk.keep;
	conn_request_begin(c, req);
	route_request(req);
}

/* Answers a request whose parameters we won't read; the connection ends with it. */
static void head_too_large(struct conn *c)
{
	static char *const nothing[] = { NULL };

	c->id = c->walk.id;
	c->keep = false;
	c->refused = true;
	conn_request_begin(c, request_new(nothing));
	c->out.held = false;
	c->body_done = true;
	reply_problem(c->req, "headers-too-large", NULL, "The request headers are too large.");
}

/* Looks for a whole head. True if there is more to do with this input. */
static bool take_head(struct conn *c, struct input *in)
{
	unsigned char *rec;
	size_t size;

	switch (fcgi_walk(&c->walk, in->p, in->n)) {
	case WALK_MORE:
		return false;
	case WALK_READY:
		head_ready(c, in);
		return true;
	case WALK_TOO_LARGE:
		head_too_large(c);
		return false;
	case WALK_OTHER:
		break;
	case WALK_BAD:
	default:
		conn_broken(c, "malformed records before a request");
		return false;
	}
	rec = in->p + c->walk.done;
	size = fcgi_record_size(&c->walk.other);
	if (c->walk.begun &&
	    c->walk.other.id == c->walk.id) { /* an abort before the head was complete */
		c->keep = c->walk.keep;
		conn_aborted(c, c->walk.id);
		skip(in, c->walk.done + size);
		return true;
	}
	other_record(c, &c->walk.other, rec + FCGI_HEADER_LEN);
	in->n -= size;
	memmove(rec, rec + size, in->n - c->walk.done);
	return true;
}

/* The next piece of the body. True if there is more to do with this input. */
static bool take_content(struct conn *c, struct input *in)
{
	size_t n = in->n < c->content_left ? in->n : c->content_left;

	if (n == 0 || !body_take(c, in->p, n))
		return false;
	c->content_left = (uint16_t)(c->content_left - n);
	skip(in, n);
	return true;
}

static void stdin_record(struct conn *c, const struct fcgi_record *rec)
{
	if (c->body_done) {
		conn_broken(c, "a body that goes on behind its end");
		return;
	}
	c->content_left = rec->content;
	c->padding_left = rec->padding;
	if (rec->content > 0)
		return;
	c->body_done = true;
	c->out.held = false;
	if (!outq_flush(&c->out, c->io.fd))
		conn_doom(c);
}

/* Records while a request is under way. True if there is more to do with this input. */
static bool take_record(struct conn *c, struct input *in)
{
	struct fcgi_record rec;

	if (c->content_left > 0)
		return take_content(c, in);
	if (c->padding_left > 0 && in->n > 0) {
		size_t n = in->n < c->padding_left ? in->n : c->padding_left;

		c->padding_left = (uint8_t)(c->padding_left - n);
		skip(in, n);
		return true;
	}
	if (in->n < FCGI_HEADER_LEN)
		return false;
	if (!fcgi_record_read(in->p, &rec) ||
	    (rec.type == FCGI_BEGIN_REQUEST && (rec.id == c->id || rec.id == FCGI_NULL_REQUEST_ID ||
						rec.content != sizeof(FCGI_BeginRequestBody)))) {
		conn_broken(c, "malformed records within a request");
		return false;
	}
	if (rec.id == c->id && rec.type == FCGI_STDIN) {
		stdin_record(c, &rec);
		skip(in, FCGI_HEADER_LEN);
		return true;
	}
	if (in->n < fcgi_record_size(&rec))
		return false;
	if (rec.id == c->id && rec.type == FCGI_ABORT_REQUEST)
		conn_aborted(c, c->id);
	else
		other_record(c, &rec, in->p + FCGI_HEADER_LEN);
	skip(in, fcgi_record_size(&rec));
	return true;
}

/* Does all that can be done with this input. */
void conn_work(struct conn *c, struct input *in)
{
	bool more;

	do {
		body_tell_end(c);
		conn_settle(c);
		more = false;
		if (c->state == CONN_HEAD)
			more = take_head(c, in);
		else if (c->state == CONN_REQUEST)
			more = take_record(c, in);
	} while (more);
	conn_settle(c);
	if (c->refused || c->state == CONN_DEAD)
		in->n = 0;
}
