/*
 * log.c: one line an event on stderr.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "times.h"

#define LINE_MAX_BYTES 2048
#define ABOUT_BYTES 300

static const char *program_name = "longhaul";
static enum log_level max_level = LOG_LEVEL_INFO;
static bool journal, helper;
static const char *about_job, *about_request;

static const char *const level_names[] = { "error", "warning", "info", "debug" };

void log_set_level(enum log_level level)
{
	max_level = level;
}

bool log_enabled(enum log_level level)
{
	return level <= max_level;
}

/* Bytes of the character that begins at s and may stand in a line; 0 if it must be escaped. */
static size_t printable(const char *s)
{
	const unsigned char *c = (const unsigned char *)s;
	size_t n = c[0] < 0x80 ? 1 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

	if (n == 1)
		return c[0] >= 0x20 && c[0] != 0x7f;
	if (c[0] == 0xc2 && c[1] < 0xa0) /* control characters, too */
		return 0;
	return strnlen(s, n) == n && utf8_valid(s, n) ? n : 0;
}

/* Copies text with what can't be printed as \xNN. Returns the bytes written; never more than room. */
static size_t copy_printable(char *to, size_t room, const char *from)
{
	size_t n = 0, len;

	for (; *from != '\0'; from += len) {
		char esc[5];

		len = printable(from);
		if (n + (len > 0 ? len : 4) > room)
			break;
		if (len > 0) {
			memcpy(to + n, from, len);
			n += len;
			continue;
		}
		snprintf(esc, sizeof(esc), "\\x%02x", (unsigned char)*from);
		memcpy(to + n, esc, 4);
		n += 4;
		len = 1;
	}
	return n;
}

/* True if stderr leads to the journal: the service manager says which device and inode that is. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_open(const char *program, enum log_level level)
{
	program_name = program;
	max_level = level;
	journal = stderr_is_journal();
}

void log_open_helper(const char *program, enum log_level level)
{
	log_open(program, level);
	helper = true;
}

void log_about(const char *job, const char *request)
{
	about_job = job;
	about_request = request && *request ? request : "-";
}

/* What stands in front of the message. Returns its length. */
static size_t begin_line(enum log_level level, char *to, size_t size)
{
	static const int priorities[] = { 3, 4, 6, 7 }; /* of syslog */
	char when[RFC3339_TEXT];
	int n;

	if (journal && !helper) {
		n = snprintf(to, size, "<%d>", priorities[level]);
	} else if (journal) {
		n = snprintf(to, size, "<%d>%s[%d]: ", priorities[level], program_name,
			     (int)getpid());
	} else {
		rfc3339_format(now_ms(), when);
		n = snprintf(to, size, "%s %s %s[%d]: ", when, level_names[level], program_name,
			     (int)getpid());
	}
	return (size_t)n < size ? (size_t)n : size - 1;
}

/* One write per line: lines of several processes on one stderr don't mix. */
static void log_line(enum log_level level, const char *fmt, va_list args)
{
	char message[LINE_MAX_BYTES], about[ABOUT_BYTES] = "";
	char line[LINE_MAX_BYTES + ABOUT_BYTES + 256];
	size_t n;

	if (level > max_level)
		return;
	vsnprintf(message, sizeof(message), fmt, args);
	n = begin_line(level, line, 128);
	if (about_job)
		snprintf(about, sizeof(about), " job=%s request=%s", about_job, about_request);
	n += copy_printable(line + n, sizeof(line) - n - sizeof(about) - 1, message);
	n += copy_printable(line + n, sizeof(line) - n - 1, about);
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
