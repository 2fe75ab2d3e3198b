/*
 * spawn.c: fork and exec of runners, and the end of their offspring.
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"

/* The environment for runners, made once: ours without the database's PG* and COUNT_FILE. */
static char **runner_environment(void)
{
	static char **env;
	size_t n = 0, kept = 0;

	if (env)
		return env;
	while (environ[n])
		n++;
	env = mem_alloc((n + 1) * sizeof(*env));
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "PG", 2) != 0 &&
		    strncmp(environ[i], "COUNT_FILE=", 11) != 0)
			env[kept++] = environ[i];
	env[kept] = NULL;
	return env;
}

/* Shared memory that nobody can make smaller under us. Returns its descriptor, or -1. */
static int page_create(struct wire_page **page)
{
	int fd = memfd_create("longhaul", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p;

	if (fd < 0)
		return -1;
	if (ftruncate(fd, sizeof(**page)) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
		p = mmap(NULL, sizeof(**page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED) {
			*page = p;
			return fd;
		}
	}
	close(fd);
	return -1;
}

/* In the child: sets up its world and becomes the runner. Doesn't return. */
static _Noreturn void become(const char *path, const char *type, int sock, int page_fd,
			     pid_t parent)
{
	char *argv[] = { (char *)"longhaul-runner", (char *)type, NULL };
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;
	int null;

	setsid();
	prctl(PR_SET_PDEATHSIG, WIRE_ORPHANED);
	if (getppid() != parent) /* it died before that line */
		_exit(1);
	sigaction(SIGPIPE, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Out of the way of the numbers that they are to get. */
	sock = fcntl(sock, F_DUPFD, 10);
	page_fd = fcntl(page_fd, F_DUPFD, 10);
	null = open("/dev/null", O_RDWR);
	if (sock < 0 || page_fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(sock, WIRE_FD_SOCKET) < 0 || dup2(page_fd, WIRE_FD_PAGE) < 0)
		_exit(1);
	close_range(WIRE_FD_PAGE + 1, ~0U, 0);
	execve(path, argv, runner_environment());
	_exit(127);
}

bool spawn_runner(const char *path, const char *type, struct spawned *out)
{
	int sv[2], page_fd;
	pid_t parent = getpid();

	runner_environment();
	page_fd = page_create(&out->page);
	if (page_fd < 0) {
		log_error("cannot make shared memory for a runner: %s", strerror(errno));
		return false;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0) {
		log_error("cannot make a socket pair for a runner: %s", strerror(errno));
		goto no_socket;
	}
	out->pid = fork();
	if (out->pid == 0)
		become(path, type, sv[1], page_fd, parent);
	if (out->pid < 0) {
		log_error("cannot fork a runner: %s", strerror(errno));
		goto no_fork;
	}
	close(page_fd);
	close(sv[1]);
	out->fd = sv[0];
	fcntl(out->fd, F_SETFL, O_NONBLOCK);
	return true;
no_fork:
	close(sv[0]);
	close(sv[1]);
no_socket:
	munmap(out->page, sizeof(*out->page));
	close(page_fd);
	return false;
}
