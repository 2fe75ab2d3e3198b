/*
 * exec_stderr.c: remembers the end of what a command writes to stderr.
 */
#include "exec.h"

#include "common/text.h"

#include <string.h>

void exec_tail_add(struct exec_tail *tail, const char *data, size_t len)
{
	size_t n;

	if (len > EXEC_STDERR_MAX) {
		data += len - EXEC_STDERR_MAX;
		len = EXEC_STDERR_MAX;
	}
	tail->len = tail->len + len < EXEC_STDERR_MAX ? tail->len + len : EXEC_STDERR_MAX;
	while (len > 0) {
		n = EXEC_STDERR_MAX - tail->at;
		if (n > len)
			n = len;
		memcpy(tail->data + tail->at, data, n);
		tail->at = (tail->at + n) % EXEC_STDERR_MAX;
		data += n;
		len -= n;
	}
}

/* Byte i of what is kept, the oldest first. */
static char kept(const struct exec_tail *tail, size_t i)
{
	return tail->data[(tail->at + EXEC_STDERR_MAX - tail->len + i) % EXEC_STDERR_MAX];
}

/* Where to begin so that at most max bytes before `end` are shown; at a line, if one begins. */
static size_t first_shown(const struct exec_tail *tail, size_t end, size_t max)
{
	size_t begin = end > max ? end - max : 0, i;

	if (begin == 0)
		return 0;
	for (i = begin; i < end; i++)
		if (kept(tail, i - 1) == '\n')
			return i;
	return begin;
}

void exec_tail_show(const struct exec_tail *tail, size_t max, struct buf *out)
{
	struct buf line = { 0 };
	size_t end = tail->len, i;
	char c;

	while (end > 0 && (kept(tail, end - 1) == '\n' || kept(tail, end - 1) == '\r'))
		end--;
	for (i = first_shown(tail, end, max); i < end; i++) {
		c = kept(tail, i);
		if (c != '\n') {
			buf_add(&line, &c, 1);
			continue;
		}
		text_add_line(out, line.data, line.len);
		buf_adds(out, "\n");
		buf_reset(&line);
	}
	text_add_line(out, line.data, line.len);
	buf_free(&line);
}
