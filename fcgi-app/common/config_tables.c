/*
 * config_tables.c: the options that every program has.
 */
#include "config.h"

#include <limits.h>

#include "log.h"

#define D struct database_config

const struct opt database_opts[DATABASE_OPTS] = {
	OPT_STR("database", "conninfo", D, conninfo, "",
		"Where PostgreSQL is: a libpq connection string or URI. Several hosts and "
		"target_session_attrs=read-write are fine. Empty: the PG* environment variables. Host names are "
		"resolved while everything else waits: name hosts by address or in /etc/hosts."),
	OPT_STR("database", "listen_conninfo", D, listen_conninfo, "",
		"The same for the connection that listens for notifications, which must be direct if conninfo "
		"leads to PgBouncer. Empty: conninfo, but with prepared=no it must be said. \"none\": don't listen, only "
		"poll."),
	OPT_STR("database", "read_conninfo", D, read_conninfo, "",
		"The same for the polls of the API; it may be a hot standby. Empty: conninfo."),
	OPT_YES_NO(
		"database", "prepared", D, prepared, "yes",
		"Use prepared statements and session settings. \"no\" behind PgBouncer in transaction mode."),
	OPT_NUM("database", "reconnect_min_ms", D, reconnect_min_ms, "100", 1, 600000,
		"Wait before the first new try to connect; doubles with each, with jitter."),
	OPT_NUM("database", "reconnect_max_ms", D, reconnect_max_ms, "5000", 1, 600000,
		"Longest wait between two tries to connect."),
	OPT_NUM("database", "connect_timeout_ms", D, connect_timeout_ms, "5000", 10, 600000,
		"Give up one try to connect after this time; with several hosts, go on to the next."),
	OPT_NUM("database", "query_timeout_ms", D, query_timeout_ms, "30000", 0, 86400000,
		"Drop the connection if a query isn't answered in this time. 0: wait for ever."),
	OPT_NUM("database", "statement_timeout_ms", D, statement_timeout_ms, "20000", 0, 86400000,
		"Have the server end a statement after this time; less than query_timeout_ms. Set for the session, "
		"so only with prepared=yes. 0: as the role or the server has it."),
};

const struct opt log_opts[LOG_OPTS] = {
	OPT_ONE_OF("log", "level", struct log_config, level, "info", LOG_LEVELS,
		   "What goes to the log, which is standard error."),
};

bool database_config_check(const struct database_config *cfg, struct buf *errors)
{
	if (cfg->prepared || *cfg->listen_conninfo)
		return true;
	buf_adds(
		errors,
		"database.listen_conninfo: with prepared=no it must be said: a connection string that doesn't lead "
		"through PgBouncer, or none\n");
	return false;
}

#undef D
#define D struct webhook_config

const struct opt webhook_opts[WEBHOOK_OPTS] = {
	OPT_YES_NO(
		"webhook", "allow_http", D, allow_http, "no",
		"Permit webhooks with http:// in their URLs; what they say can then be read on its way."),
	OPT_STR("webhook", "allow", D, allow, "",
		"Addresses with prefix lengths, between blanks or commas, that webhooks may be sent to although they "
		"are loopback, private, or special in another way: \"10.1.2.0/24 fd00:12::/32\"."),
	OPT_NUM("webhook", "max_per_client", D, max_per_client, "100", 0, 100000,
		"Most webhooks that one client can subscribe."),
	OPT_YES_NO("webhook", "enabled", D, enabled, "yes",
		   "Whether this worker delivers webhooks."),
	OPT_NUM("webhook", "concurrency", D, concurrency, "64", 1, 1000,
		"Most deliveries under way at a time. One client gets a quarter of them at most; all clients together "
		"whose endpoints are slow, half of them."),
	OPT_NUM("webhook", "per_endpoint", D, per_endpoint, "4", 1, 100,
		"Most deliveries to one endpoint at a time, by all workers together."),
	OPT_NUM("webhook", "timeout_ms", D, timeout_ms, "15000", 10, 600000,
		"Longest time for one delivery, from looking up the name to the end of the answer."),
	OPT_NUM("webhook", "connect_ms", D, connect_ms, "5000", 10, 600000,
		"Longest time to look up the name, and again to connect."),
	OPT_NUM("webhook", "slow_ms", D, slow_ms, "2000", 1, 600000,
		"An endpoint that takes longer to answer is a slow one."),
	OPT_STR("webhook", "schedule_ms", D, schedule_ms,
		"5000 300000 1800000 7200000 18000000 36000000 50400000 72000000 86400000",
		"Waits after each try that failed, between blanks or commas; when a try fails after the last of them, "
		"the delivery has failed."),
	OPT_NUM("webhook", "jitter_percent", D, jitter_percent, "20", 0, 100,
		"Each wait is made longer by up to this much, at random."),
	OPT_NUM("webhook", "retry_after_max_ms", D, retry_after_max_ms, "86400000", 0, INT_MAX,
		"Longest wait that an endpoint can ask for by Retry-After."),
	OPT_NUM("webhook", "poll_ms", D, poll_ms, "1000", 10, 3600000,
		"How often deliveries that are due are looked for when nothing else tells."),
	OPT_BYTES(
		"webhook", "response_max", D, response_max, "64KiB", 1024, 1 << 20,
		"Bytes of an answer, and of its headers, that are read; its content is of no interest."),
	OPT_STR("webhook", "dns_servers", D, dns_servers, "",
		"DNS servers to ask: addresses, with :port if need be, between commas. Empty: as the system does."),
	OPT_STR("webhook", "ca_file", D, ca_file, "",
		"File of the certificates that endpoints are verified with. Empty: the system's."),
	OPT_STR("webhook", "courier", D, courier, "",
		"Path of longhaul-courier. Empty: beside longhaul-worker, else where it is installed."),
};
