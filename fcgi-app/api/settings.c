/*
 * settings.c: the option table of longhaul-api.
 */
#include "api/settings.h"

#include <string.h>

#include "api/host.h"
#include "api/listener.h"

#define S struct api_config

static const struct opt transport_opts[] = {
	OPT_STR("api", "listen", S, listen, "unix:/run/longhaul/api.sock",
		"Where nginx connects to: unix:/path, 127.0.0.1:9000 or [::1]:9000. One address per process."),
	OPT_MODE("api", "socket_mode", S, socket_mode, "0660", "Permissions of the unix socket."),
	OPT_STR("api", "base_url", S, base_url, "",
		"What links begin with, like https://api.example.com; may end in a path, which is then taken off "
		"requests. Empty: the scheme and Host of each request."),
	OPT_STR("api", "problem_base", S, problem_base,
		"urn:longhaul:problem:", "What the types of problem documents begin with."),
	OPT_STR("api", "client_param", S, client_param, "LONGHAUL_CLIENT",
		"FastCGI parameter in which nginx names the client it has authenticated."),
	OPT_NUM("api", "max_connections", S, max_connections, "10240", 1, 1000000,
		"FastCGI connections open at once; further ones wait in the kernel's queue."),
	OPT_NUM("api", "max_requests", S, max_requests, "8192", 1, 1000000,
		"Requests under way at once, parked ones included; further ones are answered 503."),
	OPT_NUM("api", "io_timeout_ms", S, io_timeout_ms, "60000", 100, 3600000,
		"A connection is closed when its peer neither sends what it began nor takes what waits for it."),
	OPT_NUM("api", "drain_ms", S, drain_ms, "10000", 0, 600000,
		"After SIGTERM, how long requests under way may take to end."),
	OPT_STR("api", "metrics_dir", S, metrics_dir, "",
		"Folder in which the API processes of a host share their counters, so that each can answer /metrics "
		"for all. Empty: that of the unix socket; none with a TCP address."),
	OPT_NUM("api", "metrics_ms", S, metrics_ms, "1000", 10, 60000,
		"How long /metrics waits for the database; without it there are the metrics of the processes only."),
	OPT_NUM("api", "metrics_refresh_ms", S, metrics_refresh_ms, "5000", 10, 600000,
		"How often, at most, /metrics asks the database."),
	OPT_NUM("api", "ready_ms", S, ready_ms, "2000", 10, 60000,
		"How long /readyz waits for the database."),
};

static const struct opt jobs_opts[] = {
	OPT_NUM("api", "wait_max_s", S, wait_max_s, "55", 0, 3600,
		"The longest that Prefer: wait can ask for, in seconds; nginx's fastcgi_read_timeout must be longer."),
	OPT_NUM("api", "batch_rows", S, batch_rows, "500", 1, 10000,
		"Rows in one submit or status statement."),
	OPT_BYTES("api", "batch_bytes", S, batch_bytes, "4MiB", 65536, 1 << 28,
		  "Bytes of input in one submit statement."),
	OPT_BYTES("api", "inline_max", S, inline_max, "64KiB", 0, 262144,
		  "Larger inputs go over a streaming connection, chunk by chunk."),
	OPT_NUM("api", "streams", S, streams, "4", 1, 64,
		"Database connections for large inputs, at most."),
	OPT_NUM("api", "streams_queue", S, streams_queue, "64", 0, 100000,
		"Requests that may wait for one of these connections; further ones are answered 503."),
	OPT_NUM("api", "queue_max", S, queue_max, "20000", 1, 1000000,
		"Requests that may wait for a statement; further ones are answered 503."),
	OPT_NUM("api", "tick_ms", S, tick_ms, "250", 10, 60000,
		"How often jobs that somebody waits for are read again, notified or not."),
	OPT_NUM("api", "types_refresh_ms", S, types_refresh_ms, "2000", 10, 600000,
		"How often the job types are read again, notified or not."),
	OPT_NUM("api", "history_refresh_ms", S, history_refresh_ms, "10000", 10, 3600000,
		"How long jobs usually take is asked at most this often."),
	OPT_NUM("api", "standby_lag_ms", S, standby_lag_ms, "5000", 1, 3600000,
		"How far the standby of read_conninfo may be behind for polls to be answered from it. A client that "
		"names the version it knows is never shown an older one."),
	OPT_NUM("api", "state_refresh_ms", S, state_refresh_ms, "1000", 10, 600000,
		"How often, at most, the state of the queues is read; estimates and pacing come from it."),
	OPT_NUM("api", "settle_ms", S, settle_ms, "5000", 0, 600000,
		"How long a submit whose commit was cut off is sent again before it is answered 504."),
	OPT_NUM("api", "wake_ms", S, wake_ms, "10", 0, 60000,
		"Least time between two wakes of the workers."),
	OPT_NUM("api", "events_heartbeat_ms", S, events_heartbeat_ms, "15000", 10, 600000,
		"How often a silent event stream gets a comment; nginx's fastcgi_read_timeout must be longer."),
	OPT_NUM("api", "events_pace_ms", S, events_pace_ms, "250", 0, 60000,
		"Least time between two events of one job on a stream, but for its end."),
	OPT_NUM("api", "events_retry_ms", S, events_retry_ms, "2000", 1, 600000,
		"After how long a client whose event stream broke off, or can't be had now, comes back."),
	OPT_NUM("api", "events_drain_ms", S, events_drain_ms, "500", 1, 600000,
		"At the end of this process its event streams are spread over this time to other ones."),
	OPT_BYTES("api", "events_queue", S, events_queue, "256KiB", 16384, 1 << 28,
		  "An event stream with more than this waiting for its reader is dropped."),
	OPT_NUM("api", "keys_max", S, keys_max, "10000", 1, 1000000, "API keys remembered."),
	OPT_NUM("api", "keys_found_ms", S, keys_found_ms, "10000", 0, 3600000,
		"How long a known API key is remembered; a revoked one works that much longer."),
	OPT_NUM("api", "keys_unknown_ms", S, keys_unknown_ms, "2000", 0, 3600000,
		"How long an unknown API key is remembered."),
};

struct api_config api_settings;
struct webhook_guard api_webhook_guard;

static const struct opt_group groups[] = {
	OPT_GROUP(database_opts, &api_settings.database),
	OPT_GROUP(log_opts, &api_settings.log),
	OPT_GROUP(webhook_opts, &api_settings.webhook),
	OPT_GROUP(transport_opts, &api_settings),
	OPT_GROUP(jobs_opts, &api_settings),
};

static const char *const foreign[] = { "worker", "type", NULL };

const struct program api_program = {
	.name = "longhaul-api",
	.summary = "Serves the HTTP API of longhaul to nginx, as a FastCGI responder.",
	.groups = groups,
	.n_groups = sizeof(groups) / sizeof(groups[0]),
	.foreign = foreign,
};

bool api_settings_check(const struct api_config *cfg, struct buf *errors)
{
	char err[160];
	size_t before = errors->len, slash = strlen(cfg->base_url);

	database_config_check(&cfg->database, errors);
	if (!listen_address_valid(cfg->listen, err, sizeof(err)))
		buf_addf(errors, "api.listen: %s\n", err);
	if (*cfg->base_url && !base_url_valid(cfg->base_url))
		buf_addf(errors, "api.base_url: %s\n",
			 cfg->base_url[slash - 1] == '/'
				 ? "it must not end in '/'"
				 : "it must be http:// or https://, a host and maybe a path");
	if (!*cfg->client_param || strchr(cfg->client_param, '=') ||
	    strncmp(cfg->client_param, "HTTP_", 5) == 0)
		buf_adds(
			errors,
			"api.client_param: a name that no request header can have, so not HTTP_…\n");
	if (strcmp(cfg->client_param, "REMOTE_USER") == 0)
		buf_adds(
			errors,
			"api.client_param: nginx fills REMOTE_USER from a header that nobody has checked\n");
	if (!webhook_guard_init(&api_webhook_guard, &cfg->webhook, err, sizeof(err)))
		buf_addf(errors, "webhook.allow: %s\n", err);
	return errors->len == before;
}
