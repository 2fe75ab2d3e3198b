/*
 * query.h: percent-decoding of paths and query strings.
 */
#ifndef LONGHAUL_API_QUERY_H
#define LONGHAUL_API_QUERY_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes %XX (and '+' as a blank, if plus) into out, which has room for len + 1 bytes. False if the
 * encoding is malformed or what comes out isn't UTF-8 text without NUL. */
bool url_decode(const char *in, size_t len, bool plus, char *out);

#endif
