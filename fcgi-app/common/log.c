/*
 * log.c: one line an event on stderr.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "times.h"

#define LINE_MAX_BYTES 2048

static const char *program_name = "longhaul";
static enum log_level max_level = LOG_LEVEL_INFO;

static const char *const level_names[] = { "error", "warning", "info", "debug" };

void log_open(const char *program, enum log_level level)
{
	program_name = program;
	max_level = level;
}

void log_set_level(enum log_level level)
{
	max_level = level;
}

bool log_enabled(enum log_level level)
{
	return level <= max_level;
}

/* Copies text with control characters as \xNN. Returns the bytes written; never more than room. */
static size_t copy_printable(char *to, size_t room, const char *from)
{
	size_t n = 0;

	for (; *from != '\0'; from++) {
		unsigned char c = (unsigned char)*from;

		if (c >= 0x20 && c != 0x7f) {
			if (n + 1 > room)
				break;
			to[n++] = (char)c;
		} else {
			char esc[5];

			if (n + 4 > room)
				break;
			snprintf(esc, sizeof(esc), "\\x%02x", c);
			memcpy(to + n, esc, 4);
			n += 4;
		}
	}
	return n;
}

/* One write per line: lines of several processes on one stderr don't mix. */
static void log_line(enum log_level level, const char *fmt, va_list args)
{
	char message[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 128], when[RFC3339_TEXT];
	size_t n;
	int head;

	if (level > max_level)
		return;
	vsnprintf(message, sizeof(message), fmt, args);
	rfc3339_format(now_ms(), when);
	head = snprintf(line, 128, "%s %s %s[%d]: ", when, level_names[level], program_name,
			(int)getpid());
	n = head < 127 ? (size_t)head : 127;
	n += copy_printable(line + n, sizeof(line) - n - 1, message);
	line[n++] = '\n';
	/* There is nobody to tell if the log itself can't be written. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

#define DEFINE_LOG(name, level)             \
	void name(const char *fmt, ...)     \
	{                                   \
		va_list args;               \
                                            \
		va_start(args, fmt);        \
		log_line(level, fmt, args); \
		va_end(args);               \
	}

DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warning, LOG_LEVEL_WARNING)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)
