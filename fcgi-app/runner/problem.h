/*
 * problem.h: the problem document (RFC 9457) that says why a job failed.
 */
#ifndef LONGHAUL_RUNNER_PROBLEM_H
#define LONGHAUL_RUNNER_PROBLEM_H

#include <stddef.h>

#include "common/buf.h"

/* Copies at most `max` bytes of text to `out` (room for max + 1), whole characters only, with '?' for what
 * isn't UTF-8. NULL is "". Returns the length. */
size_t text_clean(const char *text, size_t max, char *out);

/* Writes the document to `out`, at most WIRE_ERROR_MAX bytes. `detail` and `errors_json` may be NULL;
 * errors that aren't a JSON array, or are too long, are left out. */
void problem_write(struct buf *out, const char *type, int status, const char *title,
		   const char *detail, const char *errors_json);

#endif
