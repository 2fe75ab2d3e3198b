/*
 * witness.c: a handler whose result says under which lease it was made: "BOOT FENCE ATTEMPT PID". The input is the
 * number of microseconds that the work takes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <longhaul/handler.h>

static enum lh_verdict run(struct lh_job *job, void *state)
{
	const struct lh_job_info *info = lh_job_info(job);
	char text[200] = "";
	ssize_t n = lh_read(job, text, sizeof(text) - 1);
	int len;

	(void)state;
	if (n < 0)
		return LH_CANCELED;
	usleep((useconds_t)atol(text));
	lh_progress(job, 1, 1, "witnessed");
	lh_result_type(job, "text/plain");
	len = snprintf(text, sizeof(text), "%s %" PRId64 " %d %d", info->lease_boot, info->lease_fence, info->attempt,
		       (int)getpid());
	return lh_write(job, text, (size_t)len) ? LH_DONE : LH_CANCELED;
}

const struct lh_handler lh_handler = { .abi = LH_HANDLER_ABI, .name = "witness", .run = run };
