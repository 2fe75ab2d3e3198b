/*
 * jobdoc.h: the job document and the other texts made from a job. Written directly rather than
 * by json-c: it is made for every poll.
 */
#ifndef LONGHAUL_API_JOBDOC_H
#define LONGHAUL_API_JOBDOC_H

#include <stddef.h>
#include <stdint.h>

#include "api/jobs.h"
#include "api/pacing.h"
#include "api/jobrow.h"
#include "common/buf.h"

struct json_object;

#define ETAG_TEXT 24 /* W/"0123456789abcdef" and its NUL */

/* What the types of problems begin with; must stay valid. */
void jobdoc_start(const char *problem_base);
/* Appends the document. `base` is the request's base url; `pace` NULL for a job that has ended. */
void jobdoc_write(struct buf *out, const char *base, const struct job_type *type,
		  const struct job_row *row, const struct pace *pace);
/* Appends the status monitor's document of the same job: {"id","status",…}. */
void jobdoc_write_operation(struct buf *out, const char *base, const struct job_type *type,
			    const struct job_row *row);
/* Appends the job's URL, and then `suffix` ("" or "/results"). */
void jobdoc_url(struct buf *out, const char *base, const struct job_type *type,
		const struct uuid *id, const char *suffix);
/* Appends a JSON string with its quotes; the bytes are UTF-8. */
void jobdoc_string(struct buf *out, const char *s, size_t len);
/* The problem of a job that failed, complete and bounded in size; the caller puts it. */
struct json_object *jobdoc_error(const struct job_row *row);

/* Tenths of a percent: 1000 only when the job is Completed; -1 = unknown. */
int jobdoc_permille(const struct job_row *row);
void jobdoc_etag(const struct job_row *row, char out[ETAG_TEXT]);

#endif
