/*
 * counters_file.h: the counters of all API processes of this host, each in a file that the others read.
 */
#ifndef LONGHAUL_API_COUNTERS_FILE_H
#define LONGHAUL_API_COUNTERS_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "api/counters.h"

#define COUNTERS_NAME 96

struct counters_page {
	char magic[8];
	uint32_t size;   /* of this struct, and so of its version */
	uint32_t routes; /* the router's rows */
	char process[COUNTERS_NAME];
	char version[32];
	double started; /* Unix seconds */
	struct counters counters;
};

/* Moves the counters into a file of `folder`, named after the address that this process listens on.
 * Where that can't be they stay in memory, and only this process shows them: said in the log. */
void counters_file_open(const char *folder, const char *listen, int routes);
/* Removes the file: a process that ended as it should leaves nothing behind. */
void counters_file_close(void);

/* Calls back with each process of the host, this one included: `alive`, or ended without a farewell, with the
 * last that it counted. */
typedef void counters_page_fn(void *ctx, const struct counters_page *page, bool alive);
void counters_each(counters_page_fn *fn, void *ctx);

#endif
