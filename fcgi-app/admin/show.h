/*
 * show.h: a JSON value for people: lines and tables.
 */
#ifndef LONGHAUL_ADMIN_SHOW_H
#define LONGHAUL_ADMIN_SHOW_H

#include <stdio.h>

#include <json-c/json.h>

/* Objects become lines of names and values, arrays of objects tables. Control characters, which would be
 * commands to a terminal, are shown as '?'. */
void show(FILE *out, struct json_object *value);

#endif
