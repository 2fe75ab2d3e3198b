/*
 * submit.h: the state of one submit, shared by the files that make up its way:
 * submit.c takes the request in, submit_answer.c waits and answers.
 */
#ifndef LONGHAUL_API_SUBMIT_H
#define LONGHAUL_API_SUBMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "api/headers.h"
#include "api/http.h"
#include "api/insert.h"
#include "api/status.h"
#include "api/upload.h"
#include "api/wait.h"
#include "common/buf.h"

struct submit {
	struct insert row; /* first */
	struct upload upload;
	struct parked parked;
	struct status_read read;
	struct request *req;
	struct prefer prefer;
	int64_t max_bytes; /* of the input */
	int64_t budget_ms; /* to wait for the result; 0 = don't */
	int64_t deadline;  /* monotonic */
	size_t prefix;     /* bytes in body before the input: what else the fingerprint covers */
	struct buf body;
	size_t held; /* bytes of input in it */
	bool uploading, replayed;
	bool wants_result; /* a result that is there is the answer, rather than the document */
	/* The job as it was accepted, for when nothing newer is known. */
	struct insert_answer accepted;
	char key[IDEMPOTENCY_KEY_MAX + 1];
	char traceparent[TRACEPARENT_LEN + 1];
};

/* The request is about to be submitted under row.id: enters it as waiting, if it will wait. */
void submit_prepare_wait(struct submit *s);
/* The database's verdict: waits, or answers. Drops the reference that the submit holds. */
void submit_answered(struct submit *s, enum insert_outcome outcome,
		     const struct insert_answer *answer);
/* The client left, or was answered otherwise. */
void submit_forget_wait(struct submit *s);

#endif
