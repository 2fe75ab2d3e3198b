/*
 * result.h: sending a job's result.
 */
#ifndef LONGHAUL_API_RESULT_H
#define LONGHAUL_API_RESULT_H

#include <stddef.h>
#include <stdint.h>

#include "api/http.h"
#include "api/jobrow.h"

struct app;

void result_start(struct app *a);
size_t result_pending(void); /* answers being streamed */

/* The headers that belong to the result itself: its type, ETag and what keeps a browser from
 * taking it for a page of this origin. */
void result_headers(struct request *req, const struct job_row *row);
/* The result's strong ETag; belongs to the request. */
const char *result_etag(struct request *req, const struct job_row *row);
/* Sends bytes first…last (both inclusive; last < first: nothing) of the result as the body;
 * status and headers are set. From the row if they are in it, else chunk by chunk. */
void result_body(struct request *req, const struct job_row *row, int64_t first, int64_t last);

#endif
