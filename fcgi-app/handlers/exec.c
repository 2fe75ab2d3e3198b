/*
 * exec.c: the handler that runs a command: input on its stdin, result from its stdout, progress as
 * lines on its descriptor 3 (exec_lines_add), its settings in exec_config.c.
 *
 * Exit status 0 is success, 75 (sysexits' EX_TEMPFAIL) asks for another try later, all else has
 * failed. The command leads a process group: when it ends, the rest of the group is killed; when
 * the job is to stop, the group gets SIGTERM and, if it takes too long, SIGKILL.
 */
#include "handlers.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/session.h"
#include "common/times.h"
#include "exec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE (64 * 1024)
#define LOOK_MS 100    /* how often lh_cancelled() is asked */
#define NO_PIDFD_MS 10 /* how often the child is asked for, if the kernel can't tell */
#define EXIT_LATER 75
#define SHOWN_MAX 2048 /* bytes of stderr in the log, and in a problem */

struct exec_run {
	const struct exec_config *config;
	struct lh_job *job;
	struct exec_child child;
	char input[PIECE]; /* read from the job, from in_at on not yet written */
	size_t in_at, in_len;
	struct exec_lines lines;
	struct exec_tail tail;
	bool stopping;   /* SIGTERM was sent; no more input, and output is dropped */
	bool canceled;   /* … because the job is to stop */
	bool too_large;  /* … because the result is */
	int64_t kill_at; /* monotonic; when SIGKILL follows */
};

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/*
 * Tells the whole group to end. Its stdin stays open: an early end could pass for the whole input.
 * The daemon kills the runner after the grace, so ours is a little less.
 */
static void stop(struct exec_run *run)
{
	if (run->stopping)
		return;
	run->stopping = true;
	run->kill_at = mono_ms() + run->config->grace_ms - run->config->grace_ms / 10;
	kill(-run->child.pid, SIGTERM);
	kill(-run->child.pid, SIGCONT);
}

/* Writes input; takes more of it when all has been written, so the command sets the pace. */
static void feed(struct exec_run *run)
{
	ssize_t n;

	if (run->in_at == run->in_len) {
		n = lh_read(run->job, run->input, sizeof(run->input));
		if (n < 0) {
			run->canceled = true;
			stop(run);
			return;
		}
		run->in_at = 0;
		run->in_len = (size_t)n;
		if (n == 0) {
			close_end(&run->child.in);
			return;
		}
	}
	n = write(run->child.in, run->input + run->in_at, run->in_len - run->in_at);
	if (n > 0)
		run->in_at += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		close_end(&run->child.in); /* EPIPE: it doesn't want the rest */
}

static void take_output(struct exec_run *run, const char *data, size_t len)
{
	if (run->stopping || lh_write(run->job, data, len))
		return;
	if (lh_cancelled(run->job))
		run->canceled = true;
	else
		run->too_large = true;
	stop(run);
}

/* Reads at most max bytes from one of the child's pipes. Returns how many; 0 at the end or when
 * there is nothing now. */
static size_t drain(struct exec_run *run, int *fd, size_t max)
{
	char data[PIECE];
	ssize_t n = read(*fd, data, max < sizeof(data) ? max : sizeof(data));

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			close_end(fd);
		return 0;
	}
	if (fd == &run->child.out) {
		take_output(run, data, (size_t)n);
	} else if (fd == &run->child.progress) {
		exec_lines_add(&run->lines, run->job, data, (size_t)n);
	} else {
		exec_tail_add(&run->tail, data, (size_t)n);
		lh_log(run->job, data, (size_t)n);
	}
	return (size_t)n;
}

/* Has the command itself ended? It stays a zombie, so that its group keeps its number. */
static bool ended(const struct exec_run *run)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)run->child.pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
	       info.si_pid != 0;
}

/* Looks whether the job is to stop, and whether the command was given enough time to. */
static int look(struct exec_run *run)
{
	int64_t left;

	if (!run->stopping && lh_cancelled(run->job)) {
		run->canceled = true;
		stop(run);
	}
	if (!run->stopping)
		return LOOK_MS;
	left = run->kill_at - mono_ms();
	if (left <= 0)
		kill(-run->child.pid, SIGKILL);
	return left <= 0 || left > LOOK_MS ? LOOK_MS : (int)left;
}

/* Passes data on until the command has ended. */
static void attend(struct exec_run *run)
{
	struct exec_child *c = &run->child;
	int *outputs[] = { &c->out, &c->err, &c->progress };
	int timeout, i;

	while (!ended(run)) {
		struct pollfd p[5] = {
			{ c->out, POLLIN, 0 },   { c->err, POLLIN, 0 }, { c->progress, POLLIN, 0 },
			{ c->pidfd, POLLIN, 0 }, { c->in, POLLOUT, 0 },
		};

		timeout = look(run);
		if (run->stopping)
			p[4].fd = -1;
		if (c->pidfd < 0 && timeout > NO_PIDFD_MS)
			timeout = NO_PIDFD_MS;
		if (poll(p, 5, timeout) <= 0)
			continue;
		for (i = 0; i < 3; i++)
			if (p[i].revents)
				drain(run, outputs[i], PIECE);
		if (p[4].revents & POLLERR)
			close_end(&c->in);
		else if (p[4].revents && !run->stopping)
			feed(run);
	}
}

/*
 * After the command's end: kills what it left running, also what has left its group or session, takes what still stands in the pipes (no
 * more: whoever fled from the group may write forever), and reaps it. Returns its wait status.
 */
static int finish(struct exec_run *run)
{
	int *outputs[] = { &run->child.out, &run->child.err, &run->child.progress };
	int status = -1, left, i;
	size_t n;

	kill(-run->child.pid, SIGKILL);
	for (i = 0; i < 3; i++) {
		if (*outputs[i] < 0 || ioctl(*outputs[i], FIONREAD, &left) != 0)
			left = 0;
		while (left > 0 && (n = drain(run, outputs[i], (size_t)left)) > 0)
			left -= (int)n;
		close_end(outputs[i]);
	}
	close_end(&run->child.in);
	close_end(&run->child.pidfd);
	while (waitpid(run->child.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!children_end())
		log_warning("processes that a command left behind can't be killed");
	return status;
}

/* The last words of a command that failed: into the log, to the client only if so configured. */
static enum lh_verdict failed(struct exec_run *run, int status)
{
	struct buf detail = { 0 }, words = { 0 };
	bool later = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_LATER;
	enum lh_verdict verdict;

	if (WIFSIGNALED(status))
		buf_addf(&detail, "The command was ended by signal %d (%s).", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		buf_addf(&detail, "The command ended with exit status %d.", WEXITSTATUS(status));
	exec_tail_show(&run->tail, SHOWN_MAX, &words);
	log_warning("a command failed detail=\"%s\" stderr=\"%s\"", detail.data,
		    words.data ? words.data : "");
	if (run->config->show_stderr && words.len > 0)
		buf_addf(&detail, "\n%s", words.data);
	if (later)
		verdict = lh_try_again(run->job, -1, "The command asked to be tried again later",
				       detail.data);
	else
		verdict = lh_fail(run->job, "command-failed", 500, "The command failed",
				  detail.data, NULL);
	buf_free(&detail);
	buf_free(&words);
	return verdict;
}

static enum lh_verdict verdict_of(struct exec_run *run, int status)
{
	if (run->canceled)
		return LH_CANCELED;
	if (run->too_large)
		return lh_fail(run->job, "result-too-large", 500, "The result is too large", NULL,
			       NULL);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return LH_DONE;
	return failed(run, status);
}

static enum lh_verdict exec_run(struct lh_job *job, void *state)
{
	struct exec_run *run = mem_zalloc(sizeof(*run));
	enum lh_verdict verdict;
	const char *what;

	run->config = state;
	run->job = job;
	lh_result_type(job, run->config->result_type);
	if (exec_spawn(run->config, lh_job_info(job), &run->child, &what)) {
		attend(run);
		verdict = verdict_of(run, finish(run));
	} else {
		log_error("a command can't be started step=\"%s\" error=\"%s\"", what,
			  strerror(errno));
		verdict = lh_try_again(job, -1, "The command could not be started", NULL);
	}
	free(run);
	return verdict;
}

static bool exec_init(const struct lh_settings *settings, void **state, const char **error)
{
	signal(SIGPIPE, SIG_IGN); /* a command need not read its input */
	*state = exec_config_new(settings, error);
	return *state != NULL;
}

static void exec_fini(void *state)
{
	exec_config_free(state);
}

const struct lh_handler lh_handler_exec = {
	.abi = LH_HANDLER_ABI,
	.name = "exec",
	.init = exec_init,
	.run = exec_run,
	.fini = exec_fini,
};
