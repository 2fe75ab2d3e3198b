/*
 * db_connect.c: how a connection is asked for.
 */
#include "db_connect.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* Number of entries of a comma-separated list; 0 if there is none. */
static size_t list_count(const char *list)
{
	size_t n = 1;

	if (list == NULL || *list == '\0')
		return 0;
	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

/* A copy of the list that starts at its entry number `first` and wraps around. */
static char *list_rotated(const char *list, size_t first)
{
	const char *p = list;

	while (first-- > 0)
		p = strchr(p, ',') + 1;
	if (p == list)
		return mem_strdup(list);
	return mem_printf("%s,%.*s", p, (int)(p - list - 1), list);
}

/* The value of a keyword in the connection string, or else of its environment variable. */
static const char *conninfo_value(const PQconninfoOption *opts, const char *keyword)
{
	for (; opts != NULL && opts->keyword != NULL; opts++) {
		if (strcmp(opts->keyword, keyword) != 0)
			continue;
		if (opts->val != NULL)
			return opts->val;
		return opts->envvar != NULL ? getenv(opts->envvar) : NULL;
	}
	return NULL;
}

/*
 * libpq goes on to the next host when one refuses, but its own time limit per host doesn't work in
 * asynchronous connecting: one that swallows packets would be all that we ever try. So each
 * attempt that timed out is followed by one with the list turned by one. Lists of another length (a
 * single port for all) stay as they are. Writes the turned lists and their keywords, returns how
 * many; the caller frees the values.
 */
static size_t turned_hosts(const char *conninfo, unsigned int turn, const char *keys[],
			   char *values[])
{
	static const char *const keywords[] = { "host", "hostaddr", "port" };
	PQconninfoOption *opts = PQconninfoParse(conninfo, NULL);
	size_t hosts = list_count(conninfo_value(opts, "host"));
	size_t n = 0;

	if (hosts == 0)
		hosts = list_count(conninfo_value(opts, "hostaddr"));
	for (size_t i = 0; i < 3 && hosts > 1 && turn % hosts != 0; i++) {
		const char *list = conninfo_value(opts, keywords[i]);

		if (list_count(list) != hosts)
			continue;
		keys[n] = keywords[i];
		values[n++] = list_rotated(list, turn % hosts);
	}
	PQconninfoFree(opts);
	return n;
}

/*
 * What stands before the connection string are defaults that it may override: a dead peer is noticed
 * within seconds, and no credential cache is searched for GSSAPI. What stands behind is ours.
 */
PGconn *db_connect_start(const struct db_config *config, unsigned int turn)
{
	const char *keys[] = { "fallback_application_name",
			       "keepalives_idle",
			       "keepalives_interval",
			       "keepalives_count",
			       "tcp_user_timeout",
			       "gssencmode",
			       "dbname",
			       "client_encoding",
			       NULL,
			       NULL,
			       NULL,
			       NULL };
	const char *values[] = { config->application_name, "10",   "5",  "3",  "10000", "disable",
				 config->conninfo,         "UTF8", NULL, NULL, NULL,    NULL };
	char *turned[3];
	size_t n = turned_hosts(config->conninfo, turn, keys + 8, turned);
	PGconn *conn;

	for (size_t i = 0; i < n; i++)
		values[8 + i] = turned[i];
	conn = PQconnectStartParams(keys, values, 1);
	for (size_t i = 0; i < n; i++)
		free(turned[i]);
	return conn;
}

/* One string, one round trip. Behind PgBouncer in transaction mode settings would leak into other
 * clients' sessions, so only LISTENs go there (and only if the owner asks for them). */
bool db_session_sql(const struct db_config *config, PGconn *conn, char *const *channels,
		    size_t n_channels, struct buf *sql)
{
	bool ok = true;

	if (config->prepared && config->statement_timeout_ms > 0)
		ok = buf_addf(sql, "SET statement_timeout = %d;", config->statement_timeout_ms);
	if (config->prepared && config->session_sql != NULL)
		ok = ok && buf_addf(sql, "%s;", config->session_sql);
	for (size_t i = 0; i < n_channels && ok; i++) {
		char *name = PQescapeIdentifier(conn, channels[i], strlen(channels[i]));

		ok = name != NULL && buf_addf(sql, "LISTEN %s;", name);
		PQfreemem(name);
	}
	return ok;
}

void db_one_line(const char *message, char *out, size_t size)
{
	size_t n = 0;

	for (; *message != '\0' && n + 2 < size; message++) {
		if (*message != '\n' && *message != '\r' && *message != '\t')
			out[n++] = *message;
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}
