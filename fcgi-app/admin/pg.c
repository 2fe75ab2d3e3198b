/*
 * pg.c: the one connection of longhaul-admin, and what the database answers.
 */
#include "admin/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "admin/command.h"

#define KEYWORDS_MAX 100

static PGconn *connection;

static bool fail(struct failure *why, int code, const char *message)
{
	*why = (struct failure){ .code = code };
	snprintf(why->message, sizeof(why->message), "%s", message);
	for (size_t n = strlen(why->message); n > 0 && why->message[n - 1] == '\n'; n--)
		why->message[n - 1] = '\0';
	return false;
}

/* Keywords and values of PQconnectdbParams. */
struct params {
	const char *keywords[KEYWORDS_MAX], *values[KEYWORDS_MAX];
	size_t n;
};

static void add(struct params *p, const char *keyword, const char *value)
{
	if (p->n + 1 >= KEYWORDS_MAX)
		return;
	p->keywords[p->n] = keyword;
	p->values[p->n++] = value;
}

/* A connection string taken apart: PQconninfoFree it; NULL, and why, if it is malformed. */
static PQconninfoOption *parse(const char *conninfo, struct failure *why)
{
	char *error = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &error);

	if (!options)
		fail(why, ADMIN_USAGE, error ? error : "out of memory");
	PQfreemem(error);
	return options;
}

static void no_notices(void *ctx, const char *message)
{
	(void)ctx;
	(void)message;
}

bool pg_connect(const char *base, const char *over, struct failure *why)
{
	const char *strings[] = { base, over };
	PQconninfoOption *options[2] = { NULL, NULL };
	struct params p = { .n = 0 };
	bool parsed = true;

	if (!getenv("PGCONNECT_TIMEOUT"))
		add(&p, "connect_timeout", "10");
	add(&p, "fallback_application_name", "longhaul-admin");
	for (size_t i = 0; i < 2 && parsed; i++) {
		if (!strings[i] || !*strings[i])
			continue;
		options[i] = parse(strings[i], why);
		parsed = options[i] != NULL;
		for (PQconninfoOption *o = options[i]; parsed && o->keyword; o++)
			if (o->val)
				add(&p, o->keyword, o->val);
	}
	add(&p, "client_encoding", "UTF8");
	add(&p, NULL, NULL);
	if (parsed)
		connection = PQconnectdbParams(p.keywords, p.values, 0);
	PQconninfoFree(options[0]);
	PQconninfoFree(options[1]);
	if (!parsed)
		return false;
	if (PQstatus(connection) != CONNECTION_OK)
		return fail(why, ADMIN_UNREACHABLE, PQerrorMessage(connection));
	PQsetNoticeProcessor(connection, no_notices, NULL);
	return true;
}

void pg_close(void)
{
	PQfinish(connection);
	connection = NULL;
}

bool pg_export(const char *base, const char *over, struct failure *why)
{
	const char *strings[] = { base, over };

	for (size_t i = 0; i < 2; i++) {
		PQconninfoOption *options;

		if (!strings[i] || !*strings[i])
			continue;
		options = parse(strings[i], why);
		if (!options)
			return false;
		for (PQconninfoOption *o = options; o->keyword; o++)
			if (o->val && o->envvar)
				setenv(o->envvar, o->val, 1);
		PQconninfoFree(options);
	}
	return true;
}

/* What an error of the database means to whom has called us. */
static int code_of(const char *sqlstate)
{
	static const struct {
		const char *prefix;
		int code;
	} known[] = {
		{ "22023", ADMIN_REFUSED },  { "55", ADMIN_REFUSED },      { "23", ADMIN_REFUSED },
		{ "P0002", ADMIN_REFUSED },  { "22", ADMIN_USAGE },        { "2201", ADMIN_USAGE },
		{ "08", ADMIN_UNREACHABLE }, { "57P", ADMIN_UNREACHABLE },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strncmp(sqlstate, known[i].prefix, strlen(known[i].prefix)) == 0)
			return known[i].code;
	return ADMIN_DATABASE;
}

static bool refused(const PGresult *res, struct failure *why)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);

	if (!state || !message || PQstatus(connection) != CONNECTION_OK)
		return fail(why, ADMIN_UNREACHABLE, PQerrorMessage(connection));
	fail(why, code_of(state), message);
	snprintf(why->sqlstate, sizeof(why->sqlstate), "%s", state);
	if (strcmp(state, "42501") == 0)
		snprintf(
			why->hint, sizeof(why->hint),
			"Role %s has no right to this. GRANT longhaul_dba TO it, or connect as another.",
			PQuser(connection));
	else if (strcmp(state, "3F000") == 0 || strcmp(state, "42883") == 0)
		snprintf(
			why->hint, sizeof(why->hint),
			"The schema isn't there, or older than this program: longhaul-admin migrate.");
	else if (hint)
		snprintf(why->hint, sizeof(why->hint), "%s", hint);
	return false;
}

/* A statement without a result. */
static bool command(const char *sql, struct failure *why)
{
	PGresult *res = PQexec(connection, sql);
	bool good = PQresultStatus(res) == PGRES_COMMAND_OK;

	if (!good)
		refused(res, why);
	PQclear(res);
	return good;
}

bool pg_call(const char *sql, size_t n, const char *const *values, bool undo,
	     struct json_object **out, struct failure *why)
{
	PGresult *res;
	bool good;

	*out = NULL;
	if (!command("BEGIN", why))
		return false;
	res = PQexecParams(connection, sql, (int)n, NULL, values, NULL, NULL, 0);
	good = PQresultStatus(res) == PGRES_TUPLES_OK;
	if (!good) {
		refused(res, why);
	} else {
		*out = json_tokener_parse(PQgetvalue(res, 0, 0));
		if (!*out)
			good = fail(why, ADMIN_INTERNAL, "the database's answer is no JSON");
	}
	PQclear(res);
	if (good && !command(undo ? "ROLLBACK" : "COMMIT", why)) {
		json_object_put(*out);
		*out = NULL;
		return false;
	}
	return good;
}
