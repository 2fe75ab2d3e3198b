/*
 * admin.h: what commands have in common.
 */
#ifndef LONGHAUL_ADMIN_ADMIN_H
#define LONGHAUL_ADMIN_ADMIN_H

#include <json-c/json.h>

#include "admin/command.h"
#include "admin/pg.h"

/* Prints a result, as JSON or for people. */
void admin_print(const struct call *call, struct json_object *value);
/* Says why it failed. Returns the exit code. */
int admin_fail(const struct call *call, const struct failure *why);
/* Asks before what can't be undone, showing what it would be. Returns ADMIN_OK if it may be done. */
int admin_confirm(const struct call *call, struct json_object *preview);
/* Calls the command's function with the values of the call. The caller puts *out. */
bool admin_call(const struct call *call, bool undo, struct json_object **out, struct failure *why);

#endif
