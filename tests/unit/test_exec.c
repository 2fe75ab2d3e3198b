/*
 * test_exec.c: commands as jobs.
 * links: handlers/exec.c handlers/exec_config.c handlers/exec_progress.c handlers/exec_spawn.c
 * links: handlers/exec_stderr.c handlers/exec_words.c common/text.c
 */
#include "fake_job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "handlers/exec.h"
#include "handlers/handlers.h"

#define SH(script) "command", "/bin/sh -c '" script "'"

/* Runs the job by the settings, and checks that nothing is left open or running. */
static enum lh_verdict run_with(struct lh_job *job, const struct lh_settings *settings)
{
	const char *error = NULL;
	enum lh_verdict verdict;
	void *state;
	int before, after;

	assert_true(lh_handler_exec.init(settings, &state, &error));
	before = dup(0);
	close(before);
	verdict = lh_handler_exec.run(job, state);
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	lh_handler_exec.fini(state);
	return verdict;
}

#define RUN(job, ...) run_with(job, &(struct lh_settings){ { __VA_ARGS__, NULL } })

/* The same for a job with this input, of which only the verdict and the result matter. */
static void expect_result(const struct lh_settings *settings, const char *input, const char *result)
{
	struct lh_job job;

	job_init(&job, "text/plain", input, strlen(input));
	assert_int_equal(run_with(&job, settings), LH_DONE);
	assert_int_equal(job.result.len, strlen(result));
	assert_memory_equal(job.result.data ? job.result.data : "", result, strlen(result));
	job_free(&job);
}

#define RESULT(input, result, ...) \
	expect_result(&(struct lh_settings){ { __VA_ARGS__, NULL } }, input, result)

static void words(void **state)
{
	static const struct {
		const char *text, *joined;
	} good[] = {
		{ "", "" },
		{ " \t ", "" },
		{ "/bin/a", "</bin/a>" },
		{ " a  b\tc ", "<a><b><c>" },
		{ "a\\ b", "<a b>" },
		{ "'a b' \"c d\"", "<a b><c d>" },
		{ "a'b c'\"d e\"f", "<ab cd ef>" },
		{ "'' \"\"", "<><>" },
		{ "'a\\b\"c'", "<a\\b\"c>" },
		{ "\"a\\\"b\\\\c'\"", "<a\"b\\c'>" },
		{ "$HOME *?;|&", "<$HOME><*?;|&>" },
	};
	static const char *const bad[] = { "'a", "\"a", "a\\", "\"a\\", "a '", NULL };
	struct buf joined = { 0 }, many = { 0 };
	const char *error;
	char **w;
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		w = words_split(good[i].text, &error);
		assert_non_null(w);
		buf_reset(&joined);
		buf_adds(&joined, "");
		for (j = 0; w[j]; j++)
			buf_addf(&joined, "<%s>", w[j]);
		assert_string_equal(joined.data, good[i].joined);
		words_free(w);
	}
	for (i = 0; bad[i]; i++) {
		assert_null(words_split(bad[i], &error));
		assert_non_null(error);
	}
	for (i = 0; i < 1001; i++)
		buf_adds(&many, "x ");
	assert_null(words_split(many.data, &error));
	buf_free(&many);
	buf_free(&joined);
}

static void wrong_settings(void **state)
{
	static const char *const bad[][2] = {
		{ "command", "" },
		{ "command", "true" },
		{ "command", "/bin/true '" },
		{ "command", "/nowhere/at/all" },
		{ "command", "/bin" },
		{ "command", "/etc/passwd" },
		{ "rlimit_nofile", "4" },
		{ "environment", "A" },
		{ "environment", "=b" },
		{ "environment", "1A=b" },
		{ "environment", "LONGHAUL_JOB_ID=1" },
		{ "environment", "A-B=c" },
		{ "environment", "'A=b" },
		{ "directory", "tmp" },
		{ "directory", "/nowhere/at/all" },
		{ "directory", "/bin/sh" },
		{ "user", "no such user" },
		{ "grace_ms", "-1" },
		{ "grace_ms", "soon" },
		{ "rlimit_as", "lots" },
		{ "rlimit_cpu_s", "1 KiB" },
		{ "show_stderr", "perhaps" },
	};
	const char *error;
	void *handler;
	size_t i;

	(void)state;
	handlers_check_only = true;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct lh_settings settings = { { bad[i][0], bad[i][1], "command", "/bin/true",
						  NULL } };

		error = NULL;
		assert_false(lh_handler_exec.init(&settings, &handler, &error));
		assert_non_null(error);
		free((void *)error);
	}
	handlers_check_only = false;
}

static void input_and_output(void **state)
{
	(void)state;
	RESULT("hello", "hello", "command", "/bin/cat");
	RESULT("", "", "command", "/bin/cat");
	RESULT("ignored", "", "command", "/bin/true");
	RESULT("", "a  b $HOME", "command", "/bin/echo -n 'a  b' $HOME");
	RESULT("", "/tmp\n", SH("pwd"), "directory", "/tmp");
	RESULT("abc", "3\n", SH("wc -c"), "result_type", "text/plain");
}

/* Megabytes both ways at once, and each way with nobody at the other end. */
static void much_data(void **state)
{
	size_t size = 8 * 1024 * 1024, i;
	char *data = malloc(size);
	struct lh_job job;

	(void)state;
	assert_non_null(data);
	for (i = 0; i < size; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	job_init(&job, "x/y", data, size);
	assert_int_equal(RUN(&job, "command", "/bin/cat"), LH_DONE);
	assert_int_equal(job.result.len, size);
	assert_memory_equal(job.result.data, data, size);
	job_free(&job);

	job_init(&job, "x/y", data, size);
	job.piece = 1000;
	assert_int_equal(
		RUN(&job,
		    SH("head -c 5000000 /dev/zero; head -c 3000000 /dev/zero >&2; wc -c; exec <&-; "
		       "head -c 1000000 /dev/zero")),
		LH_DONE);
	assert_int_equal(job.result.len, 5000000 + strlen("8388608\n") + 1000000);
	job_free(&job);

	job_init(&job, "x/y", data, size);
	assert_int_equal(RUN(&job, SH("head -c 10; exec <&-; exec sleep 0.2")), LH_DONE);
	assert_int_equal(job.result.len, 10);
	assert_true(job.input_len > 0);
	job_free(&job);
	free(data);
}

static void clean_environment(void **state)
{
	struct lh_job job;

	(void)state;
	setenv("PGPASSWORD", "secret", 1);
	setenv("SOMETHING", "else", 1);
	job_init(&job, "text/csv", "", 0);
	job.info.deadline_ms = 1790938692114;
	job.info.traceparent = "00-1-2-01";
	job.info.request_id = "r1";
	job.info.attempt = 3;
	assert_int_equal(
		RUN(&job, "command", "/usr/bin/env", "environment", "PATH=/bin A='b c' HOME=/x D="),
		LH_DONE);
	buf_adds(&job.result, "");
	assert_string_equal(
		job.result.data,
		"PATH=/bin\nHOME=/x\nLANG=C.UTF-8\nA=b c\nD=\n"
		"LONGHAUL_JOB_ID=01a2087d-d650-728c-97f1-bca0dc1c81f9\nLONGHAUL_TYPE=test\n"
		"LONGHAUL_CLIENT=tester\nLONGHAUL_ATTEMPT=3\nLONGHAUL_DEADLINE=2026-10-02T10:58:12.114Z\n"
		"LONGHAUL_MEDIA_TYPE=text/csv\nLONGHAUL_REQUEST_ID=r1\nTRACEPARENT=00-1-2-01\n");
	job_free(&job);
}

/* Neither descriptors nor signal settings of ours reach the command. */
static void clean_process(void **state)
{
	int fd = dup(1), high = fcntl(1, F_DUPFD, 200);
	sigset_t set;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGUSR2, SIG_IGN);
	RESULT("", "0\n1\n2\n3\n",
	       SH("for f in $(seq 0 300); do [ -e /proc/$$/fd/$f ] && echo $f; done; :"));
	/* 32 and 33 belong to the C library: posix_spawn(), so make too, leaves them ignored. */
	RESULT("", "0\n0\n",
	       SH("while read k v; do case $k in SigBlk:|SigIgn:) echo $((0x$v & ~0x180000000));; esac; done"
		  " </proc/$$/status"));
	RESULT("", "1\n", SH("set -- $(cat /proc/$$/stat); [ $5 = $$ ] && echo 1"));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGUSR2, SIG_DFL);
	close(fd);
	close(high);
}

static void exit_statuses(void **state)
{
	struct lh_job job;

	(void)state;
	job_init(&job, "x/y", "", 0);
	assert_int_equal(RUN(&job, SH("echo secret >&2; exit 3")), LH_FAILED);
	assert_string_equal(job.problem_type, "command-failed");
	assert_string_equal(job.detail, "The command ended with exit status 3.");
	assert_int_equal(job.status, 500);
	assert_int_equal(RUN(&job, SH("exit 75")), LH_TRY_AGAIN);
	assert_int_equal(job.retry_ms, -1);
	assert_int_equal(RUN(&job, SH("kill -9 $$")), LH_FAILED);
	assert_string_equal(job.detail, "The command was ended by signal 9 (Killed).");
	assert_int_equal(RUN(&job,
			     SH("echo one >&2; printf \"t\\\\303w\\\\033o\\n\\n\" >&2; exit 1"),
			     "show_stderr", "yes"),
			 LH_FAILED);
	assert_string_equal(job.detail,
			    "The command ended with exit status 1.\none\nt\xEF\xBF\xBDw o");
	assert_int_equal(RUN(&job, "command", "/nowhere/at/all"), LH_TRY_AGAIN);
	assert_null(strstr(job.title, "/"));
	assert_string_equal(job.detail, "");
	job_free(&job);
}

/* Of much, the last lines are shown. */
static void last_words(void **state)
{
	static struct exec_tail tail;
	struct buf out = { 0 };
	char line[32];
	int i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		snprintf(line, sizeof(line), "line %d\n", i);
		exec_tail_add(&tail, line, strlen(line));
	}
	exec_tail_show(&tail, 30, &out);
	assert_string_equal(out.data, "line 99998\nline 99999");
	buf_reset(&out);
	exec_tail_show(&tail, EXEC_STDERR_MAX, &out);
	assert_true(out.len > EXEC_STDERR_MAX - 20);
	for (i = 0; i < 300; i++)
		exec_tail_add(&tail, "0123456789abcdef0123456789abcdef0123456789abcdef", 48);
	buf_reset(&out);
	exec_tail_show(&tail, 10, &out);
	assert_string_equal(out.data, "6789abcdef");
	memset(&tail, 0, sizeof(tail));
	buf_reset(&out);
	exec_tail_show(&tail, 10, &out);
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

static void progress_lines(void **state)
{
	static const struct {
		const char *line;
		int64_t done, total; /* done -1: ignored */
		const char *message;
	} cases[] = {
		{ "1 4 one", 1, 4, "one" },
		{ "3 4", 3, 4, "" },
		{ " 7 - on and on ", 7, -1, "on and on " },
		{ "7 0", 7, -1, "" },
		{ "7", 7, -1, "" },
		{ "50%", 50, 100, "" },
		{ "99.9% nearly\r", 99, 100, "nearly " },
		{ "100%", 100, 100, "" },
		{ "101%", -1, 0, "" },
		{ "5%x", -1, 0, "" },
		{ "5.x%", -1, 0, "" },
		{ "", -1, 0, "" },
		{ "x", -1, 0, "" },
		{ "-1 5", -1, 0, "" },
		{ "5 -1", -1, 0, "" },
		{ "7 3", -1, 0, "" },
		{ "1e5 2", -1, 0, "" },
		{ "1 2x", -1, 0, "" },
		{ "999999999999999999 - x", 999999999999999999, -1, "x" },
		{ "9999999999999999999", -1, 0, "" },
		{ "1\t2\tt\xFF\x01", 1, 2, "t\xEF\xBF\xBD " },
	};
	struct exec_lines lines = { .len = 0 };
	struct lh_job job;
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		job_init(&job, "x/y", "", 0);
		for (j = 0; cases[i].line[j]; j++)
			exec_lines_add(&lines, &job, cases[i].line + j, 1);
		assert_int_equal(job.progressed, 0);
		exec_lines_add(&lines, &job, "\n", 1);
		assert_int_equal(job.progressed, cases[i].done >= 0);
		if (job.progressed) {
			assert_int_equal(job.done, cases[i].done);
			assert_int_equal(job.total, cases[i].total);
			assert_string_equal(job.message, cases[i].message);
		}
	}
	job_init(&job, "x/y", "", 0);
	exec_lines_add(&lines, &job, "1 2 a\n2 2 b\n\0\n3", 15);
	assert_int_equal(job.progressed, 2);
	assert_string_equal(job.message, "b");
	for (i = 0; i < 100; i++)
		exec_lines_add(&lines, &job, " 9 mmmmmmmmmmmmmmmmmmmm", 23);
	exec_lines_add(&lines, &job, "\n1 2\n", 5);
	assert_int_equal(job.progressed, 4);
	assert_int_equal(job.done, 1);
	job_free(&job);
}

static void progress_of_a_command(void **state)
{
	struct lh_job job;

	(void)state;
	job_init(&job, "x/y", "", 0);
	assert_int_equal(RUN(&job, SH("echo 1 3 first >&3; echo nonsense >&3; echo 3 3 last >&3")),
			 LH_DONE);
	assert_int_equal(job.progressed, 2);
	assert_int_equal(job.done, 3);
	assert_string_equal(job.message, "last");
	job_free(&job);
}

static bool is_gone(pid_t pid)
{
	char path[64], state = 'Z';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = 'Z';
		fclose(f);
	}
	return state == 'Z' || state == 'X';
}

static void expect_gone(struct buf *pid_text)
{
	int64_t until = mono_ms() + 5000;
	pid_t pid;

	buf_adds(pid_text, "");
	pid = (pid_t)strtol(pid_text->data, NULL, 10);
	assert_true(pid > 1);
	while (!is_gone(pid)) {
		assert_true(mono_ms() < until);
		usleep(1000);
	}
}

/* A command's own children don't outlive it, nor hold up the end by what they keep open. */
static void children_left_behind(void **state)
{
	int64_t began = mono_ms();
	struct lh_job job;

	(void)state;
	job_init(&job, "x/y", "", 0);
	assert_int_equal(RUN(&job, SH("sleep 1000 & echo $!")), LH_DONE);
	expect_gone(&job.result);
	buf_reset(&job.result);
	/* one that fled from the group keeps stdout open and writes */
	assert_int_equal(
		RUN(&job, SH("setsid sh -c \"echo \\$\\$; while echo x; do :; done\" & sleep 0.3")),
		LH_DONE);
	assert_true(job.result.len > 2);
	expect_gone(&job.result); /* of SIGPIPE */
	assert_true(mono_ms() - began < 5000);
	job_free(&job);
}

static void cancel(void **state)
{
	struct lh_job job;
	int64_t began = mono_ms();

	(void)state;
	job_init(&job, "x/y", "", 0);
	job.cancel_at_ms = mono_ms() + 200;
	assert_int_equal(RUN(&job, SH("sleep 1000 & echo $!; wait")), LH_CANCELED);
	expect_gone(&job.result);
	assert_true(mono_ms() - began < 3000);
	job_free(&job);

	/* one that won't hear; nor does its child */
	began = mono_ms();
	job_init(&job, "x/y", "", 0);
	job.cancel_at_ms = mono_ms() + 200;
	assert_int_equal(
		RUN(&job,
		    SH("trap \"\" TERM; (while :; do sleep 0.1; done) & echo $!; while :; do sleep 0.1; done"),
		    "grace_ms", "500"),
		LH_CANCELED);
	assert_true(mono_ms() - began >= 200 + 450);
	assert_true(mono_ms() - began < 3000);
	expect_gone(&job.result);
	job_free(&job);

	/* one that is stopped, and one whose job is canceled while it takes input */
	job_init(&job, "x/y", "", 0);
	job.cancel_at_ms = mono_ms() + 100;
	assert_int_equal(RUN(&job, SH("kill -STOP $$")), LH_CANCELED);
	job_free(&job);
	job_init(&job, "x/y", "some input", 10);
	job.cancel_checks = 2;
	assert_int_equal(RUN(&job, SH("cat >/dev/null; echo whole; sleep 1000")), LH_CANCELED);
	assert_int_equal(job.result.len, 0);
	job_free(&job);

	/* one that cleans up in time is canceled nevertheless */
	job_init(&job, "x/y", "", 0);
	job.cancel_at_ms = mono_ms() + 100;
	assert_int_equal(RUN(&job, SH("trap \"exit 0\" TERM; while :; do sleep 0.05; done")),
			 LH_CANCELED);
	job_free(&job);
}

static void result_too_large(void **state)
{
	struct lh_job job;

	(void)state;
	job_init(&job, "x/y", "", 0);
	job.result_max = 100000;
	assert_int_equal(RUN(&job, SH("exec cat /dev/zero")), LH_FAILED);
	assert_string_equal(job.problem_type, "result-too-large");
	job_free(&job);
}

static void resource_limits(void **state)
{
	struct lh_job job;

	(void)state;
	RESULT("", "64\n1024\n7\n", SH("ulimit -n; ulimit -f; ulimit -t"), "rlimit_nofile", "64",
	       "rlimit_fsize", "512KiB", "rlimit_cpu_s", "7");
	RESULT("", "1048576\n", SH("ulimit -v"), "rlimit_as", "1GiB");
	job_init(&job, "x/y", "", 0);
	assert_int_equal(RUN(&job, SH("while :; do :; done"), "rlimit_cpu_s", "1"), LH_FAILED);
	assert_string_equal(job.detail,
			    "The command was ended by signal 24 (CPU time limit exceeded).");
	job_free(&job);
}

static void another_user(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	RESULT("", "nobody\nnobody\n/nonexistent\n",
	       SH("id -un; id -Gn | sed s/nogroup/nobody/; echo $HOME"), "user", "nobody");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(wrong_settings),
		cmocka_unit_test(input_and_output),
		cmocka_unit_test(much_data),
		cmocka_unit_test(clean_environment),
		cmocka_unit_test(clean_process),
		cmocka_unit_test(exit_statuses),
		cmocka_unit_test(last_words),
		cmocka_unit_test(progress_lines),
		cmocka_unit_test(progress_of_a_command),
		cmocka_unit_test(children_left_behind),
		cmocka_unit_test(cancel),
		cmocka_unit_test(result_too_large),
		cmocka_unit_test(resource_limits),
		cmocka_unit_test(another_user),
	};

	/* what failing commands leave in the log is expected here */
	log_open("test", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_NONE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
