/*
 * webhooks.c: deliveries, from claim to report.
 *
 *	claim -> POSTED --answer, time out, courier died--> ENDED --report--> WRITING --commit--> freed
 *	                                                      ^---- database away ----'
 *
 * The same rules as for jobs: a delivery is this worker's by the fence under which it was claimed; a claim
 * whose answer was lost is put back; what has ended while the database is away is reported when it returns,
 * if the lease still holds. A try that nobody could report is made again: at least once.
 */
#include "webhooks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/netguard.h"
#include "common/times.h"
#include "common/webhook_sign.h"
#include "courier.h"
#include "lease.h"
#include "list.h"
#include "settings.h"
#include "webhook_policy.h"
#include "webhook_report.h"
#include "webhook_share.h"
#include "worker.h"

#define RETRY_MS 500
#define ENDED_APART_MS 50 /* least time between claims that jobs' ends ask for */
#define SECRETS 3

static struct {
	struct webhook_schedule schedule;
	struct link posted; /* the oldest first */
	struct delivery *by_ticket[WIRE_POST_TICKETS];
	uint32_t next_ticket;
	int n_posted;

	/* the claim */
	bool claiming, wake;
	unsigned int generation;
	int64_t claimed_at, claim_at, retry_at;
	int64_t compare_at; /* when the database's claims are compared with ours */
	bool has_lane;
	struct uuid lane; /* where the last claim ended */
} w;

bool webhooks_idle(void)
{
	return w.n_posted == 0 && reports_idle() && !w.claiming;
}

void webhooks_wake(void)
{
	w.wake = true;
}

void webhooks_jobs_ended(void)
{
	int64_t at = w.claimed_at + ENDED_APART_MS;

	if (at < w.claim_at)
		w.claim_at = at;
}

void webhooks_up(void)
{
	reports_up();
	w.wake = true;
	w.compare_at = 0;
}

/* ---- posts ------------------------------------------------------------------------------------ */

/* It waits to be reported; `judge`: what it took says something about its client's endpoints. */
static void ended(struct delivery *d, bool judge)
{
	w.by_ticket[d->ticket % WIRE_POST_TICKETS] = NULL;
	list_remove(&d->link);
	w.n_posted--;
	share_end(d->share, d->slow, judge);
	d->share = NULL;
	report_add(d);
}

static void on_posted(uint32_t ticket, const struct wire_posted *posted)
{
	struct delivery *d = w.by_ticket[ticket % WIRE_POST_TICKETS];

	if (!d || d->ticket != ticket)
		return; /* forgotten meanwhile */
	d->duration_ms = posted->duration_ms;
	d->out = webhook_judge(&w.schedule, d->attempt, posted);
	if (d->out.verdict == WEBHOOK_DELIVERED)
		log_debug("webhook delivered %s status=%d ms=%d", delivery_text(d), posted->status,
			  (int)posted->duration_ms);
	else
		log_info("webhook not delivered %s verdict=%d error=%s status=%d ms=%d: %s",
			 delivery_text(d), (int)d->out.verdict, d->out.error, posted->status,
			 (int)posted->duration_ms, posted->detail);
	if (posted->duration_ms >= config.webhook.slow_ms && !d->slow) {
		d->slow = true;
		share_slow(d->share);
	}
	ended(d, true);
}

static void on_courier_died(void)
{
	struct wire_posted posted = { .error = POST_DIED, .retry_after_ms = -1, .detail = "" };
	int64_t now = mono_ms();

	while (!list_empty(&w.posted)) {
		struct delivery *d = LIST_ENTRY(w.posted.next, struct delivery, link);

		d->duration_ms = (int32_t)(now - d->started);
		d->out = webhook_judge(&w.schedule, d->attempt, &posted);
		ended(d, false);
	}
}

/* Ends what is under way without a result: to be tried again by somebody, at once. */
static void release(struct delivery *d)
{
	courier_forget(d->ticket);
	d->out = (struct webhook_outcome){ .verdict = WEBHOOK_RELEASED };
	ended(d, false);
}

void webhooks_stop(void)
{
	while (!list_empty(&w.posted))
		release(LIST_ENTRY(w.posted.next, struct delivery, link));
}

/* Those that take long, so that their client's others make room. */
static void find_slow(int64_t now)
{
	for (struct link *l = w.posted.next; l != &w.posted; l = l->next) {
		struct delivery *d = LIST_ENTRY(l, struct delivery, link);

		if (now < d->started + config.webhook.slow_ms) {
			worker_wake_at(d->started + config.webhook.slow_ms);
			return;
		}
		if (d->slow)
			continue;
		d->slow = true;
		share_slow(d->share);
	}
}

/* ---- the claim's answer ----------------------------------------------------------------------- */

/* The columns of longhaul.webhook_claim(), as asked for below. */
enum { ID, FENCE, ATTEMPT, LANE, URL, PAYLOAD, SECRET_1, CLIENT = SECRET_1 + SECRETS, TRACEPARENT };

/* The headers that make it a Standard Webhook: signed by each secret that is valid, the newest first. */
static bool add_headers(struct buf *out, const struct delivery *d, const PGresult *res, int row)
{
	int64_t timestamp = d->started_unix / 1000;
	char id[UUID_TEXT], signature[WEBHOOK_SIGNATURE];
	const unsigned char *secret;
	size_t len, payload_len;
	const char *payload = dbr_text(res, row, PAYLOAD, &payload_len);
	bool ok;

	uuid_format(&d->id, id);
	ok = buf_addf(out,
		      "content-type: application/json\nwebhook-id: %s\nwebhook-timestamp: %" PRId64
		      "\nwebhook-signature:",
		      id, timestamp);
	for (int i = 0; i < SECRETS; i++) {
		secret = dbr_bytea(res, row, SECRET_1 + i, &len);
		if (!secret)
			continue;
		webhook_sign(id, timestamp, payload, payload_len, secret, len, signature);
		ok = ok && buf_addf(out, " %s", signature);
	}
	ok = ok && buf_adds(out, "\n");
	if (!dbr_null(res, row, TRACEPARENT))
		ok = ok &&
		     buf_addf(out, "traceparent: %s\n", dbr_text(res, row, TRACEPARENT, NULL));
	return ok;
}

static void post(struct delivery *d, const PGresult *res, int row)
{
	static struct buf headers;
	struct wire_post p = { .url = dbr_text(res, row, URL, NULL) };

	p.body = dbr_text(res, row, PAYLOAD, &p.body_len);
	buf_reset(&headers);
	if (!add_headers(&headers, d, res, row))
		abort();
	p.headers = headers.data;
	courier_post(d->ticket, &p);
}

/* Takes one in. It is put back if there is no place for it: by then the claim can't have known that. */
static void take(const PGresult *res, int row)
{
	struct delivery *d = mem_zalloc(sizeof(*d));

	d->id = dbr_uuid(res, row, ID);
	d->fence = dbr_int8(res, row, FENCE);
	d->attempt = dbr_int4(res, row, ATTEMPT);
	d->started = mono_ms();
	d->started_unix = now_ms();
	d->share = worker.draining || !courier_up() ? NULL
						    : share_begin(dbr_text(res, row, CLIENT, NULL));
	if (!d->share) {
		d->out.verdict = WEBHOOK_RELEASED;
		report_add(d);
		return;
	}
	while (w.by_ticket[w.next_ticket % WIRE_POST_TICKETS] || w.next_ticket == 0)
		w.next_ticket++;
	d->ticket = w.next_ticket++;
	w.by_ticket[d->ticket % WIRE_POST_TICKETS] = d;
	list_append(&w.posted, &d->link);
	w.n_posted++;
	post(d, res, row);
}

static void claim_done(void *ctx, const struct db_result *r)
{
	int n;

	(void)ctx;
	w.claiming = false;
	if (w.generation != worker.generation)
		return;
	if (r->outcome != DB_OK) {
		w.wake = true;
		w.retry_at = mono_ms() + RETRY_MS;
		if (r->outcome == DB_ERROR)
			log_warning("claiming webhooks failed sqlstate=%s error=\"%s\"",
				    r->sqlstate, r->message);
		return;
	}
	n = dbr_rows(r->res);
	for (int i = 0; i < n; i++)
		take(r->res, i);
	if (n == 0)
		return;
	w.lane = dbr_uuid(r->res, n - 1, LANE);
	w.has_lane = true;
	w.wake = true; /* there may be more */
	log_debug("claimed webhooks n=%d", n);
}

static void next_due_done(void *ctx, const struct db_result *r)
{
	int64_t at;

	(void)ctx;
	if (r->outcome != DB_OK || dbr_rows(r->res) == 0 || dbr_null(r->res, 0, 0))
		return;
	at = mono_ms() + dbr_int8(r->res, 0, 0);
	if (at < w.claim_at)
		w.claim_at = at;
}

/* ---- the claim -------------------------------------------------------------------------------- */

static void compared(void *ctx, const struct db_result *r)
{
	(void)ctx;
	w.claiming = false;
	if (r->outcome == DB_OK)
		return;
	if (w.generation == worker.generation)
		w.compare_at = w.retry_at = mono_ms() + RETRY_MS;
	if (r->outcome == DB_ERROR)
		log_warning("webhook_release_unheld failed sqlstate=%s error=\"%s\"", r->sqlstate,
			    r->message);
}

/* Has the database put back what it thinks that we hold and we don't know of, as with jobs. */
static void compare(int64_t now)
{
	static const char sql[] = "SELECT longhaul.webhook_release_unheld($1, $2, $3)";
	struct db_params p = { 0 };
	struct pgarray held;

	pga_init(&held, DB_INT8);
	for (struct link *l = w.posted.next; l != &w.posted; l = l->next)
		pga_int8(&held, LIST_ENTRY(l, struct delivery, link)->fence);
	reports_fences(&held);
	dbp_uuid(&p, &worker.boot);
	dbp_int8(&p, worker.next_fence);
	dbp_array(&p, &held);
	w.generation = worker.generation;
	w.claiming = db_query(worker.webhook, sql, &p, compared, NULL);
	if (w.claiming)
		w.compare_at = now + config.lease_ms;
	pga_free(&held);
	db_params_free(&p);
}

static void send_claim(int64_t now)
{
	static const char sql[] =
		"SELECT delivery_id, fence, attempt, lane, url, payload, secret1, secret2, secret3, client, "
		"traceparent FROM longhaul.webhook_claim($1, $2, $3, $4, $5, $6, $7, $8)";
	struct pgarray clients, room;
	struct db_params p = { 0 };
	int limit = shares_room();
	int64_t fence;

	pga_init(&clients, DB_TEXT);
	pga_init(&room, DB_INT4);
	shares_limits(&clients, &room);
	fence = worker.next_fence;
	worker.next_fence += limit;
	w.generation = worker.generation;
	w.claimed_at = now;
	w.claim_at = now + config.webhook.poll_ms;
	w.wake = false;
	dbp_uuid(&p, &worker.boot);
	dbp_int8(&p, fence);
	dbp_int4(&p, limit);
	dbp_int4(&p, config.webhook.per_endpoint);
	dbp_uuid(&p, w.has_lane ? &w.lane : NULL);
	dbp_int4(&p, shares_per_client());
	dbp_array(&p, &clients);
	dbp_array(&p, &room);
	w.claiming = db_query(worker.webhook, sql, &p, claim_done, NULL);
	if (w.claiming)
		db_query(worker.webhook, "SELECT longhaul.webhook_next_due()", NULL, next_due_done,
			 NULL);
	db_params_free(&p);
	pga_free(&clients);
	pga_free(&room);
}

static void claim_step(int64_t now)
{
	int64_t at = w.wake ? w.claimed_at : w.claim_at;

	if (!lease_holds(now) || worker.draining || w.claiming || !db_up(worker.webhook))
		return;
	/* So much waits to be reported that more would only add to it; and then it goes on. */
	if (shares_room() == 0 || !courier_up() || reports_waiting() > config.webhook.concurrency)
		return;
	if (at < w.retry_at)
		at = w.retry_at;
	if (now < at)
		worker_wake_at(at);
	else if (now >= w.compare_at)
		compare(now);
	else
		send_claim(now);
}

/* ---- start and end ---------------------------------------------------------------------------- */

bool webhooks_check(char *err, size_t errsize)
{
	struct netguard guard = { 0 };
	struct webhook_schedule schedule;
	char why[100];
	bool ok = netguard_parse(&guard, config.webhook.allow, why, sizeof(why));

	netguard_free(&guard);
	if (!ok)
		snprintf(err, errsize, "allow: %s", why);
	else if (!webhook_schedule_parse(&schedule, config.webhook.schedule_ms))
		snprintf(err, errsize, "schedule_ms: at most %d numbers of milliseconds",
			 WEBHOOK_WAITS_MAX);
	else
		return true;
	return false;
}

void webhooks_open(void)
{
	list_init(&w.posted);
	reports_open(config.webhook.concurrency);
	if (!config.webhook.enabled)
		return;
	(void)webhook_schedule_parse(&w.schedule, config.webhook.schedule_ms); /* was checked */
	w.schedule.jitter_percent = config.webhook.jitter_percent;
	w.schedule.retry_after_max_ms = config.webhook.retry_after_max_ms;
	shares_open(config.webhook.concurrency);
	courier_open(on_posted, on_courier_died);
}

void webhooks_forget(void)
{
	while (!list_empty(&w.posted))
		release(LIST_ENTRY(w.posted.next, struct delivery, link));
	reports_forget();
}

void webhooks_close(void)
{
	if (!config.webhook.enabled)
		return;
	webhooks_forget();
	reports_close();
	courier_close();
	shares_close();
}

void webhooks_step(int64_t now)
{
	if (!config.webhook.enabled)
		return;
	courier_step(now);
	if (worker.life != LIFE_LIVE)
		return;
	find_slow(now);
	reports_step(now);
	claim_step(now);
}
