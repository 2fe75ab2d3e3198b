/*
 * test_router.c: who gets which request, and who is let in.
 * links: api/counters.c api/router.c api/identity.c api/query.c api/request.c api/host.c
 */
#include "test.h"

#include "api/app.h"
#include "api/conn.h"
#include "api/health.h"
#include "api/identity.h"
#include "api/jobs.h"
#include "api/metrics.h"
#include "api/openapi.h"
#include "api/query.h"
#include "api/request.h"
#include "api/router.h"
#include "api/statistics.h"
#include "api/webhooks.h"
#include "common/ids.h"
#include "common/mem.h"
#include "common/sha256.h"

#define JOB "01a2087d-d650-728c-97f1-bca0dc1c81f9"
#define HOOK "01a2087d-d650-728c-97f1-bca0dc1c81fa"

struct app app;
static struct api_config cfg = { .base_url = (char *)"",
				 .client_param = (char *)"LONGHAUL_CLIENT",
				 .max_requests = 5 };
static struct request *asked;
static char said[600]; /* what became of the request */
static bool types = true;
static int under_way = 1;

/* ---- what stands around the router --------------------------------------------------------------- */

void conn_kick(struct conn *c)
{
	(void)c;
}

int conns_requests(void)
{
	return under_way;
}

void reply_header(struct request *r, const char *name, const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list args;

	(void)r;
	n += (size_t)snprintf(said + n, sizeof(said) - n, "%s: ", name);
	va_start(args, fmt);
	n += (size_t)vsnprintf(said + n, sizeof(said) - n, fmt, args);
	va_end(args);
	snprintf(said + n, sizeof(said) - n, "; ");
}

void reply_problem(struct request *r, const char *type, struct json_object *extra, const char *fmt,
		   ...)
{
	(void)r;
	(void)extra;
	(void)fmt;
	strcat(said, type);
}

struct json_object *input_error(struct json_object *errors, const char *where, const char *why)
{
	(void)errors;
	(void)why;
	strcat(strcat(said, where), " ");
	return NULL;
}

void reply_invalid(struct request *r, struct json_object *errors)
{
	(void)r;
	(void)errors;
	strcat(said, "invalid-input");
}

static void handled(const char *name, const struct route_match *m, bool body_dropped)
{
	size_t n = strlen(said);

	snprintf(said + n, sizeof(said) - n, "%s type=%d id=%s%s%s client=%s%s", name, m->type_id,
		 m->nseg ? m->seg[0] : "-", m->nseg > 1 ? "," : "", m->nseg > 1 ? m->seg[1] : "",
		 req_client(asked), body_dropped ? "" : " body");
}

#define HANDLER(name)                                              \
	void name(struct request *r, const struct route_match *m)  \
	{                                                          \
		handled(#name, m, r->body.mode == BODY_DISCARDED); \
	}

HANDLER(healthz_handle)
HANDLER(readyz_handle)
HANDLER(submit_handle)
HANDLER(job_get_handle)
HANDLER(result_get_handle)
HANDLER(attempts_handle)
HANDLER(log_handle)
HANDLER(cancel_handle)
HANDLER(retry_handle)
HANDLER(delete_handle)
HANDLER(list_type_handle)
HANDLER(list_all_handle)
HANDLER(operation_get_handle)
HANDLER(events_handle)
HANDLER(webhook_list_handle)
HANDLER(webhook_create_handle)
HANDLER(webhook_get_handle)
HANDLER(webhook_delete_handle)
HANDLER(webhook_enable_handle)
HANDLER(webhook_ping_handle)
HANDLER(webhook_secret_handle)
HANDLER(webhook_deliveries_handle)
HANDLER(webhook_redeliver_handle)
HANDLER(job_deliveries_handle)
HANDLER(job_redeliver_handle)
HANDLER(feed_handle)
HANDLER(statistics_handle)
HANDLER(metrics_handle)
HANDLER(openapi_handle)

void openapi_link(struct request *req)
{
	(void)req;
}

static const struct job_type import = { .type_id = 3,
					.submit_path = (char *)"/accounts/bulk-import",
					.collection = (char *)"import-jobs" };

const struct job_type *type_by_submit_path(const char *path)
{
	return types && strcmp(path, import.submit_path) == 0 ? &import : NULL;
}

const struct job_type *type_by_collection(const char *seg)
{
	return types && strcmp(seg, import.collection) == 0 ? &import : NULL;
}

bool types_known(void)
{
	return types;
}

static client_key_fn *key_done;
static void *key_ctx;
static unsigned char key_sha256[32];

void client_key_lookup(const unsigned char sha256[32], client_key_fn *done, void *ctx)
{
	memcpy(key_sha256, sha256, 32);
	key_done = done;
	key_ctx = ctx;
}

/* ---- asking -------------------------------------------------------------------------------------- */

static void forget(void)
{
	if (asked)
		request_detach(asked, false);
	asked = NULL;
	request_bury();
}

/* Routes a request made of its method and target and up to three more parameters. */
static const char *ask(const char *method, const char *uri, const char *a, const char *b,
		       const char *c)
{
	char m[64], u[600];
	char *envp[8] = { m,   u, (char *)(uintptr_t)a, (char *)(uintptr_t)b, (char *)(uintptr_t)c,
			  NULL };

	forget();
	snprintf(m, sizeof(m), "REQUEST_METHOD=%s", method);
	snprintf(u, sizeof(u), "REQUEST_URI=%s", uri);
	asked = request_new(envp);
	asked->conn = (struct conn *)asked; /* alive; nobody looks into it */
	said[0] = '\0';
	route_request(asked);
	return said;
}

/* The same for a client that nginx names. */
static const char *ask_as_bob(const char *method, const char *uri)
{
	return ask(method, uri, "HTTP_HOST=h", "LONGHAUL_CLIENT=bob", NULL);
}

static void all_routes(void **state)
{
	(void)state;
	assert_string_equal(ask_as_bob("POST", "/v1/accounts/bulk-import"),
			    "submit_handle type=3 id=- client=bob body");
	assert_string_equal(ask_as_bob("GET", "/v1/jobs?limit=3"),
			    "list_all_handle type=0 id=- client=bob");
	assert_string_equal(ask_as_bob("HEAD", "/v1/import-jobs"),
			    "list_type_handle type=3 id=- client=bob");
	assert_string_equal(ask_as_bob("GET", "/v1/import-jobs/" JOB),
			    "job_get_handle type=3 id=" JOB " client=bob");
	assert_string_equal(ask_as_bob("DELETE", "/v1/import-jobs/" JOB),
			    "delete_handle type=3 id=" JOB " client=bob");
	assert_string_equal(ask_as_bob("GET", "/v1/import-jobs/" JOB "/results"),
			    "result_get_handle type=3 id=" JOB " client=bob");
	assert_string_equal(ask_as_bob("GET", "/v1/import-jobs/" JOB "/attempts"),
			    "attempts_handle type=3 id=" JOB " client=bob");
	assert_string_equal(ask_as_bob("GET", "/v1/import-jobs/" JOB "/log?attempt=1"),
			    "log_handle type=3 id=" JOB " client=bob");
	assert_string_equal(ask_as_bob("POST", "/v1/import-jobs/" JOB "/cancel"),
			    "cancel_handle type=3 id=" JOB " client=bob");
	assert_string_equal(ask_as_bob("POST", "/v1/import-jobs/" JOB "/retry"),
			    "retry_handle type=3 id=" JOB " client=bob");
	assert_string_equal(ask_as_bob("GET", "/v1/operations/" JOB),
			    "operation_get_handle type=0 id=" JOB " client=bob");
	assert_string_equal(ask("GET", "/healthz", NULL, NULL, NULL),
			    "healthz_handle type=0 id=- client=");
	assert_string_equal(ask("GET", "/readyz", NULL, NULL, NULL),
			    "readyz_handle type=0 id=- client=");
	assert_string_equal(ask_as_bob("GET", "/v1/import%2Djobs/" JOB),
			    "job_get_handle type=3 id=" JOB " client=bob");
}

static void routes_of_webhooks(void **state)
{
	static const struct {
		const char *method, *path, *expected;
	} cases[] = {
		{ "GET", "", "webhook_list_handle type=0 id=- client=bob" },
		{ "POST", "", "webhook_create_handle type=0 id=- client=bob body" },
		{ "POST", "/secret", "webhook_secret_handle type=0 id=- client=bob body" },
		{ "GET", "/" HOOK, "webhook_get_handle type=0 id=" HOOK " client=bob" },
		{ "DELETE", "/" HOOK, "webhook_delete_handle type=0 id=" HOOK " client=bob" },
		{ "POST", "/" HOOK "/enable",
		  "webhook_enable_handle type=0 id=" HOOK " client=bob" },
		{ "POST", "/" HOOK "/ping", "webhook_ping_handle type=0 id=" HOOK " client=bob" },
		{ "POST", "/" HOOK "/secret",
		  "webhook_secret_handle type=0 id=" HOOK " client=bob body" },
		{ "GET", "/" HOOK "/deliveries",
		  "webhook_deliveries_handle type=0 id=" HOOK " client=bob" },
		{ "POST", "/" HOOK "/deliveries/" JOB "/redeliver",
		  "webhook_redeliver_handle type=0 id=" HOOK "," JOB " client=bob" },
	};
	char path[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(path, sizeof(path), "/v1/webhooks%s", cases[i].path);
		assert_string_equal(ask_as_bob(cases[i].method, path), cases[i].expected);
	}
	assert_string_equal(ask_as_bob("GET", "/v1/import-jobs/" JOB "/deliveries"),
			    "job_deliveries_handle type=3 id=" JOB " client=bob");
	assert_string_equal(
		ask_as_bob("POST", "/v1/import-jobs/" JOB "/deliveries/" HOOK "/redeliver"),
		"job_redeliver_handle type=3 id=" JOB "," HOOK " client=bob");
}

static void no_such_route(void **state)
{
	static const char *const paths[] = { "/",
					     "",
					     "*",
					     "/v1",
					     "/v1/",
					     "/v2/jobs",
					     "/v1//jobs",
					     "/v1/jobs/",
					     "/v1/jobs/" JOB,
					     "/v1/nonsense",
					     "/v1/../healthz",
					     "/v1/import-jobs/",
					     "/v1/import-jobs/1",
					     "/v1/import-jobs/" JOB "/",
					     "/v1/import-jobs/" JOB "/nonsense",
					     "/v1/import-jobs/" JOB "/results/x",
					     "/v1/operations",
					     "/v1/operations/x",
					     "/v1/accounts",
					     "/v1/accounts%2Fbulk-import",
					     "/v1/accounts/bulk-import/",
					     "/v1/import-jobs/01a2087dd650728c97f1bca0dc1c81f9",
					     "/v1/import-jobs/" JOB "%00",
					     "/v1/import-jobs/%zz",
					     "/v1/%ff",
					     "/V1/jobs",
					     "/v1/a/b/c/d/e/f/g/h/i/j/k/l/m/n",
					     "http://h/v1/jobs" };

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (strcmp(ask_as_bob("GET", paths[i]), "not-found") != 0)
			fail_msg("%s: %s", paths[i], said);
}

static void other_methods(void **state)
{
	(void)state;
	assert_string_equal(ask_as_bob("PUT", "/v1/jobs"), "Allow: GET, HEAD; method-not-allowed");
	assert_string_equal(ask_as_bob("GET", "/v1/accounts/bulk-import"),
			    "Allow: POST; method-not-allowed");
	assert_string_equal(ask_as_bob("POST", "/v1/import-jobs/" JOB),
			    "Allow: GET, HEAD, DELETE; method-not-allowed");
	assert_string_equal(ask_as_bob("get", "/v1/jobs"), "Allow: GET, HEAD; method-not-allowed");
	assert_string_equal(ask("POST", "/healthz", NULL, NULL, NULL),
			    "Allow: GET, HEAD; method-not-allowed");
	assert_string_equal(ask_as_bob("BREW", "/v1/nonsense"), "not-found");
}

static void before_the_types_are_known(void **state)
{
	(void)state;
	types = false;
	assert_string_equal(ask_as_bob("POST", "/v1/accounts/bulk-import"), "unavailable");
	assert_string_equal(ask_as_bob("GET", "/v1/jobs"),
			    "list_all_handle type=0 id=- client=bob");
	assert_string_equal(ask("GET", "/healthz", NULL, NULL, NULL),
			    "healthz_handle type=0 id=- client=");
	assert_string_equal(ask("GET", "/nonsense", NULL, NULL, NULL), "not-found");
	types = true;
}

static void too_many_at_once(void **state)
{
	(void)state;
	under_way = 6;
	assert_string_equal(ask_as_bob("GET", "/v1/jobs"), "unavailable");
	assert_string_equal(ask("GET", "/healthz", NULL, NULL, NULL),
			    "healthz_handle type=0 id=- client=");
	under_way = 1;
}

static void no_way_around_the_client(void **state)
{
	static const char *const paths[] = { "/v1/jobs", "/%761/jobs", "/v%31/jobs",
					     "/%76%31/%6aobs" };

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (strcmp(ask("GET", paths[i], "HTTP_HOST=h", "REMOTE_USER=admin",
			       "LONGHAUL_CLIENT="),
			   "WWW-Authenticate: Bearer; unauthorized") != 0)
			fail_msg("%s: %s", paths[i], said);
	assert_string_equal(
		ask("GET", "/v1/jobs", "LONGHAUL_CLIENT=bob", "LONGHAUL_CLIENT=eve", "HTTP_HOST=h"),
		"LONGHAUL_CLIENT invalid-input");
	assert_string_equal(
		ask("GET", "/v1/jobs", "LONGHAUL_CLIENT=bob", "LONGHAUL_CLIENT=", "HTTP_HOST=h"),
		"LONGHAUL_CLIENT invalid-input");
	assert_string_equal(
		ask("GET", "/v1/jobs", "LONGHAUL_CLIENT=b\xc3\xb6", "HTTP_HOST=h", NULL),
		"LONGHAUL_CLIENT invalid-input");
	assert_string_equal(ask("GET", "/v1/jobs", "LONGHAUL_CLIENT=bob", "HTTP_HOST=a b", NULL),
			    "Host invalid-input");
	assert_string_equal(ask("GET", "/v1/jobs", "LONGHAUL_CLIENT=bob", NULL, NULL),
			    "Host invalid-input");
}

static void names_of_clients(void **state)
{
	char longest[66];

	(void)state;
	memset(longest, 'c', sizeof(longest));
	longest[65] = '\0';
	assert_false(client_name_valid(longest));
	longest[64] = '\0';
	assert_true(client_name_valid(longest));
	assert_true(client_name_valid("CN=a b,O=\"c\""));
	assert_false(client_name_valid(""));
	assert_false(client_name_valid(" a"));
	assert_false(client_name_valid("a "));
	assert_false(client_name_valid("a\tb"));
	assert_false(client_name_valid("a\x7f"));
}

static void keys(void **state)
{
	unsigned char sha256[32];

	(void)state;
	assert_string_equal(ask("GET", "/v1/jobs", "HTTP_HOST=h",
				"HTTP_AUTHORIZATION=bearer  lh_k-1.~+/=", NULL),
			    "");
	sha256_of("lh_k-1.~+/=", 11, sha256);
	assert_memory_equal(sha256, key_sha256, 32);
	key_done(key_ctx, 1, "carol");
	assert_string_equal(said, "list_all_handle type=0 id=- client=carol");

	assert_string_equal(
		ask("GET", "/v1/jobs", "HTTP_HOST=h", "HTTP_AUTHORIZATION=Bearer x", NULL), "");
	key_done(key_ctx, 0, NULL);
	assert_string_equal(said, "WWW-Authenticate: Bearer; unauthorized");

	assert_string_equal(
		ask("GET", "/v1/jobs", "HTTP_HOST=h", "HTTP_AUTHORIZATION=Bearer x", NULL), "");
	key_done(key_ctx, -1, NULL);
	assert_string_equal(said, "unavailable");

	/* the client left meanwhile */
	assert_string_equal(
		ask("GET", "/v1/jobs", "HTTP_HOST=h", "HTTP_AUTHORIZATION=Bearer x", NULL), "");
	request_detach(asked, true);
	asked = NULL;
	request_bury();
	key_done(key_ctx, 1, "carol");
	assert_string_equal(said, "");
	request_bury();

	/* nginx's word comes first */
	assert_string_equal(ask("GET", "/v1/jobs", "HTTP_HOST=h", "HTTP_AUTHORIZATION=Bearer x",
				"LONGHAUL_CLIENT=bob"),
			    "list_all_handle type=0 id=- client=bob");
	assert_string_equal(ask("GET", "/v1/jobs", "HTTP_HOST=h", "HTTP_AUTHORIZATION=Bearer a",
				"HTTP_AUTHORIZATION=Bearer b"),
			    "Authorization invalid-input");
}

static void authorizations_that_are_no_keys(void **state)
{
	static const char *const bad[] = { "",           "Bearer",       "Bearer ",
					   "Bearer a b", "Bearer a,b",   "Basic YTpi",
					   "Bearera",    "Bearer \"a\"", "Bearer a\xc3\xb6" };
	char longest[7 + 514] = "Bearer ";

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (bearer_key(bad[i]))
			fail_msg("taken: %s", bad[i]);
	assert_null(bearer_key(NULL));
	memset(longest + 7, 'k', 513);
	assert_null(bearer_key(longest));
	longest[7 + 512] = '\0';
	assert_non_null(bearer_key(longest));
}

static void pages_of_other_origins(void **state)
{
	static const char *const bad[] = {
		"HTTP_ORIGIN=http://evil",       "HTTP_ORIGIN=null",
		"HTTP_ORIGIN=https://h",         "HTTP_SEC_FETCH_SITE=cross-site",
		"HTTP_SEC_FETCH_SITE=same-site", "HTTP_ORIGIN=http://h:81"
	};
	static const char *const good[] = { "HTTP_ORIGIN=http://h", "HTTP_ORIGIN=http://H:80",
					    "HTTP_SEC_FETCH_SITE=none",
					    "HTTP_SEC_FETCH_SITE=same-origin", "HTTP_ORIGIN=" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (strcmp(ask("POST", "/v1/accounts/bulk-import", "HTTP_HOST=h",
			       "LONGHAUL_CLIENT=bob", bad[i]),
			   "forbidden") != 0)
			fail_msg("%s: %s", bad[i], said);
		if (strcmp(ask("PATCH", "/v1/jobs", "HTTP_HOST=h", "LONGHAUL_CLIENT=bob", bad[i]),
			   "forbidden") != 0)
			fail_msg("%s: %s", bad[i], said);
		if (strncmp(ask("GET", "/v1/jobs", "HTTP_HOST=h", "LONGHAUL_CLIENT=bob", bad[i]),
			    "list_all", 8) != 0)
			fail_msg("%s: %s", bad[i], said);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (strncmp(ask("POST", "/v1/accounts/bulk-import", "HTTP_HOST=h",
				"LONGHAUL_CLIENT=bob", good[i]),
			    "submit", 6) != 0)
			fail_msg("%s: %s", good[i], said);
}

static int stop(void **state)
{
	(void)state;
	forget();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_routes),
		cmocka_unit_test(routes_of_webhooks),
		cmocka_unit_test(no_such_route),
		cmocka_unit_test(other_methods),
		cmocka_unit_test(before_the_types_are_known),
		cmocka_unit_test(too_many_at_once),
		cmocka_unit_test(no_way_around_the_client),
		cmocka_unit_test(names_of_clients),
		cmocka_unit_test(keys),
		cmocka_unit_test(authorizations_that_are_no_keys),
		cmocka_unit_test(pages_of_other_origins),
	};

	app.cfg = &cfg;
	return cmocka_run_group_tests(tests, NULL, stop);
}
