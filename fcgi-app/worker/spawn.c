/*
 * spawn.c: fork and exec of runners and of the courier.
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
#include "common/service.h"

/* The environment for runners, made once: ours without the database's PG*, COUNT_FILE, and what the
 * service manager says to the daemon alone. */
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
		    strncmp(environ[i], "COUNT_FILE=", 11) != 0 && !service_is_private(environ[i]))
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

/* The environment for the courier, made once: what may matter to libraries, and nothing that would send its
 * posts elsewhere (proxies) or write down its keys. */
static char **courier_environment(void)
{
	static const char *const kept[] = {
		"PATH=",         "LANG=",         "LC_ALL=",        "TZ=",
		"ASAN_OPTIONS=", "LSAN_OPTIONS=", "UBSAN_OPTIONS=", "JOURNAL_STREAM="
	};
	static char *env[sizeof(kept) / sizeof(kept[0]) + 1];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		for (char **e = environ; *e; e++)
			if (!strncmp(*e, kept[i], strlen(kept[i]))) {
				env[n++] = *e;
				break;
			}
	env[n] = NULL;
	return env;
}

/* What a child is to be. */
struct child {
	const char *path, *name, *word; /* word may be NULL */
	char **env;
	int sock, page_fd; /* page_fd -1 = none */
	int program;       /* descriptor of the path, as it was when first started; -1 = none */
};

/* The file at the path when this is first called: after an upgrade the daemon goes on with helpers that speak
 * as it does. */
static int program_open(const char *path, int *fd)
{
	if (*fd < 0)
		*fd = open(path, O_PATH | O_CLOEXEC);
	return *fd;
}

/* In the child: sets up its world and becomes the program. Doesn't return. */
static _Noreturn void become(const struct child *child, pid_t parent)
{
	char *argv[] = { (char *)child->name, (char *)child->word, NULL };
	struct sigaction sa = { .sa_handler = SIG_DFL };
	int null, sock, page_fd = -1, last = WIRE_FD_SOCKET;
	sigset_t none;

	setsid();
	prctl(PR_SET_PDEATHSIG, WIRE_ORPHANED);
	if (getppid() != parent) /* it died before that line */
		_exit(1);
	sigaction(SIGPIPE, &sa, NULL);
	sigaction(SIGXFSZ, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Out of the way of the numbers that they are to get. */
	sock = fcntl(child->sock, F_DUPFD, 10);
	if (child->page_fd >= 0) {
		page_fd = fcntl(child->page_fd, F_DUPFD, 10);
		last = WIRE_FD_PAGE;
	}
	null = open("/dev/null", O_RDWR);
	if (sock < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(sock, WIRE_FD_SOCKET) < 0 ||
	    (last == WIRE_FD_PAGE && (page_fd < 0 || dup2(page_fd, WIRE_FD_PAGE) < 0)))
		_exit(1);
	close_range((unsigned int)last + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	execveat(child->program, "", argv, child->env, AT_EMPTY_PATH);
	execve(child->path, argv, child->env);
	_exit(127);
}

/* Forks the child with a socket pair of whose ends we get *fd, non-blocking. False and logged if it can't. */
static bool start(struct child *child, pid_t *pid, int *fd)
{
	pid_t parent = getpid();
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0) {
		log_error("cannot make a socket pair for %s: %s", child->name, strerror(errno));
		return false;
	}
	child->sock = sv[1];
	*pid = fork();
	if (*pid == 0)
		become(child, parent);
	close(sv[1]);
	if (*pid < 0) {
		log_error("cannot fork %s: %s", child->name, strerror(errno));
		close(sv[0]);
		return false;
	}
	*fd = sv[0];
	fcntl(*fd, F_SETFL, O_NONBLOCK);
	return true;
}

bool spawn_courier(const char *path, pid_t *pid, int *fd)
{
	static int program = -1;
	struct child child = {
		.path = path,
		.program = program_open(path, &program),
		.name = "longhaul-courier",
		.env = courier_environment(),
		.page_fd = -1,
	};

	if (start(&child, pid, fd))
		return true;
	*pid = 0;
	*fd = -1;
	return false;
}

bool spawn_runner(const char *path, const char *type, struct spawned *out)
{
	static int program = -1;
	struct child child = {
		.path = path,
		.program = program_open(path, &program),
		.name = "longhaul-runner",
		.word = type,
		.env = runner_environment(),
	};
	bool started;

	child.page_fd = page_create(&out->page);
	if (child.page_fd < 0) {
		log_error("cannot make shared memory for a runner: %s", strerror(errno));
		return false;
	}
	started = start(&child, &out->pid, &out->fd);
	close(child.page_fd);
	if (!started)
		munmap(out->page, sizeof(*out->page));
	return started;
}
