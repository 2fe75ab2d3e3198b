/*
 * answer.h: what the job handlers answer in common.
 */
#ifndef LONGHAUL_API_ANSWER_H
#define LONGHAUL_API_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "api/http.h"
#include "api/jobs.h"
#include "api/jobrow.h"

/* The id in the path. False: it is none, and 404 was answered. */
bool answer_path_id(struct request *req, const struct route_match *m, struct uuid *id);
/* 503: the database is away, nothing was done; the client is told when to come back. */
void answer_away(struct request *req);
/* The job isn't there for this client: 410 if its id is older than anything that is kept, else 404.
 * type_id 0: any type. */
void answer_missing(struct request *req, const struct uuid *id, int32_t type_id);
/* True if the id is older than anything that is kept. */
bool answer_is_old(const struct uuid *id, int32_t type_id);
/* The type of a job that may be shown under the route (type_id 0: under any). NULL: it isn't to be
 * shown there, or has expired, and that was answered. */
const struct job_type *answer_type_of(struct request *req, const struct job_row *row,
				      int32_t type_id);
/* True if the job's retention is over, whether or not it was removed yet. */
bool job_expired(const struct job_row *row);

/* The job document with this status. Sets Retry-After and the like; on a 202 Location too. */
void answer_job(struct request *req, int status, const struct job_type *type,
		const struct job_row *row);
/* The failure of a job as a problem with this status. as_its_own: the job's problem is the answer
 * (of a submit that waited); else it stands inside, as "error". */
void answer_failure(struct request *req, int status, const struct job_type *type,
		    const struct job_row *row, bool as_its_own);
/* Location and Operation-Location of the job. */
void answer_locations(struct request *req, const struct job_type *type, const struct uuid *id);
/* Retry-After of a job that has not ended. */
void answer_retry_after(struct request *req, const struct job_type *type,
			const struct job_row *row);
/* "https://…/v1/import-jobs/<id><suffix>", belongs to the request. */
const char *answer_job_url(struct request *req, const struct job_type *type, const struct uuid *id,
			   const char *suffix);

#endif
