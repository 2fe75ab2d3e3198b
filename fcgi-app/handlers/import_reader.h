/*
 * import_reader.h: takes a file of accounts apart, in whatever pieces it comes.
 *
 * A wrong row is handed on with the reason, and the next one is read. A file that is broken as a
 * whole (an array that never closes, a CSV file without a header) ends the reading.
 */
#ifndef LONGHAUL_HANDLERS_IMPORT_READER_H
#define LONGHAUL_HANDLERS_IMPORT_READER_H

#include "account.h"
#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMPORT_ROW_MAX (1024 * 1024) /* bytes of one row */
#define IMPORT_RAW_MAX (64 * 1024)   /* what is kept of a row that is larger */

struct import_row {
	int64_t line;     /* of the row's first character, from 1; in a JSON array the element */
	struct slice raw; /* as it came; may be anything but too large */
	struct account account; /* reason set: the row is rejected */
};

/* Called for each row; what it points to is gone afterwards. False stops the reading. */
typedef bool import_row_fn(void *ctx, const struct import_row *row);

struct import_reader;

/* A reader for an input of that media type, or NULL and in *why (static) what is wrong with it. */
struct import_reader *import_reader_new(const char *media_type, import_row_fn *row, void *ctx,
					const char **why);
void import_reader_free(struct import_reader *r);

/* The next piece; then the end. False: the file is broken, memory ended, or row() said so. */
bool import_reader_feed(struct import_reader *r, const char *data, size_t len);
bool import_reader_end(struct import_reader *r);

/* What is broken, fit for the client, or NULL. *where ("line 7") belongs to the reader. */
const char *import_reader_broken(const struct import_reader *r, const char **where);

#endif
