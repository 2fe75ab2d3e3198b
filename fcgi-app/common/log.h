/*
 * log.h: one line an event on stderr: `<time> <level> <program>[<pid>]: <message> key=value…`. If stderr
 * leads to the journal, which knows time and process, the line begins with the level as it wants it, `<6>`.
 *
 * Never pass customers' data (inputs, results, parameters of statements) to it. Control
 * characters in what is passed, and what isn't UTF-8, come out escaped, so that a line stays a line.
 */
#ifndef LONGHAUL_LOG_H
#define LONGHAUL_LOG_H

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_NONE = -1,
	LOG_LEVEL_ERROR = 0, /* needs somebody's hand */
	LOG_LEVEL_WARNING,   /* something failed and is being dealt with */
	LOG_LEVEL_INFO,      /* start, stop, connections: a few lines an hour */
	LOG_LEVEL_DEBUG,     /* each decision */
};

#define LOG_LEVELS "error|warning|info|debug" /* in the order of the enum, for OPT_CHOICE */

void log_open(const char *program, enum log_level level); /* `program` must stay valid */
/* The same for a helper of a daemon: it names itself in the journal too, where its lines are the daemon's. */
void log_open_helper(const char *program, enum log_level level);
void log_set_level(enum log_level level);
/* Each line from now on ends with the job and the request that it came with. Not copied; NULL: no more. */
void log_about(const char *job, const char *request);
bool log_enabled(enum log_level level); /* to skip the making of expensive arguments */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
