/*
 * pg.h: the one connection of longhaul-admin, and what the database answers.
 */
#ifndef LONGHAUL_ADMIN_PG_H
#define LONGHAUL_ADMIN_PG_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

/* Why something failed, and with which exit code to end. */
struct failure {
	int code;
	char sqlstate[6];
	char message[1000], hint[500];
};

/* Connects. `base` and `over` are connection strings or NULL; what stands in `over` counts; what stands in neither comes
 * from the PG* environment variables, the service and password files. */
bool pg_connect(const char *base, const char *over, struct failure *why);
void pg_close(void);
/* Puts what the strings say into the environment, for programs that are started. False if one is malformed. */
bool pg_export(const char *base, const char *over, struct failure *why);
/* Runs a statement that returns one JSON value, in a transaction that is undone if `undo`. The caller puts *out. */
bool pg_call(const char *sql, size_t n, const char *const *values, bool undo,
	     struct json_object **out, struct failure *why);

#endif
