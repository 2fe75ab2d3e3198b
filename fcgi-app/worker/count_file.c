/*
 * count_file.c: writes the number to a new file and renames it, so that a reader never sees half of it.
 */
#include "count_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "finish.h"
#include "worker.h"

#define EVERY_MS 50

static bool write_count(const char *base, int64_t count)
{
	char path[4096], new_path[4200];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "%s.%d", base, (int)getpid());
	snprintf(new_path, sizeof(new_path), "%s.new", path);
	f = fopen(new_path, "we");
	if (!f)
		return false;
	ok = fprintf(f, "%" PRId64 "\n", count) > 0;
	ok = fclose(f) == 0 && ok;
	return ok && rename(new_path, path) == 0;
}

void count_file_step(int64_t now, bool last)
{
	static int64_t written = -1, next_at;
	static bool failed;
	const char *base = getenv("COUNT_FILE");

	if (!base || !*base || failed || written == finish_count())
		return;
	if (now < next_at && !last) {
		worker_wake_at(next_at);
		return;
	}
	next_at = now + EVERY_MS;
	written = finish_count();
	if (!write_count(base, written)) {
		log_error("cannot write the count of jobs to %s.%d", base, (int)getpid());
		failed = true;
	}
}
