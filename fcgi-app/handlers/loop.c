/*
 * loop.c: the handler that has jobs run by a command that is started once and takes one after the other,
 * for those whose start is expensive. loop.h says what the two tell each other.
 *
 * If the command dies between jobs it is started again; if it dies in one, that is as if the runner had died. When a
 * job is to stop it is told so first; if it doesn't answer, its process group gets SIGTERM, then SIGKILL.
 */
#include "handlers.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/options.h"
#include "common/times.h"
#include "loop.h"
#include "options.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (64 * 1024)
#define LOOK_MS 100 /* how often lh_cancelled() is asked */

const struct opt loop_options[LOOP_OPTIONS] = {
	OPT_STR("type", "work_dir", struct loop_config, work_dir, "/tmp",
		"Folder in which inputs and results are handed over."),
	OPT_NUM("type", "start_ms", struct loop_config, start_ms, "9000", 10, 3600 * 1000,
		"Longest time between the start of the command and its \"ready\"."),
};

/* ---- one job ---------------------------------------------------------------------------------- */

/* Writes the input to its file, and makes an empty one for the result. Returns LH_DONE to go on. */
static enum lh_verdict put_input(struct loop *l, struct lh_job *job)
{
	int fd = loop_file_make(&l->folder, LOOP_INPUT), result;
	char data[PIECE];
	ssize_t n = -1;
	bool fine = fd >= 0;

	while (fine && (n = lh_read(job, data, sizeof(data))) > 0) {
		for (ssize_t at = 0, put; fine && at < n; at += put) {
			put = write(fd, data + at, (size_t)(n - at));
			fine = put > 0;
		}
	}
	if (fine && n < 0) {
		close(fd);
		return LH_CANCELED;
	}
	result = fine ? loop_file_make(&l->folder, LOOP_RESULT) : -1;
	if (result < 0)
		log_error("a job's files can't be written error=\"%s\"", strerror(errno));
	if (fd >= 0)
		close(fd);
	if (result < 0)
		return lh_try_again(job, -1, "The job's input could not be written", NULL);
	close(result);
	return LH_DONE;
}

/* Passes the result on from its file. */
static enum lh_verdict take_result(struct loop *l, struct lh_job *job)
{
	int fd = loop_result_open(&l->folder);
	char data[PIECE];
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return LH_DONE;
	if (fd < 0)
		return lh_fail(job, "command-failed", 500, "The command failed",
			       "What it left as its result is no file of its own.", NULL);
	while ((n = read(fd, data, sizeof(data))) > 0)
		if (!lh_write(job, data, (size_t)n))
			break;
	close(fd);
	if (n > 0 && lh_cancelled(job))
		return LH_CANCELED;
	if (n > 0)
		return lh_fail(job, "result-too-large", 500, "The result is too large", NULL, NULL);
	return n == 0 ? LH_DONE : lh_try_again(job, -1, "The job's result could not be read", NULL);
}

/* Tells it that the job is to stop, the more clearly the longer it takes. */
static void press(struct loop *l)
{
	int64_t now = mono_ms();

	if (!l->canceled) {
		if (!lh_cancelled(l->job))
			return;
		l->canceled = true;
		l->term_at = now + l->exec->grace_ms / 2;
		/* The daemon kills the runner after the grace, so ours is a little less. */
		l->kill_at = now + l->exec->grace_ms - l->exec->grace_ms / 10;
		buf_addf(&l->out, "cancel\t%s\n", lh_job_info(l->job)->id);
	}
	if (!l->termed && now >= l->term_at) {
		l->termed = true;
		kill(-l->child.pid, SIGTERM);
		kill(-l->child.pid, SIGCONT);
	}
	if (now >= l->kill_at)
		kill(-l->child.pid, SIGKILL);
}

static enum lh_verdict fail_command(struct loop *l, const char *detail)
{
	struct buf text = { 0 };
	enum lh_verdict verdict;

	buf_adds(&text, detail);
	if (l->exec->show_stderr && l->tail.len > 0) {
		buf_adds(&text, "\n");
		exec_tail_show(&l->tail, LOOP_SHOWN_MAX, &text);
	}
	verdict = lh_fail(l->job, "command-failed", 500, "The command failed", text.data, NULL);
	buf_free(&text);
	return verdict;
}

/* The command has ended in the job, or has to, since it can't be understood any more. */
static enum lh_verdict broken(struct loop *l)
{
	enum lh_verdict verdict = l->canceled ? LH_CANCELED : LH_DIED;

	if (!l->canceled && l->fault)
		verdict = fail_command(l, "It did not keep to the protocol.");
	if (l->fault)
		log_warning("a persistent command is not understood reason=\"%s\"", l->fault);
	if (l->canceled)
		loop_bury(l);
	else
		loop_log_end(l, l->fault ? "was ended" : "died", loop_bury(l));
	return verdict;
}

/* Gives the job to the command and waits for its answer. */
static enum lh_verdict converse(struct loop *l, struct lh_job *job)
{
	struct buf words = { 0 };

	if (!loop_job_line(&l->out, lh_job_info(job), l->folder.path))
		return lh_try_again(job, -1, "The worker ran out of memory", NULL);
	while (!l->answered && !l->fault && !loop_ended(l)) {
		press(l);
		loop_turn(l, LOOK_MS);
	}
	if (!l->answered && !l->fault)
		loop_last_words(l);
	if (!l->answered || l->fault)
		return broken(l);
	if (l->verdict == LH_FAILED) {
		exec_tail_show(&l->tail, LOOP_SHOWN_MAX, &words);
		log_warning("a persistent command failed stderr=\"%s\"",
			    words.data ? words.data : "");
		buf_free(&words);
	}
	if (l->termed)
		loop_bury(l); /* it may be about to end, which must not be the next job's fate */
	if (l->canceled)
		return LH_CANCELED;
	return l->verdict == LH_DONE ? take_result(l, job) : l->verdict;
}

static enum lh_verdict loop_run(struct lh_job *job, void *state)
{
	struct loop *l = state;
	enum lh_verdict verdict;
	const char *why;

	l->fault = NULL;
	if (l->child.pid > 0)
		loop_turn(l, 0); /* what it has said since the last job isn't this one's log */
	l->job = job;
	l->answered = l->canceled = l->termed = false;
	lh_result_type(job, l->exec->result_type);
	if (l->child.pid > 0 && loop_ended(l))
		loop_log_end(l, "ended between two jobs", loop_bury(l));
	if (l->child.pid == 0 && !loop_start_command(l, &why)) {
		verdict = lh_cancelled(job)
				  ? LH_CANCELED
				  : lh_try_again(job, -1, "The command could not be started", NULL);
	} else {
		l->tail.at = l->tail.len = 0;
		verdict = put_input(l, job);
		if (verdict == LH_DONE)
			verdict = converse(l, job);
	}
	loop_files_remove(&l->folder);
	l->job = NULL;
	return verdict;
}

/* ---- settings --------------------------------------------------------------------------------- */

static void loop_fini(void *state)
{
	struct loop *l = state;

	if (l->exec && l->child.pid > 0)
		loop_end_command(l);
	loop_folder_close(&l->folder);
	if (l->exec)
		exec_config_free(l->exec);
	opts_free(loop_options, LOOP_OPTIONS, &l->config);
	buf_free(&l->out);
	free(l);
}

static char *read_settings(struct loop *l, const struct lh_settings *settings)
{
	char error[256];
	struct stat st;

	for (size_t i = 0; i < LOOP_OPTIONS; i++)
		if (!opt_set(&loop_options[i], &l->config,
			     lh_setting(settings, loop_options[i].key, loop_options[i].def), error,
			     sizeof(error)))
			return mem_strdup(error);
	if (l->config.work_dir[0] != '/' || strpbrk(l->config.work_dir, "\t\n"))
		return mem_strdup("work_dir: must begin with a slash, and have no tabs");
	if (stat(l->config.work_dir, &st) != 0)
		return mem_printf("work_dir: \"%.200s\": %s", l->config.work_dir, strerror(errno));
	if (!S_ISDIR(st.st_mode) || access(l->config.work_dir, R_OK | W_OK | X_OK) != 0)
		return mem_printf("work_dir: \"%.200s\": nothing can be written there",
				  l->config.work_dir);
	return NULL;
}

static bool loop_init(const struct lh_settings *settings, void **state, const char **error)
{
	struct loop *l = mem_zalloc(sizeof(*l));
	char *wrong;

	signal(SIGPIPE, SIG_IGN);
	l->exec = exec_config_new(settings, error);
	wrong = l->exec ? read_settings(l, settings) : NULL;
	if (l->exec && !wrong) {
		*state = l;
		return true;
	}
	if (wrong)
		*error = wrong;
	loop_fini(l);
	return false;
}

static bool loop_start(void *state, const char **error)
{
	struct loop *l = state;
	uid_t uid = l->exec->switch_user ? l->exec->uid : geteuid();
	gid_t gid = l->exec->switch_user ? l->exec->gid : getegid();

	if (!loop_folder_open(&l->folder, l->config.work_dir, uid, gid, error)) {
		*error = mem_printf("%s in work_dir: %s", *error, strerror(errno));
		return false;
	}
	if (loop_start_command(l, error))
		return true;
	loop_folder_close(&l->folder);
	return false;
}

const struct lh_handler lh_handler_command_loop = {
	.abi = LH_HANDLER_ABI,
	.name = "command-loop",
	.init = loop_init,
	.start = loop_start,
	.run = loop_run,
	.fini = loop_fini,
};
