/*
 * config_tables.c: the options that every program has.
 */
#include "config.h"

#include "log.h"

#define D struct database_config

const struct opt database_opts[DATABASE_OPTS] = {
	OPT_STR("database", "conninfo", D, conninfo, "",
		"Where PostgreSQL is: a libpq connection string or URI. Several hosts and "
		"target_session_attrs=read-write are fine. Empty: the PG* environment variables. Host names are "
		"resolved while everything else waits: name hosts by address or in /etc/hosts."),
	OPT_STR("database", "listen_conninfo", D, listen_conninfo, "",
		"The same for the connection that listens for notifications, which must be direct if conninfo "
		"leads to PgBouncer. Empty: conninfo. \"none\": don't listen, only poll."),
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
