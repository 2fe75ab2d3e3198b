/*
 * prefer.h: the Prefer header as text, apart from the request, for tests.
 */
#ifndef LONGHAUL_API_PREFER_H
#define LONGHAUL_API_PREFER_H

#include "api/http.h"

/* Never fails: what is malformed or unknown is as if it weren't there. */
void prefer_read(const char *text, int wait_max_s, struct prefer *out);

#endif
