/*
 * metrics_text.c: what the processes of this host have counted, as text.
 */
#include "api/metrics_text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/counters_file.h"
#include "api/router.h"
#include "common/mem.h"

#define PAGES_MAX 64

static const char *const method_names[COUNT_METHODS] = { "GET", "HEAD", "POST", "DELETE", "other" };

struct page_copy {
	struct counters_page page;
	bool alive;
};

struct pages {
	int n;
	struct page_copy *v[PAGES_MAX];
};

void metrics_family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and line feed are escaped. */
static void add_value(struct buf *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n') {
			buf_adds(out, "\\n");
			continue;
		}
		if (*value == '\\' || *value == '"')
			buf_adds(out, "\\");
		buf_add(out, value, 1);
	}
}

static void add_label(struct buf *out, bool *any, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(out, "%s%s=\"", *any ? "," : "{", name);
	add_value(out, value);
	buf_adds(out, "\"");
	*any = true;
}

void metrics_sample_labels(struct buf *out, const char *name, double value, ...)
{
	const char *label;
	bool any = false;
	va_list args;

	buf_adds(out, name);
	va_start(args, value);
	while ((label = va_arg(args, const char *)))
		add_label(out, &any, label, va_arg(args, const char *));
	va_end(args);
	buf_addf(out, "%s %.15g\n", any ? "}" : "", value);
}

void metrics_histogram(struct buf *out, const char *name, const struct histogram *h,
		       const double bounds[COUNT_BOUNDS], const char *process, const char *label,
		       const char *value)
{
	char part[96], bound[32];
	uint64_t below = 0;

	/* Whoever has no label gets an empty list of them. */
	label = label ? label : "process";
	if (strcmp(label, "process") == 0)
		value = NULL;
	snprintf(part, sizeof(part), "%s_bucket", name);
	for (int i = 0; i <= COUNT_BOUNDS; i++) {
		below += h->place[i];
		snprintf(bound, sizeof(bound), "%.6g", i < COUNT_BOUNDS ? bounds[i] : 0);
		metrics_sample(out, part, (double)below, "process", process, label, value, "le",
			       i < COUNT_BOUNDS ? bound : "+Inf");
	}
	snprintf(part, sizeof(part), "%s_sum", name);
	metrics_sample(out, part, h->sum, "process", process, label, value);
	snprintf(part, sizeof(part), "%s_count", name);
	metrics_sample(out, part, (double)below, "process", process, label, value);
}

/* ---- the families ------------------------------------------------------------------------------- */

static void add_processes(struct buf *out, const struct pages *pages)
{
	metrics_family(out, "longhaul_api_up", "gauge",
		       "Whether the API process lives; 0 = it ended without a farewell.");
	for (int i = 0; i < pages->n; i++)
		metrics_sample(out, "longhaul_api_up", pages->v[i]->alive, "process",
			       pages->v[i]->page.process);
	metrics_family(out, "longhaul_api_build_info", "gauge",
		       "Version of the API process; always 1.");
	for (int i = 0; i < pages->n; i++)
		metrics_sample(out, "longhaul_api_build_info", 1, "process",
			       pages->v[i]->page.process, "version", pages->v[i]->page.version);
	metrics_family(out, "longhaul_api_start_time_seconds", "gauge",
		       "When the API process was started, in seconds since 1970.");
	for (int i = 0; i < pages->n; i++)
		metrics_sample(out, "longhaul_api_start_time_seconds", pages->v[i]->page.started,
			       "process", pages->v[i]->page.process);
}

static const char *route_name(int route)
{
	return route > 0 ? route_pattern(route) : "other";
}

static void add_requests_of(struct buf *out, const struct counters_page *page, int route)
{
	for (int m = 0; m < COUNT_METHODS; m++) {
		for (int c = 0; c < COUNT_CLASSES; c++) {
			uint64_t n = page->counters.requests[route][m][c];
			char code[] = { (char)('1' + c), 'x', 'x', '\0' };

			if (n > 0)
				metrics_sample(out, "longhaul_api_requests_total", (double)n,
					       "process", page->process, "route", route_name(route),
					       "method", method_names[m], "code", code);
		}
	}
}

static void add_requests(struct buf *out, const struct pages *pages)
{
	static const char times[] = "longhaul_api_request_duration_seconds";
	static const char waits[] = "longhaul_api_wait_duration_seconds";

	metrics_family(out, "longhaul_api_requests_total", "counter",
		       "Requests answered, by route, method and class of the status code.");
	for (int i = 0; i < pages->n; i++)
		for (int r = 0; r == 0 || route_pattern(r); r++)
			add_requests_of(out, &pages->v[i]->page, r);
	metrics_family(
		out, times, "histogram",
		"Time from a request's head to the beginning of its answer, of those that didn't wait for their job.");
	for (int i = 0; i < pages->n; i++)
		for (int r = 0; r == 0 || route_pattern(r); r++)
			if (histogram_count(&pages->v[i]->page.counters.answered[r]) > 0)
				metrics_histogram(out, times,
						  &pages->v[i]->page.counters.answered[r],
						  count_seconds, pages->v[i]->page.process, "route",
						  route_name(r));
	metrics_family(
		out, waits, "histogram",
		"The same of those that waited for their job: long polls, and submits within their wait budget.");
	for (int i = 0; i < pages->n; i++)
		metrics_histogram(out, waits, &pages->v[i]->page.counters.parked, count_seconds,
				  pages->v[i]->page.process, NULL, NULL);
}

static void add_database(struct buf *out, const struct pages *pages)
{
	static const char times[] = "longhaul_api_database_query_duration_seconds";

	metrics_family(out, "longhaul_api_database_connected", "gauge",
		       "Whether the connection to the database stands.");
	for (int i = 0; i < pages->n; i++)
		for (int d = 0; d < COUNT_UPLOAD && pages->v[i]->alive; d++)
			if (d != COUNT_REPLICA || pages->v[i]->page.counters.connects[d] > 0)
				metrics_sample(out, "longhaul_api_database_connected",
					       pages->v[i]->page.counters.up >> d & 1, "process",
					       pages->v[i]->page.process, "connection",
					       count_db_names[d]);
	metrics_family(out, "longhaul_api_database_connects_total", "counter",
		       "Connections made to the database; all but the first are reconnects.");
	for (int i = 0; i < pages->n; i++)
		for (int d = 0; d < COUNT_DBS; d++)
			metrics_sample(out, "longhaul_api_database_connects_total",
				       (double)pages->v[i]->page.counters.connects[d], "process",
				       pages->v[i]->page.process, "connection", count_db_names[d]);
	metrics_family(out, times, "histogram",
		       "Time from sending a statement to its complete answer.");
	for (int i = 0; i < pages->n; i++)
		for (int d = 0; d < COUNT_DBS; d++)
			if (histogram_count(&pages->v[i]->page.counters.statement[d]) > 0)
				metrics_histogram(out, times,
						  &pages->v[i]->page.counters.statement[d],
						  count_seconds, pages->v[i]->page.process,
						  "connection", count_db_names[d]);
	metrics_family(out, "longhaul_api_batch_items", "histogram",
		       "Requests that shared a statement, by what it was for.");
	for (int i = 0; i < pages->n; i++)
		for (int b = 0; b < COUNT_BATCHES; b++)
			metrics_histogram(out, "longhaul_api_batch_items",
					  &pages->v[i]->page.counters.batch[b], count_sizes,
					  pages->v[i]->page.process, "kind", count_batch_names[b]);
}

static void add_gauges(struct buf *out, const struct pages *pages)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} gauges[] = {
		{ "longhaul_api_connections", "FastCGI connections that are open.",
		  offsetof(struct counters, connections) },
		{ "longhaul_api_requests_in_progress",
		  "Requests under way, streams and waiting ones included.",
		  offsetof(struct counters, under_way) },
		{ "longhaul_api_streams", "Event streams that are open.",
		  offsetof(struct counters, streams) },
		{ "longhaul_api_requests_waiting", "Requests that wait for their job.",
		  offsetof(struct counters, waiting) },
		{ "longhaul_api_uploads", "Large inputs that are being stored.",
		  offsetof(struct counters, uploads) },
	};

	for (size_t g = 0; g < sizeof(gauges) / sizeof(gauges[0]); g++) {
		metrics_family(out, gauges[g].name, "gauge", gauges[g].help);
		for (int i = 0; i < pages->n; i++) {
			const char *base = (const char *)&pages->v[i]->page.counters;

			if (pages->v[i]->alive)
				metrics_sample(
					out, gauges[g].name,
					(double)*(const int64_t *)(const void *)(base +
										 gauges[g].at),
					"process", pages->v[i]->page.process);
		}
	}
}

static void keep_page(void *ctx, const struct counters_page *page, bool alive)
{
	struct pages *pages = ctx;
	struct page_copy *copy;

	if (pages->n == PAGES_MAX)
		return;
	copy = mem_alloc(sizeof(*copy));
	copy->page = *page;
	copy->alive = alive;
	pages->v[pages->n++] = copy;
}

void metrics_processes(struct buf *out)
{
	struct pages pages = { .n = 0 };

	counters_each(keep_page, &pages);
	add_processes(out, &pages);
	add_requests(out, &pages);
	add_database(out, &pages);
	add_gauges(out, &pages);
	for (int i = 0; i < pages.n; i++)
		free(pages.v[i]);
}
