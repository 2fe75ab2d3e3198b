/*
 * session.c: finds the members of a session in /proc.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PASSES 4        /* a process may fork while we look */
#define END_PASSES 2000 /* a millisecond each */

/* As the kernel fills it in; the C library's readdir() allocates. */
struct entry {
	unsigned long long inode;
	long long offset;
	unsigned short size;
	unsigned char type;
	char name[];
};

/* A decimal number that is all of the text; -1 if it is something else. */
static pid_t number(const char *s)
{
	long n = 0;

	if (*s == '\0')
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || n > 100000000)
			return -1;
		n = 10 * n + (*s - '0');
	}
	return (pid_t)n;
}

/* The number behind `fields` blanks; moves nothing. */
static pid_t field(const char *s, int fields)
{
	long n = 0;

	while (fields > 0 && *s)
		if (*s++ == ' ')
			fields--;
	while (*s >= '0' && *s <= '9')
		n = 10 * n + (*s++ - '0');
	return (pid_t)n;
}

/* What /proc says about a process; all zero if it is gone or a zombie. */
struct process {
	pid_t parent, session;
};

static struct process look(int proc, const char *name)
{
	char path[32] = "", text[600];
	struct process none = { 0, 0 };
	const char *p;
	ssize_t n;
	int fd;

	if (strlen(name) > 20)
		return none;
	strcpy(path, name);
	strcat(path, "/stat");
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return none;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return none;
	text[n] = '\0';
	/* pid (name) state parent group session …: the name may hold anything, also parentheses. */
	p = strrchr(text, ')');
	if (!p || p[1] != ' ' || p[2] == 'Z')
		return none;
	return (struct process){ .parent = field(p, 2), .session = field(p, 4) };
}

/* Whom to kill: the members of a session but one, or the children of a process that aren't spared. */
struct victims {
	pid_t session, except;
	pid_t parent;
	bool (*spared)(pid_t pid);
};

static bool is_victim(const struct victims *v, pid_t pid, const struct process *p)
{
	if (v->parent != 0)
		return p->parent == v->parent && !(v->spared && v->spared(pid));
	return p->session == v->session && pid != v->except;
}

/* Goes through /proc once. Returns how many were killed. */
static int pass(int proc, const struct victims *v)
{
	_Alignas(struct entry) char data[2048];
	int killed = 0;
	long n;

	lseek(proc, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, proc, data, sizeof(data))) > 0) {
		for (long at = 0; at < n;) {
			const struct entry *e = (const struct entry *)(const void *)(data + at);
			pid_t pid = number(e->name);

			at += e->size;
			if (pid > 1) {
				struct process p = look(proc, e->name);

				if (is_victim(v, pid, &p) && kill(pid, SIGKILL) == 0)
					killed++;
			}
		}
	}
	return killed;
}

int session_kill(pid_t sid, pid_t except)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), total = 0, killed;
	struct victims v = { .session = sid, .except = except };

	if (proc < 0)
		return 0;
	for (int i = 0; i < PASSES; i++) {
		killed = pass(proc, &v);
		total += killed;
		if (killed == 0)
			break;
	}
	close(proc);
	return total;
}

int children_kill(bool (*spared)(pid_t pid))
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), killed;
	struct victims v = { .parent = getpid(), .spared = spared };

	if (proc < 0)
		return 0;
	killed = pass(proc, &v);
	close(proc);
	return killed;
}

bool children_end(void)
{
	struct timespec moment = { .tv_nsec = 1000000 };

	for (int i = 0; i < END_PASSES; i++) {
		pid_t pid;

		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0 && errno == ECHILD)
			return true;
		children_kill(NULL);
		nanosleep(&moment, NULL);
	}
	return false;
}
