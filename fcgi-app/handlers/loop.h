/*
 * loop.h: what the parts of the command-loop handler share.
 *
 * The conversation, version 1: lines, their fields between tabs; "-" or nothing is a field that isn't known.
 *
 *	to the command (stdin)                          from it (stdout)
 *	longhaul 1                                      ready 1
 *	job ID ATTEMPT INPUT RESULT MEDIA-TYPE          progress ID DONE [TOTAL [MESSAGE]]
 *	    DEADLINE TRACEPARENT CLIENT REQUEST-ID      done ID [MEDIA-TYPE]
 *	cancel ID                                       failed ID [STATUS [TYPE [TITLE [DETAIL]]]]
 *	(the end of the file: it should end)            retry ID [DELAY-MS [TITLE [DETAIL]]]
 *	                                                canceled ID
 *
 * INPUT and RESULT are paths of files, so that neither has to be held in memory or framed.
 */
#ifndef LONGHAUL_HANDLERS_LOOP_H
#define LONGHAUL_HANDLERS_LOOP_H

#include <longhaul/handler.h>

#include "common/buf.h"
#include "exec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- loop_lines.c: lines -------------------------------------------------------------------- */

#define LOOP_SHOWN_MAX 2048 /* bytes of stderr in the log, and in a problem */
#define LOOP_VERSION 1
#define LOOP_LINE_MAX 8192
#define LOOP_FIELDS 6 /* of a line from the command; what is beyond is dropped */

struct loop_line {
	const char *verb, *id;
	const char *field[LOOP_FIELDS - 2]; /* NULL: not given */
};

/* Splits a line, in place. False: it has no verb. */
bool loop_line_parse(char *line, struct loop_line *out);

/* A number that isn't negative; `otherwise` if it isn't given. False: it is something else. */
bool loop_number(const char *field, int64_t otherwise, int64_t *out);

/* Appends the line that gives a job to the command. False when memory ends. */
bool loop_job_line(struct buf *out, const struct lh_job_info *job, const char *folder);

/* ---- loop_folder.c: the files in which inputs and results are handed over ------------------- */

#define LOOP_INPUT "input"
#define LOOP_RESULT "result"

struct loop_folder {
	char *path; /* NULL: there is none */
	int fd;     /* holds a lock as long as we live */
	uid_t uid;  /* who the command runs as */
	gid_t gid;
};

/* Makes a folder of our own in work_dir, for a command that runs as that user, and removes those that runners who
 * were killed have left there. False: *why (static) says what failed, and errno. */
bool loop_folder_open(struct loop_folder *f, const char *work_dir, uid_t uid, gid_t gid,
		      const char **why);
void loop_folder_close(struct loop_folder *f);

/* Makes a file new, in place of what was there: open for writing, the command's own. -1 and errno. */
int loop_file_make(const struct loop_folder *f, const char *name);

/* Opens the result. -1 and errno: ENOENT if there is none, EPERM if it isn't the command's own plain file. */
int loop_result_open(const struct loop_folder *f);

/* Removes both files. */
void loop_files_remove(const struct loop_folder *f);

/* ---- loop_talk.c: the command, and what it says --------------------------------------------- */

struct loop_config {
	char *work_dir;
	int start_ms;
};

struct loop {
	struct loop_config config;
	struct exec_config *exec;
	struct loop_folder folder;
	struct exec_child child; /* pid 0: none */
	bool ready;
	struct buf out;           /* lines for it, not yet written */
	char line[LOOP_LINE_MAX]; /* the beginning of a line of it */
	size_t line_len;
	struct exec_tail tail;
	const char *fault; /* how it broke the protocol; NULL: it didn't */

	/* the job under way; NULL: none */
	struct lh_job *job;
	bool answered, canceled, termed;
	enum lh_verdict verdict;
	int64_t term_at, kill_at; /* monotonic, once it is canceled */
};

/* Starts it and waits until it is ready. False: *why (static) says what is wrong; it has been logged. */
bool loop_start_command(struct loop *l, const char **why);

/* Asks it to end by closing its stdin; then less kindly. */
void loop_end_command(struct loop *l);

/* Has it ended? It stays a zombie, so that its group keeps its number. */
bool loop_ended(const struct loop *l);

/* Waits for it, at most that long, and passes on what comes and goes. */
void loop_turn(struct loop *l, int64_t timeout_ms);

/* It has ended: takes what it said last. A little, for whoever fled from the group may write for ever. */
void loop_last_words(struct loop *l);

/* Kills what is left of it and its group, and forgets it. Returns its wait status. */
int loop_bury(struct loop *l);

/* Logs its end. */
void loop_log_end(struct loop *l, const char *what, int status);

#endif
