/*
 * loop_talk.c: the process of a persistent command, and the conversation with it.
 */
#include "loop.h"

#include "common/log.h"
#include "common/session.h"
#include "common/times.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE (64 * 1024)
#define LOOK_MS 100    /* the longest time between two looks at what else there is */
#define NO_PIDFD_MS 10 /* how often the child is asked for, if the kernel can't tell */

/* ---- the process ------------------------------------------------------------------------------ */

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

bool loop_ended(const struct loop *l)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)l->child.pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
	       info.si_pid != 0;
}

int loop_bury(struct loop *l)
{
	int status = -1;

	kill(-l->child.pid, SIGKILL);
	while (waitpid(l->child.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!children_end()) /* also what has left its group: the runner is the parent of that now */
		log_warning("processes that a persistent command left behind can't be killed");
	close_end(&l->child.in);
	close_end(&l->child.out);
	close_end(&l->child.err);
	close_end(&l->child.pidfd);
	l->child.pid = 0;
	l->ready = false;
	buf_reset(&l->out);
	l->line_len = 0;
	return status;
}

void loop_log_end(struct loop *l, const char *what, int status)
{
	struct buf words = { 0 };

	exec_tail_show(&l->tail, LOOP_SHOWN_MAX, &words);
	log_warning("a persistent command %s %s=%d stderr=\"%s\"", what,
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		    words.data ? words.data : "");
	buf_free(&words);
}

/* ---- what it says ----------------------------------------------------------------------------- */

static void answer(struct loop *l, enum lh_verdict verdict)
{
	l->answered = true;
	l->verdict = verdict;
}

static void say_failed(struct loop *l, const struct loop_line *in)
{
	int64_t status;

	if (!loop_number(in->field[0], 500, &status) || status < 400 || status > 599) {
		l->fault = "the status isn't one";
		return;
	}
	answer(l, lh_fail(l->job, in->field[1] ? in->field[1] : "command-failed", (int)status,
			  in->field[2] ? in->field[2] : "The command failed", in->field[3], NULL));
}

static void say_retry(struct loop *l, const struct loop_line *in)
{
	int64_t delay;

	if (!loop_number(in->field[0], -1, &delay)) {
		l->fault = "the delay is no number";
		return;
	}
	answer(l, lh_try_again(l->job, delay,
			       in->field[1] ? in->field[1]
					    : "The command asked to be tried again later",
			       in->field[2]));
}

static void say_progress(struct loop *l, const struct loop_line *in)
{
	int64_t done, total;

	if (!loop_number(in->field[0], 0, &done) || !loop_number(in->field[1], -1, &total))
		l->fault = "the progress is no number";
	else
		lh_progress(l->job, done, total, in->field[2]);
}

static void say_done(struct loop *l, const struct loop_line *in)
{
	if (in->field[0])
		lh_result_type(l->job, in->field[0]);
	answer(l, LH_DONE);
}

static void say_canceled(struct loop *l, const struct loop_line *in)
{
	(void)in;
	if (!l->canceled)
		l->fault = "nobody has canceled the job";
	else
		answer(l, LH_CANCELED);
}

static const struct verb {
	const char *name;
	void (*say)(struct loop *l, const struct loop_line *in);
} verbs[] = {
	{ "progress", say_progress }, { "done", say_done },         { "failed", say_failed },
	{ "retry", say_retry },       { "canceled", say_canceled },
};

static void say_ready(struct loop *l, const char *version)
{
	char ours[16];

	snprintf(ours, sizeof(ours), "%d", LOOP_VERSION);
	if (l->ready || !version)
		l->fault = "\"ready\" is out of place";
	else if (strcmp(version, ours) != 0)
		l->fault = "it speaks another version of the protocol";
	else
		l->ready = true;
}

/* What it still says of a job that has ended is of no interest any more. */
static void take_line(struct loop *l, char *text)
{
	struct loop_line in;

	if (!loop_line_parse(text, &in)) {
		l->fault = "an empty line";
		return;
	}
	if (strcmp(in.verb, "ready") == 0) {
		say_ready(l, in.id);
		return;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, in.verb) != 0)
			continue;
		if (!in.id)
			l->fault = "the job is missing";
		else if (l->job && !l->answered && strcmp(in.id, lh_job_info(l->job)->id) == 0)
			verbs[i].say(l, &in);
		return;
	}
	l->fault = "an unknown word";
}

static void take_output(struct loop *l, const char *data, size_t len)
{
	while (len > 0 && !l->fault) {
		const char *newline = memchr(data, '\n', len);
		size_t n = newline ? (size_t)(newline - data) : len;

		if (l->line_len + n >= sizeof(l->line)) {
			l->fault = "a line is too long";
			return;
		}
		memcpy(l->line + l->line_len, data, n);
		l->line_len += n;
		if (!newline)
			return;
		l->line[l->line_len] = '\0';
		l->line_len = 0;
		take_line(l, l->line);
		data += n + 1;
		len -= n + 1;
	}
}

/* ---- the conversation ------------------------------------------------------------------------- */

/* Reads what is there from one of its pipes. False: nothing more. */
static bool drain(struct loop *l, int *fd)
{
	char data[PIECE];
	ssize_t n = *fd >= 0 ? read(*fd, data, sizeof(data)) : 0;

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			if (fd == &l->child.out)
				kill(-l->child.pid, SIGKILL); /* it can't answer any more */
			close_end(fd);
		}
		return false;
	}
	if (fd == &l->child.out) {
		take_output(l, data, (size_t)n);
		return true;
	}
	exec_tail_add(&l->tail, data, (size_t)n);
	if (l->job)
		lh_log(l->job, data, (size_t)n);
	return true;
}

static void send_lines(struct loop *l)
{
	ssize_t n = write(l->child.in, l->out.data, l->out.len);

	if (n > 0)
		buf_consume(&l->out, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		kill(-l->child.pid,
		     SIGKILL); /* it listens no more: it is dying, or as good as dead */
}

void loop_turn(struct loop *l, int64_t timeout_ms)
{
	struct exec_child *c = &l->child;
	struct pollfd p[4] = {
		{ c->out, POLLIN, 0 },
		{ c->err, POLLIN, 0 },
		{ c->pidfd, POLLIN, 0 },
		{ l->out.len > 0 ? c->in : -1, POLLOUT, 0 },
	};

	if (c->pidfd < 0 && timeout_ms > NO_PIDFD_MS)
		timeout_ms = NO_PIDFD_MS;
	if (poll(p, 4, timeout_ms > LOOK_MS ? LOOK_MS : timeout_ms < 0 ? 0 : (int)timeout_ms) <= 0)
		return;
	if (p[1].revents)
		drain(l, &c->err);
	if (p[0].revents)
		drain(l, &c->out);
	if (p[3].revents)
		send_lines(l);
}

void loop_last_words(struct loop *l)
{
	for (int i = 0; i < 4; i++) {
		drain(l, &l->child.err);
		if (!l->fault)
			drain(l, &l->child.out);
	}
}

/* ---- start and end ---------------------------------------------------------------------------- */

bool loop_start_command(struct loop *l, const char **why)
{
	int64_t until = mono_ms() + l->config.start_ms;
	const char *failed;

	l->fault = NULL;
	l->ready = false;
	l->tail.at = l->tail.len = 0;
	if (!exec_spawn(l->exec, NULL, &l->child, &failed)) {
		log_error("a command can't be started step=\"%s\" error=\"%s\"", failed,
			  strerror(errno));
		l->child.pid = 0;
		*why = "the command can't be started";
		return false;
	}
	close_end(&l->child.progress);
	buf_reset(&l->out);
	buf_addf(&l->out, "longhaul\t%d\n", LOOP_VERSION);
	while (!l->ready && !l->fault && !loop_ended(l) && mono_ms() < until &&
	       !(l->job && lh_cancelled(l->job)))
		loop_turn(l, until - mono_ms());
	if (l->ready)
		return true;
	loop_last_words(l);
	*why = l->fault        ? l->fault
	       : loop_ended(l) ? "the command ended before it was ready"
			       : "the command was not ready in time";
	loop_log_end(l, *why, loop_bury(l));
	return false;
}

void loop_end_command(struct loop *l)
{
	int64_t began = mono_ms(), grace = l->exec->grace_ms;
	bool termed = false;

	l->fault = NULL;
	buf_reset(&l->out);
	close_end(&l->child.in);
	while (!loop_ended(l) && mono_ms() < began + grace) {
		if (!termed && mono_ms() >= began + grace / 2) {
			termed = true;
			kill(-l->child.pid, SIGTERM);
		}
		loop_turn(l, LOOK_MS / 2);
	}
	loop_bury(l);
}
