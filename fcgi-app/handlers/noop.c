/*
 * noop.c: the handler that does nothing: it reads its input to the end and tells its size.
 */
#include "handlers.h"

#include <inttypes.h>
#include <stdio.h>

static enum lh_verdict noop_run(struct lh_job *job, void *state)
{
	char data[65536], result[48];
	int64_t bytes = 0;
	ssize_t n;
	int len;

	(void)state;
	while ((n = lh_read(job, data, sizeof(data))) > 0)
		bytes += n;
	if (n < 0)
		return LH_CANCELED;
	lh_result_type(job, "application/json");
	len = snprintf(result, sizeof(result), "{\"bytes\":%" PRId64 "}\n", bytes);
	return lh_write(job, result, (size_t)len) ? LH_DONE : LH_CANCELED;
}

const struct lh_handler lh_handler_noop = {
	.abi = LH_HANDLER_ABI,
	.name = "noop",
	.run = noop_run,
};
