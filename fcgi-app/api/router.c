/*
 * router.c: the table of routes. A new one is one row and its handler.
 */
#include "api/router.h"

#include <string.h>

#include "api/app.h"
#include "api/conn.h"
#include "api/counters.h"
#include "api/health.h"
#include "api/identity.h"
#include "api/jobs.h"
#include "api/metrics.h"
#include "api/openapi.h"
#include "api/query.h"
#include "api/request.h"
#include "api/statistics.h"
#include "api/webhooks.h"
#include "common/ids.h"

#define SEGMENTS_MAX 12

/*
 * In a pattern {id} stands for an id, of a job or what else the path is about, which the handler gets, {collection} for the collection
 * and {submit} for the submit path of a job type, of which the handler gets the type.
 */
static const struct route {
	int methods;
	bool body; /* the handler reads the body; for the others it is dropped */
	const char *pattern;
	route_handler *handler;
} routes[] = {
	{ HTTP_GET | HTTP_HEAD, false, "/healthz", healthz_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/readyz", readyz_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/metrics", metrics_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/openapi.json", openapi_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/jobs", list_all_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/jobs/events", feed_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/jobs/statistics", statistics_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/operations/{id}", operation_get_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/webhooks", webhook_list_handle },
	{ HTTP_POST, true, "/v1/webhooks", webhook_create_handle },
	{ HTTP_POST, true, "/v1/webhooks/secret", webhook_secret_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/webhooks/{id}", webhook_get_handle },
	{ HTTP_DELETE, false, "/v1/webhooks/{id}", webhook_delete_handle },
	{ HTTP_POST, false, "/v1/webhooks/{id}/enable", webhook_enable_handle },
	{ HTTP_POST, false, "/v1/webhooks/{id}/ping", webhook_ping_handle },
	{ HTTP_POST, true, "/v1/webhooks/{id}/secret", webhook_secret_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/webhooks/{id}/deliveries", webhook_deliveries_handle },
	{ HTTP_POST, false, "/v1/webhooks/{id}/deliveries/{id}/redeliver",
	  webhook_redeliver_handle },
	{ HTTP_POST, true, "/v1/{submit}", submit_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/{collection}", list_type_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/{collection}/{id}", job_get_handle },
	{ HTTP_DELETE, false, "/v1/{collection}/{id}", delete_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/{collection}/{id}/events", events_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/{collection}/{id}/results", result_get_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/{collection}/{id}/log", log_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/{collection}/{id}/attempts", attempts_handle },
	{ HTTP_POST, false, "/v1/{collection}/{id}/cancel", cancel_handle },
	{ HTTP_POST, false, "/v1/{collection}/{id}/retry", retry_handle },
	{ HTTP_GET | HTTP_HEAD, false, "/v1/{collection}/{id}/deliveries", job_deliveries_handle },
	{ HTTP_POST, false, "/v1/{collection}/{id}/deliveries/{id}/redeliver",
	  job_redeliver_handle },
};

#define ROUTES (sizeof(routes) / sizeof(routes[0]))
_Static_assert(ROUTES < COUNT_ROUTES, "each row is counted in a place of its own");

const char *route_pattern(int row)
{
	return row > 0 && row <= (int)ROUTES ? routes[row - 1].pattern : NULL;
}

/* A request's path, decoded. */
struct path {
	int n;
	const char *seg[SEGMENTS_MAX];
	char *submit; /* from the second segment on: what may be a submit path */
};

/* Splits at the slashes before decoding. False if no route can match: an empty segment, a malformed
 * encoding, a slash or NUL within a segment. */
static bool path_split(struct request *req, struct path *out)
{
	const char *path = req_path(req);
	char *decoded = req_alloc(req, strlen(path) + 1);
	char *joined = req_alloc(req, strlen(path) + 1);

	out->n = 0;
	out->submit = joined;
	if (*path != '/')
		return false;
	while (*path == '/') {
		size_t len = strcspn(++path, "/");

		if (out->n == SEGMENTS_MAX || len == 0 || !url_decode(path, len, false, decoded) ||
		    strchr(decoded, '/'))
			return false;
		if (out->n > 0)
			joined = stpcpy(stpcpy(joined, "/"), decoded);
		out->seg[out->n++] = decoded;
		decoded += strlen(decoded) + 1;
		path += len;
	}
	return true;
}

/* Everything below /v1 needs a client and a host. This looks at the same decoded segments as the patterns
 * do, so that no spelling of a path gets around it. */
static bool path_needs_client(const struct path *path)
{
	return path->n > 0 && strcmp(path->seg[0], "v1") == 0;
}

static bool word_is(const char *at, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(at, word, len) == 0;
}

/* True if the path matches the pattern; the match then holds what stood for the words in braces. */
static bool route_matches(const char *pattern, const struct path *path, struct route_match *m)
{
	const struct job_type *type;
	struct uuid id;
	int i = 0;

	memset(m, 0, sizeof(*m));
	for (; *pattern == '/'; i++) {
		size_t len = strcspn(++pattern, "/");

		if (i == path->n)
			return false;
		if (word_is(pattern, len, "{submit}")) {
			type = type_by_submit_path(path->submit);
			m->type_id = type ? type->type_id : 0;
			return type != NULL;
		}
		if (word_is(pattern, len, "{collection}")) {
			type = type_by_collection(path->seg[i]);
			if (!type)
				return false;
			m->type_id = type->type_id;
		} else if (word_is(pattern, len, "{id}")) {
			if (!uuid_parse(path->seg[i], strlen(path->seg[i]), &id))
				return false;
			m->seg[m->nseg++] = path->seg[i];
		} else if (!word_is(pattern, len, path->seg[i])) {
			return false;
		}
		pattern += len;
	}
	return i == path->n;
}

/* Finds the row for a path and a method; NULL and in *allowed the methods of those for the path. */
static const struct route *route_find(const struct path *path, enum http_method method,
				      struct route_match *m, int *allowed)
{
	*allowed = 0;
	for (size_t i = 0; i < ROUTES; i++) {
		if (!route_matches(routes[i].pattern, path, m))
			continue;
		if (routes[i].methods & (int)method)
			return &routes[i];
		*allowed |= routes[i].methods;
	}
	return NULL;
}

static void refuse_method(struct request *req, int allowed)
{
	static const struct {
		int method;
		const char *name;
	} names[] = { { HTTP_GET, "GET" },
		      { HTTP_HEAD, "HEAD" },
		      { HTTP_POST, "POST" },
		      { HTTP_DELETE, "DELETE" } };
	char allow[64] = "";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (allowed & names[i].method)
			strcat(strcat(allow, *allow ? ", " : ""), names[i].name);
	reply_header(req, "Allow", "%s", allow);
	openapi_link(req);
	reply_problem(req, "method-not-allowed", NULL, "This address answers to %s.", allow);
}

/* Calls the handler, or says why there is none. The client is known, unless the route is open to all. */
static void route_call(struct request *req)
{
	const struct path *path = req->path_parts;
	const struct route *route;
	struct route_match match;
	int allowed;

	route = route_find(path, req_method(req), &match, &allowed);
	req->route = route ? (int)(route - routes) + 1 : 0;
	if (!route && allowed) {
		refuse_method(req, allowed);
	} else if (!route && path_needs_client(path) && !types_known()) {
		reply_problem(req, "unavailable", NULL,
			      "The job types aren't known yet: the database is away.");
	} else if (!route) {
		openapi_link(req);
		reply_problem(req, "not-found", NULL, "There is nothing at this address.");
	} else {
		if (!route->body)
			req_body_discard(req);
		route->handler(req, &match);
	}
}

void route_request(struct request *req)
{
	struct path *path = req_alloc(req, sizeof(*path));

	req->path_parts = path;
	if (!path_split(req, path))
		path->n = 0;
	if (!path_needs_client(path))
		route_call(req);
	else if (conns_requests() > app.cfg->max_requests)
		reply_problem(req, "unavailable", NULL,
			      "Too many requests are under way. Nothing was accepted.");
	else if (!req_base_url(req))
		reply_invalid(req, input_error(NULL, "Host",
					       "not a host name or address, maybe with a port"));
	else if (origin_is_foreign(req))
		reply_problem(req, "forbidden", NULL, "Pages of other origins may not do this.");
	else
		identity_find(req, route_call);
}
