/*
 * exec.h: what the parts of the exec handler share.
 */
#ifndef LONGHAUL_HANDLERS_EXEC_H
#define LONGHAUL_HANDLERS_EXEC_H

#include <longhaul/handler.h>

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- exec_words.c: text to words ---------------------------------------------------------- */

/*
 * Splits text into words at spaces and tabs. '…' and "…" keep them together; outside of '…' a
 * backslash takes the next character as it is. Nothing else is special: no variables, no patterns.
 * Returns a NULL-terminated vector (words_free), or NULL and in *error (static) what is wrong.
 */
char **words_split(const char *text, const char **error);
void words_free(char **words);

/* ---- exec_config.c: the settings of a type ------------------------------------------------ */

struct exec_config {
	/* as they stand in the settings */
	char *command, *environment, *directory, *user, *result_type;
	int64_t rlimit_as, rlimit_fsize; /* 0: as the worker has it */
	int rlimit_cpu_s, rlimit_nofile, grace_ms;
	bool show_stderr;
	/* made of them */
	char **argv, **variables;
	char *home;
	bool switch_user;
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	int n_groups;
};

/* Reads the settings. NULL and a malloc'ed *error if one is wrong. */
struct exec_config *exec_config_new(const struct lh_settings *settings, const char **error);
void exec_config_free(struct exec_config *config);

/* ---- exec_spawn.c: the process ------------------------------------------------------------ */

struct exec_child {
	pid_t pid;                  /* leads a process group of its own */
	int pidfd;                  /* readable when it ended; -1 if the kernel has none */
	int in, out, err, progress; /* our ends of the pipes, not blocking; -1: closed */
};

/* Starts the command for the job, or, if that is NULL, for any number of them. False: what failed, for the log, and errno. */
bool exec_spawn(const struct exec_config *config, const struct lh_job_info *job,
		struct exec_child *child, const char **failed);

/* ---- exec_progress.c: what it says on descriptor 3 ---------------------------------------- */

#define EXEC_LINE_MAX 1024

struct exec_lines {
	char line[EXEC_LINE_MAX]; /* the beginning of a line; what is beyond is dropped */
	size_t len;
};

/*
 * Takes bytes of the progress channel and reports what whole lines say:
 *	DONE [TOTAL [MESSAGE]]	numbers; TOTAL is - or 0 if it isn't known
 *	NN% [MESSAGE]		0 to 100; a fraction is dropped
 * Lines of any other form are ignored.
 */
void exec_lines_add(struct exec_lines *lines, struct lh_job *job, const char *data, size_t len);

/* ---- exec_stderr.c: the last that it said on stderr --------------------------------------- */

#define EXEC_STDERR_MAX (64 * 1024)

struct exec_tail {
	char data[EXEC_STDERR_MAX]; /* a ring */
	size_t at;                  /* where the next byte goes */
	size_t len;
};

void exec_tail_add(struct exec_tail *tail, const char *data, size_t len);

/* Appends the last lines, of at most max bytes, as clean UTF-8 without a line feed at the end. */
void exec_tail_show(const struct exec_tail *tail, size_t max, struct buf *out);

#endif
