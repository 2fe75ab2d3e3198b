/*
 * exec_spawn.c: from fork to exec: the world that a command finds itself in.
 */
#include "exec.h"

#include "common/mem.h"
#include "common/times.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define FIRST_FREE \
	10 /* the child's descriptors are moved above this before they get their numbers */

/* What went wrong in the child, told through a pipe that exec closes. */
struct spawn_error {
	int error;
	char what[32];
};

/* Environment: a list of malloc'ed strings; a name that comes again replaces the first. */
static void env_put(char **env, char *variable)
{
	size_t len = strcspn(variable, "=") + 1, i;

	for (i = 0; env[i]; i++)
		if (strncmp(env[i], variable, len) == 0)
			break;
	free(env[i]);
	env[i] = variable;
}

static void env_put_known(char **env, const char *name, const char *value)
{
	if (*value)
		env_put(env, mem_printf("%s=%s", name, value));
}

static void put_job(char **env, const struct lh_job_info *job)
{
	char deadline[RFC3339_TEXT] = "";

	if (job->deadline_ms > 0)
		rfc3339_format(job->deadline_ms, deadline);
	env_put_known(env, "LONGHAUL_JOB_ID", job->id);
	env_put_known(env, "LONGHAUL_TYPE", job->type);
	env_put_known(env, "LONGHAUL_CLIENT", job->client);
	env_put(env, mem_printf("LONGHAUL_ATTEMPT=%d", job->attempt));
	env_put_known(env, "LONGHAUL_DEADLINE", deadline);
	env_put_known(env, "LONGHAUL_MEDIA_TYPE", job->media_type);
	env_put_known(env, "LONGHAUL_REQUEST_ID", job->request_id);
	env_put_known(env, "TRACEPARENT", job->traceparent);
}

/* Made new for each command: nothing of the worker's own is in it. */
static char **environment(const struct exec_config *config, const struct lh_job_info *job)
{
	size_t n = 0;
	char **env;

	while (config->variables[n])
		n++;
	env = mem_zalloc((n + 16) * sizeof(*env));
	env_put_known(env, "PATH", PATH_DEFAULT);
	env_put_known(env, "HOME", config->home);
	env_put_known(env, "LANG", "C.UTF-8");
	for (n = 0; config->variables[n]; n++)
		env_put(env, mem_strdup(config->variables[n]));
	if (job)
		put_job(env, job);
	return env;
}

static bool set_limit(int resource, int64_t value)
{
	/* at the soft limit of processor time comes SIGXCPU: it says more than SIGKILL */
	struct rlimit limit = { (rlim_t)value, (rlim_t)value + (resource == RLIMIT_CPU) };

	return value == 0 || setrlimit(resource, &limit) == 0;
}

static void default_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;
	int signo;

	for (signo = 1; signo < NSIG; signo++)
		sigaction(signo, &sa, NULL); /* fails for those that can't be changed */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Gives the ends of the pipes the numbers 0 to 3 and closes all others; *report becomes 4. */
static const char *take_descriptors(const int ends[4], int *report)
{
	int high[5], i;

	for (i = 0; i < 5; i++) {
		high[i] = fcntl(i < 4 ? ends[i] : *report, F_DUPFD, FIRST_FREE);
		if (high[i] < 0)
			return "descriptors";
	}
	for (i = 0; i < 5; i++)
		if (dup3(high[i], i, i < 4 ? 0 : O_CLOEXEC) < 0)
			return "descriptors";
	*report = 4;
	return close_range(5, ~0U, 0) == 0 ? NULL : "descriptors";
}

/* In the child. Only calls that are safe after fork. Returns what failed, with errno. */
static const char *become(const struct exec_config *c, char **env, const int ends[4], int *report,
			  pid_t parent)
{
	const char *failed = take_descriptors(ends, report);

	if (failed)
		return failed;
	default_signals();
	if (setpgid(0, 0) != 0)
		return "process group";
	if (!set_limit(RLIMIT_AS, c->rlimit_as) || !set_limit(RLIMIT_CPU, c->rlimit_cpu_s) ||
	    !set_limit(RLIMIT_NOFILE, c->rlimit_nofile) ||
	    !set_limit(RLIMIT_FSIZE, c->rlimit_fsize))
		return "limits";
	if (c->switch_user &&
	    (setgroups((size_t)c->n_groups, c->groups) != 0 ||
	     setresgid(c->gid, c->gid, c->gid) != 0 || setresuid(c->uid, c->uid, c->uid) != 0))
		return "user";
	/* a changed user would take this back */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		return "parent";
	if (chdir(c->directory) != 0)
		return "directory";
	execve(c->argv[0], c->argv, env);
	return "command";
}

static _Noreturn void run_child(const struct exec_config *c, char **env, const int ends[4],
				int report, pid_t parent)
{
	struct spawn_error e;
	const char *failed = become(c, env, ends, &report, parent);

	e.error = errno;
	strncpy(e.what, failed, sizeof(e.what) - 1);
	e.what[sizeof(e.what) - 1] = '\0';
	if (write(report, &e, sizeof(e)) < 0)
		_exit(126);
	_exit(127);
}

static void close_pipes(int (*pipes)[2], int n)
{
	while (n-- > 0) {
		close(pipes[n][0]);
		close(pipes[n][1]);
	}
}

static bool make_pipes(int (*pipes)[2], int n)
{
	int i;

	for (i = 0; i < n; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) != 0) {
			close_pipes(pipes, i);
			return false;
		}
	}
	return true;
}

/* Waits for exec, or for the child's report that it failed. */
static bool exec_succeeded(int report, pid_t pid, const char **failed)
{
	static struct spawn_error e;
	ssize_t n;

	do
		n = read(report, &e, sizeof(e));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return true;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	*failed = n == sizeof(e) ? e.what : "start";
	errno = n == sizeof(e) ? e.error : EIO;
	return false;
}

static int unblocked(int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

bool exec_spawn(const struct exec_config *config, const struct lh_job_info *job,
		struct exec_child *child, const char **failed)
{
	enum { IN, OUT, ERR, PROGRESS, REPORT, PIPES };
	int pipes[PIPES][2], error;
	char **env;
	pid_t parent = getpid();

	*failed = "pipes";
	if (!make_pipes(pipes, PIPES))
		return false;
	env = environment(config, job);
	child->pid = fork();
	if (child->pid == 0)
		run_child(
			config, env,
			(int[4]){ pipes[IN][0], pipes[OUT][1], pipes[ERR][1], pipes[PROGRESS][1] },
			pipes[REPORT][1], parent);
	error = errno;
	words_free(env);
	close(pipes[IN][0]);
	close(pipes[OUT][1]);
	close(pipes[ERR][1]);
	close(pipes[PROGRESS][1]);
	close(pipes[REPORT][1]);
	child->in = unblocked(pipes[IN][1]);
	child->out = unblocked(pipes[OUT][0]);
	child->err = unblocked(pipes[ERR][0]);
	child->progress = unblocked(pipes[PROGRESS][0]);
	*failed = "fork";
	errno = error;
	if (child->pid > 0 && exec_succeeded(pipes[REPORT][0], child->pid, failed)) {
		close(pipes[REPORT][0]);
		child->pidfd = pidfd_open(child->pid, 0);
		return true;
	}
	error = errno;
	close(child->in);
	close(child->out);
	close(child->err);
	close(child->progress);
	close(pipes[REPORT][0]);
	errno = error;
	return false;
}
