/*
 * etag.h: conditional and range requests (RFC 9110, sections 13 and 14), as text.
 */
#ifndef LONGHAUL_API_ETAG_H
#define LONGHAUL_API_ETAG_H

#include <stdbool.h>
#include <stdint.h>

/* True if the list of If-None-Match names the tag, compared weakly, or is "*". NULL: false. */
bool etag_listed(const char *list, const char *etag);
/* True if the list of If-Match names the tag, compared strongly, or is "*". */
bool etag_listed_strong(const char *list, const char *etag);
/* The version in the largest of our tags (W/"<hex>") in the list; -1 = none of them is ours. */
int64_t etag_version(const char *list);

enum range_outcome {
	RANGE_WHOLE,         /* none, malformed, several, or another unit: the whole answer */
	RANGE_PART,          /* *first…*last, both inclusive and within the size */
	RANGE_UNSATISFIABLE, /* 416 */
};

/* Reads a Range header (NULL = absent) against a size. */
enum range_outcome range_read(const char *range, int64_t size, int64_t *first, int64_t *last);

#endif
