/*
 * webhook_report.c: writes what became of deliveries, many in a statement, one statement at a time.
 */
#include "webhook_report.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/db.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"
#include "webhooks.h"
#include "worker.h"

#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 2000
#define REFUSED_MAX 20 /* times that the database may refuse a single report */

static struct {
	struct link ended;
	int n_ended;
	struct delivery **batch; /* being written */
	int n_batch, rows, limit, refused;
	bool forgotten; /* the batch belongs to a lost lease */
	int64_t at;     /* after an error: not before */
	int wait_ms;
} rep = { .ended = { &rep.ended, &rep.ended } };

const char *delivery_text(const struct delivery *d)
{
	static char text[UUID_TEXT + 40];
	char id[UUID_TEXT];

	uuid_format(&d->id, id);
	snprintf(text, sizeof(text), "webhook-id=%s attempt=%d", id, d->attempt);
	return text;
}

void reports_open(int rows)
{
	rep.rows = rep.limit = rows;
	rep.batch = mem_alloc((size_t)rows * sizeof(struct delivery *));
}

void reports_up(void)
{
	rep.at = 0;
}

void report_add(struct delivery *d)
{
	list_append(&rep.ended, &d->link);
	rep.n_ended++;
}

int reports_waiting(void)
{
	return rep.n_ended + rep.n_batch;
}

void reports_fences(struct pgarray *fences)
{
	for (struct link *l = rep.ended.next; l != &rep.ended; l = l->next)
		pga_int8(fences, LIST_ENTRY(l, struct delivery, link)->fence);
	for (int i = 0; i < rep.n_batch; i++)
		pga_int8(fences, rep.batch[i]->fence);
}

bool reports_idle(void)
{
	return rep.n_ended == 0 && (rep.n_batch == 0 || rep.forgotten);
}

/* Back to the front, in the old order. */
static void put_back(void)
{
	for (int i = rep.n_batch - 1; i >= 0; i--) {
		list_prepend(&rep.ended, &rep.batch[i]->link);
		rep.n_ended++;
	}
	rep.n_batch = 0;
}

static void free_batch(void)
{
	for (int i = 0; i < rep.n_batch; i++)
		free(rep.batch[i]);
	rep.n_batch = 0;
}

static void not_reported(const struct db_result *r)
{
	rep.wait_ms = rep.wait_ms == 0 ? RETRY_MIN_MS : 2 * rep.wait_ms;
	if (rep.wait_ms > RETRY_MAX_MS)
		rep.wait_ms = RETRY_MAX_MS;
	rep.at = mono_ms() + rep.wait_ms;
	if (r->outcome != DB_ERROR || db_is_outage(r)) {
		put_back();
		return;
	}
	log_warning("reporting webhooks failed rows=%d sqlstate=%s error=\"%s\"", rep.n_batch,
		    r->sqlstate, r->message);
	/* One row at fault must not hold up the others. */
	if (rep.n_batch == 1 && ++rep.refused > REFUSED_MAX) {
		log_error("the report of a webhook is given up %s", delivery_text(rep.batch[0]));
		rep.refused = 0;
		free_batch();
		return;
	}
	rep.limit = 1;
	put_back();
}

static void reported(void *ctx, const struct db_result *r)
{
	(void)ctx;
	if (rep.forgotten) {
		rep.forgotten = false;
		free_batch();
		return;
	}
	if (r->outcome != DB_OK) {
		not_reported(r);
		return;
	}
	for (int i = 0; i < dbr_rows(r->res); i++) {
		int at = dbr_int4(r->res, i, 0) - 1;

		if (at >= 0 && at < rep.n_batch && dbr_int2(r->res, i, 1) == 0)
			log_warning("the report of a webhook was refused, its claim is lost %s",
				    delivery_text(rep.batch[at]));
	}
	free_batch();
	rep.wait_ms = 0;
	rep.refused = 0;
	rep.limit = rep.rows;
	webhooks_wake(); /* their lanes have room again */
}

enum { IDS, FENCES, VERDICTS, STATUSES, ERRORS, DURATIONS, STARTED, RETRIES, N_ARRAYS };

static void add_row(struct pgarray *a, const struct delivery *d)
{
	bool tried = d->out.verdict != WEBHOOK_RELEASED;

	pga_uuid(&a[IDS], &d->id);
	pga_int8(&a[FENCES], d->fence);
	pga_int2(&a[VERDICTS], (int16_t)d->out.verdict);
	if (d->out.status > 0)
		pga_int4(&a[STATUSES], d->out.status);
	else
		pga_null(&a[STATUSES]);
	pga_text(&a[ERRORS], d->out.error);
	if (tried)
		pga_int4(&a[DURATIONS], d->duration_ms);
	else
		pga_null(&a[DURATIONS]);
	pga_int8(&a[STARTED], d->started_unix);
	pga_int8(&a[RETRIES], d->out.retry_ms);
}

static void send_report(void)
{
	static const char sql[] =
		"SELECT ord, code FROM longhaul.webhook_finish_batch($1, $2, $3, $4, $5, $6, $7, $8, $9)";
	static const enum db_type elem[N_ARRAYS] = { DB_UUID, DB_INT8, DB_INT2, DB_INT4,
						     DB_TEXT, DB_INT4, DB_INT8, DB_INT8 };
	struct pgarray arrays[N_ARRAYS];
	struct db_params p = { 0 };

	for (int i = 0; i < N_ARRAYS; i++)
		pga_init(&arrays[i], elem[i]);
	while (rep.n_batch < rep.limit && !list_empty(&rep.ended)) {
		struct delivery *d = LIST_ENTRY(rep.ended.next, struct delivery, link);

		list_remove(&d->link);
		rep.n_ended--;
		rep.batch[rep.n_batch++] = d;
		add_row(arrays, d);
	}
	dbp_uuid(&p, &worker.boot);
	for (int i = 0; i < N_ARRAYS; i++) {
		dbp_array(&p, &arrays[i]);
		pga_free(&arrays[i]);
	}
	if (!db_query(worker.webhook, sql, &p, reported, NULL))
		put_back();
	db_params_free(&p);
}

void reports_step(int64_t now)
{
	if (rep.n_ended == 0 || rep.n_batch > 0 || !db_up(worker.webhook))
		return;
	if (now >= rep.at)
		send_report();
	else
		worker_wake_at(rep.at);
}

void reports_forget(void)
{
	while (!list_empty(&rep.ended)) {
		struct delivery *d = LIST_ENTRY(rep.ended.next, struct delivery, link);

		list_remove(&d->link);
		free(d);
	}
	rep.n_ended = 0;
	rep.forgotten = rep.n_batch > 0;
}

void reports_close(void)
{
	free_batch();
	free(rep.batch);
	rep.batch = NULL;
}
