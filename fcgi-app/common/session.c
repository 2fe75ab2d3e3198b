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
#include <unistd.h>

#define PASSES 4 /* a process may fork while we look */

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

/* True if the process is of that session, and no zombie. */
static bool is_member(int proc, const char *name, pid_t sid)
{
	char path[32] = "", text[600];
	const char *p;
	ssize_t n;
	int fd;

	if (strlen(name) > 20)
		return false;
	strcpy(path, name);
	strcat(path, "/stat");
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* pid (name) state parent group session …: the name may hold anything, also parentheses. */
	p = strrchr(text, ')');
	return p && p[1] == ' ' && p[2] != 'Z' && field(p, 4) == sid;
}

/* Goes through /proc once. Returns how many were killed. */
static int pass(int proc, pid_t sid, pid_t except)
{
	_Alignas(struct entry) char data[2048];
	int killed = 0;
	long n;

	lseek(proc, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, proc, data, sizeof(data))) > 0) {
		for (long at = 0; at < n;) {
			const struct entry *e = (const struct entry *)(const void *)(data + at);
			pid_t pid = number(e->name);

			if (pid > 1 && pid != except && is_member(proc, e->name, sid) &&
			    kill(pid, SIGKILL) == 0)
				killed++;
			at += e->size;
		}
	}
	return killed;
}

int session_kill(pid_t sid, pid_t except)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), total = 0, killed;

	if (proc < 0)
		return 0;
	for (int i = 0; i < PASSES; i++) {
		killed = pass(proc, sid, except);
		total += killed;
		if (killed == 0)
			break;
	}
	close(proc);
	return total;
}
