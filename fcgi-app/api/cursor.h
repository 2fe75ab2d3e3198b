/*
 * cursor.h: where a list goes on, as text that clients pass back without looking inside.
 */
#ifndef LONGHAUL_API_CURSOR_H
#define LONGHAUL_API_CURSOR_H

#include <stdbool.h>

#include "common/ids.h"

#define CURSOR_TEXT 25 /* base64url, and its NUL */

void cursor_write(const struct uuid *before, char out[CURSOR_TEXT]);
/* False if it isn't one of ours. */
bool cursor_read(const char *text, struct uuid *before);

#endif
