/*
 * webhook_policy.c: success, failure, another try, and when.
 */
#include "webhook_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/ids.h"

#define WAIT_MAX (INT64_C(30) * 86400 * 1000)

bool webhook_schedule_parse(struct webhook_schedule *s, const char *text)
{
	s->n = 0;
	for (;;) {
		char *end;
		long long v;

		text += strspn(text, ", \t");
		if (*text == '\0')
			return true;
		errno = 0;
		v = strtoll(text, &end, 10);
		if (*text < '0' || *text > '9' || errno != 0 || v > WAIT_MAX ||
		    s->n == WEBHOOK_WAITS_MAX || !strchr(", \t", *end))
			return false;
		s->v[s->n++] = v;
		text = end;
	}
}

/* The wait after this try: by the schedule, a little longer at random so that what failed together
 * doesn't come back together, and no shorter than the endpoint wants. */
static int64_t wait_after(const struct webhook_schedule *s, int attempt,
			  const struct wire_posted *posted)
{
	int64_t wait = s->v[attempt - 1], extra = wait * s->jitter_percent / 100,
		asked = posted->retry_after_ms;

	wait += extra < INT32_MAX ? (int64_t)random_below((uint32_t)extra + 1)
				  : (int64_t)random_below(INT32_MAX);
	if (posted->status != 429 && posted->status != 503)
		return wait;
	if (asked > s->retry_after_max_ms)
		asked = s->retry_after_max_ms;
	return asked > wait ? asked : wait;
}

struct webhook_outcome webhook_judge(const struct webhook_schedule *s, int attempt,
				     const struct wire_posted *posted)
{
	struct webhook_outcome o = { .status = posted->status,
				     .error = post_error_word(posted->error) };

	if (posted->status >= 200 && posted->status <= 299) {
		o.verdict = WEBHOOK_DELIVERED;
		return o;
	}
	if (posted->status > 0)
		o.error = posted->status >= 300 && posted->status <= 399 ? "redirect"
									 : "http-error";
	if (posted->status == 410) {
		o.verdict = WEBHOOK_GONE;
	} else if (attempt < 1 || (size_t)attempt > s->n) {
		o.verdict = WEBHOOK_FAILED;
	} else {
		o.verdict = WEBHOOK_TRY_AGAIN;
		o.retry_ms = wait_after(s, attempt, posted);
	}
	return o;
}
