/*
 * exec_progress.c: progress as lines from a command.
 */
#include "exec.h"

#include "common/text.h"

#include <ctype.h>
#include <string.h>

#define DIGITS_MAX 18 /* fit into 63 bits */

static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* Digits at *p, which moves behind them. */
static bool take_number(const char **p, int64_t *out)
{
	const char *begin = *p;

	for (*out = 0; isdigit((unsigned char)**p); ++*p) {
		if (*p - begin == DIGITS_MAX)
			return false;
		*out = *out * 10 + (**p - '0');
	}
	return *p > begin;
}

/* A word ends here. Returns where the next one begins, or NULL. */
static const char *next_word(const char *p)
{
	return *p == '\0' || *p == ' ' || *p == '\t' ? skip_blanks(p) : NULL;
}

/* Understands a line. *message is what follows the numbers. */
static bool parse_line(const char *line, int64_t *done, int64_t *total, const char **message)
{
	const char *p = skip_blanks(line), *fraction;
	int64_t dropped;

	*total = -1;
	if (!take_number(&p, done))
		return false;
	fraction = *p == '.' ? p + 1 : NULL;
	if (fraction && take_number(&fraction, &dropped) && *fraction == '%')
		p = fraction;
	if (*p == '%') {
		*total = 100;
		*message = next_word(p + 1);
		return *message && *done <= 100;
	}
	p = next_word(p);
	if (p && *p == '-')
		p++;
	else if (p && *p && !take_number(&p, total))
		return false;
	*message = p ? next_word(p) : NULL;
	if (*total == 0)
		*total = -1;
	return *message && (*total < 0 || *done <= *total);
}

static void take_line(struct exec_lines *lines, struct lh_job *job)
{
	struct buf line = { 0 };
	const char *message;
	int64_t done, total;

	if (text_add_line(&line, lines->line, lines->len) && line.len > 0 &&
	    parse_line(line.data, &done, &total, &message))
		lh_progress(job, done, total, message);
	buf_free(&line);
	lines->len = 0;
}

void exec_lines_add(struct exec_lines *lines, struct lh_job *job, const char *data, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t n = newline ? (size_t)(newline - data) : len,
		       room = EXEC_LINE_MAX - lines->len;

		memcpy(lines->line + lines->len, data, n < room ? n : room);
		lines->len += n < room ? n : room;
		if (!newline)
			return;
		take_line(lines, job);
		data += n + 1;
		len -= n + 1;
	}
}
