/*
 * example_plugin.c: a handler in a shared object: counts the words of a text.
 *
 *	cc -shared -fPIC -o words.so example_plugin.c
 *
 * Settings of the type:
 *	least	an input with fewer words fails (default 0)
 */
#include <longhaul/handler.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct words {
	long least;
};

static bool init(const struct lh_settings *settings, void **state, const char **error)
{
	struct words *w = malloc(sizeof(*w));
	char *end;

	if (!w) {
		*error = "out of memory";
		return false;
	}
	w->least = strtol(lh_setting(settings, "least", "0"), &end, 10);
	if (*end != '\0' || w->least < 0) {
		*error = "least: must be a number";
		free(w);
		return false;
	}
	*state = w;
	return true;
}

static enum lh_verdict run(struct lh_job *job, void *state)
{
	const struct words *w = state;
	int64_t total = lh_job_info(job)->input_size, done = 0;
	bool within = false;
	long count = 0;
	char data[4096];
	ssize_t n;
	int len;

	while ((n = lh_read(job, data, sizeof(data))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			bool space = isspace((unsigned char)data[i]);

			count += within && space;
			within = !space;
		}
		done += n;
		lh_progress(job, done, total, "counting");
	}
	if (n < 0)
		return LH_CANCELED;
	count += within;
	len = snprintf(data, sizeof(data), "%ld words in %lld bytes\n", count, (long long)total);
	lh_log(job, data, (size_t)len);
	if (count < w->least)
		return lh_fail(job, "too-short", 422, "The text is too short", NULL, NULL);
	len = snprintf(data, sizeof(data), "{\"words\":%ld}\n", count);
	lh_result_type(job, "application/json");
	return lh_write(job, data, (size_t)len) ? LH_DONE : LH_CANCELED;
}

static void fini(void *state)
{
	free(state);
}

const struct lh_handler lh_handler = {
	.abi = LH_HANDLER_ABI,
	.name = "words",
	.init = init,
	.run = run,
	.fini = fini,
};
