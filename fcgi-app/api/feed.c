/*
 * feed.c: all changes of a client's jobs as one stream of server-sent events.
 *
 * A feed begins with the client's live jobs, and those that ended since the cursor it came with, page
 * by page as fast as it is read. Meanwhile and from then on, one look for all feeds of the process
 * tells what has changed; see feed_marks.h for how far back it goes. A feed that can't take what a
 * look brought, or of whose client too much has changed at once, goes through the pages again from
 * where it was complete: so memory is bounded, jobs may come twice, and none is missed. With ?from=now it has
 * no beginning: who asks so reads the lists once the stream has begun.
 *
 * Looks and pages go over one connection, so what comes later is never older.
 */
#include "api/feed.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <ev.h>

#include "api/app.h"
#include "api/conn.h"
#include "api/feed_marks.h"
#include "api/jobdoc.h"
#include "api/jobs.h"
#include "api/jobrow.h"
#include "api/queues.h"
#include "api/sse.h"
#include "common/buf.h"
#include "common/db.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"

#define PAGE_ROWS 200 /* jobs looked at for one page */
#define LOOK_ROWS 200 /* most changes of one client in one look */
#define BUSY_FACTOR 4 /* a look that takes long is followed by a pause this many times as long */

/* Columns behind those of a job. */
enum { C_SCANNED_TO = JOB_COLUMNS, C_AT = JOB_COLUMNS, C_LAST_SEQ, C_XID, C_XMIN };

/* One change that a look brought. */
struct told {
	struct uuid id;
	int64_t version;
};

struct feed_client {
	struct feed_client *next, **at;
	char *name;
	struct feed *feeds;
	/* What the last look brought and this one brings again isn't sent again; both sorted by id. */
	struct told before[LOOK_ROWS], now[LOOK_ROWS];
	int n_before, n_now;
	bool looked; /* a look that names it is under way */
};

enum feed_phase {
	FEED_OPENING, /* asks where to begin */
	FEED_PAGES,   /* a page is under way, or waits for the reader */
	FEED_LIVE,    /* looks bring the rest */
};

struct feed {
	struct request *req;
	struct feed_client *client;
	struct feed *next, **at; /* of its client */
	ev_timer beat;
	enum feed_phase phase;
	bool begun;    /* the head is sent */
	bool from_now; /* without the pages of the first round */
	bool asking;   /* a statement of this feed is under way */
	bool again;    /* something was left out: another round of pages */
	bool has_before;
	struct uuid before, low;
	int64_t complete; /* Unix ms: of what is older nothing is missing; 0 = nothing is known */
	int64_t since;    /* the pages of this round have what ended since; 0 = only live jobs */
	int64_t round_at; /* Unix ms: what is older can be seen by this round of pages */
};

static struct app *owner;
static struct feed_client *clients;
static ev_timer look_timer;
static struct feed_marks marks;
static bool looking;
static int64_t look_began;
static struct feed_client **looked; /* in the order of the look's array */
static size_t n_looked, cap_looked, n_asking;
static struct pgarray names;
static struct buf out; /* what is sent is made here */

static void ask_page(struct feed *f);
static void open_round(struct feed *f);

/* ---- feeds and their clients ------------------------------------------------------------------ */

static struct feed_client *client_of(const char *name)
{
	struct feed_client *c = clients;

	while (c && strcmp(c->name, name) != 0)
		c = c->next;
	if (c)
		return c;
	c = mem_zalloc(sizeof(*c));
	c->name = mem_strdup(name);
	c->next = clients;
	c->at = &clients;
	if (c->next)
		c->next->at = &c->next;
	clients = c;
	return c;
}

static void client_free_if_unused(struct feed_client *c)
{
	if (c->feeds || c->looked)
		return;
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	free(c->name);
	free(c);
	if (!clients) {
		marks.begun = false;
		ev_timer_stop(owner->loop, &look_timer);
	}
}

/* Lets go of the feed's request, which has been answered or has gone. The feed itself is freed with it. */
static void feed_close(struct feed *f)
{
	struct feed_client *c = f->client;

	if (!c)
		return;
	f->client = NULL;
	ev_timer_stop(owner->loop, &f->beat);
	*f->at = f->next;
	if (f->next)
		f->next->at = f->at;
	client_free_if_unused(c);
	req_on_gone(f->req, NULL, NULL);
	req_unref(f->req);
}

static void feed_gone(struct request *req, void *ctx)
{
	(void)req;
	feed_close(ctx);
}

static void feed_end(struct feed *f)
{
	reply_stream_end(f->req);
	feed_close(f);
}

/* ---- sending ---------------------------------------------------------------------------------- */

static void feed_send(struct feed *f)
{
	if (out.len == 0)
		return;
	reply_stream_write(f->req, out.data, out.len);
	ev_timer_again(owner->loop, &f->beat);
}

/* Appends the cursor alone: the client remembers it and tells nobody. */
static void put_cursor(const struct feed *f)
{
	char id[SSE_ID_TEXT];

	sse_cursor_write(f->complete, id);
	sse_event(&out, NULL, id, NULL, 0);
}

static void put_job(struct feed *f, const struct job_row *row)
{
	static struct buf document;
	const struct job_type *type = type_by_id(row->type_id);
	char id[SSE_ID_TEXT];
	struct pace pace;

	if (!type)
		return;
	if (!job_ended(row))
		queue_pace(row, type, &pace);
	buf_reset(&document);
	jobdoc_write(&document, req_base_url(f->req), type, row, job_ended(row) ? NULL : &pace);
	sse_cursor_write(f->complete, id);
	sse_event(&out, "status", id, document.data, document.len);
}

static void beat_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct feed *f = w->data;

	(void)loop;
	(void)revents;
	if (reply_stream_queued(f->req) > 0)
		return; /* it isn't silence that keeps the reader waiting */
	buf_reset(&out);
	sse_comment(&out);
	put_cursor(f);
	feed_send(f);
}

static bool has_room(const struct feed *f)
{
	return reply_stream_queued(f->req) < STREAM_LOW;
}

/* ---- the pages -------------------------------------------------------------------------------- */

/* Takes back what a statement's callback needs. False: the feed has ended meanwhile. */
static bool answered(struct feed *f)
{
	f->asking = false;
	n_asking--;
	req_unref(f->req);
	return f->client != NULL;
}

static bool ask(struct feed *f, const char *sql, const struct db_params *params, db_done_fn *done)
{
	if (!db_query(owner->bulk, sql, params, done, f))
		return false;
	f->asking = true;
	n_asking++;
	req_ref(f->req);
	return true;
}

/* The database is away: a feed that hasn't begun can't, one that has goes on later. */
static void feed_away(struct feed *f, const struct db_result *why)
{
	if (why && why->outcome == DB_ERROR)
		log_warning("a feed can't be read sqlstate=%s request=%s", why->sqlstate,
			    req_id(f->req));
	if (f->begun) {
		f->phase = FEED_LIVE;
		f->again = true;
		return;
	}
	sse_come_back(f->req);
	feed_close(f);
}

/* A round of pages is through: all that was older than its begin has been told. */
static void round_done(struct feed *f)
{
	f->phase = FEED_LIVE;
	f->complete = f->round_at;
	buf_reset(&out);
	put_cursor(f);
	feed_send(f);
}

static void page_came(void *ctx, const struct db_result *result)
{
	struct feed *f = ctx;
	int rows;

	if (!answered(f))
		return;
	if (result->outcome != DB_OK) {
		feed_away(f, result);
		return;
	}
	rows = dbr_rows(result->res);
	buf_reset(&out);
	for (int i = 0; i < rows; i++) {
		struct job_row row;

		if (dbr_null(result->res, i, 1))
			continue;
		job_row_read(result->res, i, &row);
		put_job(f, &row);
	}
	feed_send(f);
	if (rows == 0 || dbr_null(result->res, 0, C_SCANNED_TO)) {
		round_done(f);
		return;
	}
	f->before = dbr_uuid(result->res, 0, C_SCANNED_TO);
	f->has_before = true;
	if (has_room(f))
		ask_page(f);
}

static void since_param(struct db_params *params, int64_t since)
{
	if (since)
		dbp_timestamptz(params, since - FEED_RECENT_MS);
	else
		dbp_null(params, DB_TIMESTAMPTZ);
}

static void ask_page(struct feed *f)
{
	struct db_params params;
	bool sent;

	db_params_init(&params);
	dbp_text(&params, f->client->name);
	f->has_before ? dbp_uuid(&params, &f->before) : dbp_null(&params, DB_UUID);
	dbp_uuid(&params, &f->low);
	since_param(&params, f->since);
	dbp_int4(&params, PAGE_ROWS);
	sent = ask(f, "SELECT * FROM longhaul.feed_page($1, $2, $3, $4, $5)", &params, page_came);
	db_params_free(&params);
	if (!sent)
		feed_away(f, NULL);
}

/* The reader has taken most of what was sent. */
static void drained(struct request *req, void *ctx)
{
	struct feed *f = ctx;

	(void)req;
	if (!f->client || f->asking)
		return;
	if (f->phase == FEED_PAGES)
		ask_page(f);
	else if (f->phase == FEED_LIVE && f->again)
		open_round(f);
}

/* Sends the head. The cursor comes with it, so that a client that is cut off in the middle of the pages
 * is told of what ended since. False: that was all. */
static bool begin(struct feed *f)
{
	sse_begin(f->req);
	buf_reset(&out);
	sse_retry(&out, owner->cfg->events_retry_ms);
	if (!f->complete)
		f->complete = f->round_at;
	put_cursor(f);
	reply_stream_write(f->req, out.data, out.len);
	f->begun = true;
	if (req_method(f->req) == HTTP_HEAD) {
		feed_end(f);
		return false;
	}
	reply_stream_on_drain(f->req, drained, f);
	ev_timer_again(owner->loop, &f->beat);
	return true;
}

static void opened(void *ctx, const struct db_result *result)
{
	struct feed *f = ctx;
	bool skip;

	if (!answered(f))
		return;
	if (result->outcome != DB_OK || dbr_rows(result->res) != 1) {
		feed_away(f, result);
		return;
	}
	f->round_at = dbr_ms(result->res, 0, 0);
	f->low = dbr_uuid(result->res, 0, 1);
	f->has_before = false;
	if (!marks.begun)
		feed_marks_begin(&marks, f->round_at);
	/* What the looks can't be sure to have seen, the pages can't either. */
	if (marks.horizon.at < f->round_at)
		f->round_at = marks.horizon.at;
	if (f->complete > f->round_at)
		f->complete = f->round_at;
	skip = f->from_now && !f->begun;
	if (!f->begun && !begin(f))
		return;
	if (skip) {
		round_done(f);
		return;
	}
	f->phase = FEED_PAGES;
	ask_page(f);
}

/* Begins a round of pages. */
static void open_round(struct feed *f)
{
	struct db_params params;
	bool sent;

	f->phase = FEED_OPENING;
	f->again = false;
	f->since = f->complete;
	db_params_init(&params);
	since_param(&params, f->since);
	sent = ask(f, "SELECT * FROM longhaul.feed_open($1)", &params, opened);
	db_params_free(&params);
	if (!sent)
		feed_away(f, NULL);
}

/* ---- the look --------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	return uuid_compare(&((const struct told *)a)->id, &((const struct told *)b)->id);
}

/* True if the last look brought the same. Remembers it for the next one. */
static bool told_before(struct feed_client *c, const struct job_row *row)
{
	struct told this = { row->id, row->version };
	const struct told *old = bsearch(&this, c->before, (size_t)c->n_before, sizeof(this),
					 by_id);

	if (c->n_now < LOOK_ROWS)
		c->now[c->n_now++] = this;
	return old && old->version == row->version;
}

static void tell(struct feed_client *c, const struct job_row *row)
{
	if (told_before(c, row))
		return;
	for (struct feed *f = c->feeds; f; f = f->next) {
		if (!f->begun || f->again)
			continue; /* the pages will have it */
		buf_reset(&out);
		put_job(f, row);
		if (reply_stream_queued(f->req) + out.len > (size_t)owner->cfg->events_queue)
			f->again = true;
		else
			feed_send(f);
	}
}

static void tell_too_much(struct feed_client *c)
{
	for (struct feed *f = c->feeds; f; f = f->next)
		f->again = true;
}

static void look_rows(const PGresult *res)
{
	int rows = dbr_rows(res);

	for (int i = 1; i < rows; i++) {
		int32_t ord = dbr_int4(res, i, 0);
		struct job_row row;

		if (ord < 1 || (size_t)ord > n_looked)
			continue;
		if (dbr_null(res, i, 1)) {
			tell_too_much(looked[ord - 1]);
		} else {
			job_row_read(res, i, &row);
			tell(looked[ord - 1], &row);
		}
	}
}

/* What holds for the feeds of a client after a look. */
static void client_looked(struct feed_client *c, bool good)
{
	struct feed *next;

	c->looked = false;
	if (good) {
		memcpy(c->before, c->now, (size_t)c->n_now * sizeof(c->now[0]));
		c->n_before = c->n_now;
		qsort(c->before, (size_t)c->n_before, sizeof(c->before[0]), by_id);
	}
	for (struct feed *f = c->feeds; f; f = next) {
		next = f->next;
		if (!good || f->phase != FEED_LIVE || f->asking)
			continue;
		if (!f->again && marks.horizon.at > f->complete)
			f->complete = marks.horizon.at;
		else if (f->again && has_room(f))
			open_round(f);
	}
	client_free_if_unused(c);
}

/* Usual time between two looks. */
static int64_t look_ms(void)
{
	const struct api_config *cfg = owner->cfg;

	return cfg->tick_ms > cfg->events_pace_ms ? cfg->tick_ms : cfg->events_pace_ms;
}

static void look_came(void *ctx, const struct db_result *result)
{
	bool good = result->outcome == DB_OK && dbr_rows(result->res) > 0;
	int64_t pause = (mono_ms() - look_began) * BUSY_FACTOR;

	(void)ctx;
	looking = false;
	if (result->outcome == DB_ERROR)
		log_warning("feeds can't be read sqlstate=%s", result->sqlstate);
	if (good) {
		struct feed_mark mark = { dbr_ms(result->res, 0, C_AT),
					  dbr_int8(result->res, 0, C_LAST_SEQ),
					  dbr_int8(result->res, 0, C_XID) };

		look_rows(result->res);
		feed_marks_looked(&marks, mark, dbr_int8(result->res, 0, C_XMIN));
	}
	for (size_t i = 0; i < n_looked; i++)
		client_looked(looked[i], good);
	n_looked = 0;
	look_timer.repeat = (double)(pause > look_ms() ? pause : look_ms()) / 1000;
	if (clients)
		ev_timer_again(owner->loop, &look_timer);
}

static void look_collect(void)
{
	pga_reset(&names);
	for (struct feed_client *c = clients; c; c = c->next) {
		if (n_looked == cap_looked) {
			cap_looked = cap_looked ? 2 * cap_looked : 16;
			looked = mem_realloc(looked, cap_looked, sizeof(struct feed_client *));
		}
		looked[n_looked++] = c;
		c->n_now = 0;
		pga_text(&names, c->name);
	}
}

static void look(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct feed_mark since;
	struct db_params params;

	(void)loop;
	(void)w;
	(void)revents;
	if (looking || !marks.begun || !clients)
		return;
	look_collect();
	since = feed_marks_since(&marks);
	db_params_init(&params);
	dbp_array(&params, &names);
	dbp_timestamptz(&params, since.at);
	since.seq >= 0 ? dbp_int8(&params, since.seq) : dbp_null(&params, DB_INT8);
	dbp_int4(&params, LOOK_ROWS);
	looking = db_query(owner->bulk, "SELECT * FROM longhaul.feed_changes($1, $2, $3, $4)",
			   &params, look_came, NULL);
	db_params_free(&params);
	look_began = mono_ms();
	for (size_t i = 0; i < n_looked && looking; i++)
		looked[i]->looked = true;
	if (!looking)
		n_looked = 0;
}

/* ---- from outside ----------------------------------------------------------------------------- */

/* Reads ?from=now. False: it is something else, and that was answered. */
static bool read_from(struct request *req, bool *from_now)
{
	const char *wrong = NULL;
	const char *text = req_query_arg(req, "from", &wrong);

	*from_now = text != NULL;
	if (!wrong && text && strcmp(text, "now") != 0)
		wrong = "not \"now\"";
	if (wrong)
		reply_invalid(req, input_error(NULL, "from", wrong));
	return wrong == NULL;
}

void feed_handle(struct request *req, const struct route_match *m)
{
	struct feed *f = req_alloc(req, sizeof(*f));

	(void)m;
	if (!read_from(req, &f->from_now))
		return;
	if (owner->draining) {
		sse_come_back(req);
		return;
	}
	f->req = req;
	f->complete = sse_cursor_read(req_header(req, "Last-Event-ID"));
	f->client = client_of(req_client(req));
	f->next = f->client->feeds;
	f->at = &f->client->feeds;
	if (f->next)
		f->next->at = &f->next;
	f->client->feeds = f;
	ev_timer_init(&f->beat, beat_due, 0., owner->cfg->events_heartbeat_ms / 1000.);
	f->beat.data = f;
	req_ref(req);
	req_on_gone(req, feed_gone, f);
	if (!ev_is_active(&look_timer))
		ev_timer_again(owner->loop, &look_timer);
	open_round(f);
}

void feeds_begin_anew(void)
{
	marks.begun = false;
	for (struct feed_client *c = clients; c; c = c->next) {
		c->n_before = 0;
		tell_too_much(c);
	}
	for (struct feed_client *c = clients, *next_client; c; c = next_client) {
		next_client = c->next;
		for (struct feed *f = c->feeds, *next; f; f = next) {
			next = f->next;
			if (f->begun && f->phase == FEED_LIVE && !f->asking)
				open_round(f);
		}
	}
}

static void feed_drain(struct feed *f)
{
	if (!f->begun) {
		sse_come_back(f->req);
		feed_close(f);
		return;
	}
	buf_reset(&out);
	sse_retry(&out, 1 + (int)random_below((uint32_t)owner->cfg->events_drain_ms));
	reply_stream_write(f->req, out.data, out.len);
	feed_end(f);
}

void feeds_drain(void)
{
	for (struct feed_client *c = clients, *next_client; c; c = next_client) {
		next_client = c->next;
		/* The client goes with its last feed. */
		for (struct feed *f = c->feeds, *next; f; f = next) {
			next = f->next;
			feed_drain(f);
		}
	}
}

size_t feeds_pending(void)
{
	return n_asking + looking;
}

void feeds_start(struct app *a)
{
	owner = a;
	pga_init(&names, DB_TEXT);
	ev_timer_init(&look_timer, look, 0., (double)look_ms() / 1000);
}

/* The connections have been closed and the requests freed: there are no feeds any more. */
void feeds_stop(void)
{
	ev_timer_stop(owner->loop, &look_timer);
	pga_free(&names);
	buf_free(&out);
	free(looked);
	looked = NULL;
	cap_looked = n_looked = 0;
}
