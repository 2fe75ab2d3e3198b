/*
 * webhook_policy.h: what becomes of a delivery after a try.
 */
#ifndef LONGHAUL_WORKER_WEBHOOK_POLICY_H
#define LONGHAUL_WORKER_WEBHOOK_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire_courier.h"

#define WEBHOOK_WAITS_MAX 64

/* The waits between tries: after the n-th, v[n - 1]; there is one try more than waits. */
struct webhook_schedule {
	int64_t v[WEBHOOK_WAITS_MAX];
	size_t n;
	int jitter_percent;
	int64_t retry_after_max_ms;
};

/* Reads "5000 300000, 1800000". False if that isn't a list of milliseconds. */
bool webhook_schedule_parse(struct webhook_schedule *s, const char *text);

/* Verdicts of longhaul.webhook_finish_batch(). */
enum webhook_verdict {
	WEBHOOK_DELIVERED = 1,
	WEBHOOK_FAILED,    /* no more tries */
	WEBHOOK_TRY_AGAIN, /* after a wait */
	WEBHOOK_GONE,      /* the endpoint wants no more, ever */
	WEBHOOK_RELEASED,  /* not tried, or not to its end: no attempt burned */
};

struct webhook_outcome {
	enum webhook_verdict verdict;
	int status;        /* 0 = no answer */
	const char *error; /* a word, static; NULL = none */
	int64_t retry_ms;  /* WEBHOOK_TRY_AGAIN */
};

/* `attempt`: which try this was, from 1. */
struct webhook_outcome webhook_judge(const struct webhook_schedule *s, int attempt,
				     const struct wire_posted *posted);

#endif
