/*
 * check.c: asks handlers whether their settings are right.
 */
#include "check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"
#include "type.h"

static bool check_on = true;

void check_handlers(bool on)
{
	check_on = on;
}

/* A program in the folder of this one. The caller frees; NULL if that isn't known. */
static char *beside_us(const char *name)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	slash = strrchr(path, '/');
	return slash ? mem_printf("%.*s/%s", (int)(slash - path), path, name) : NULL;
}

static char *program_path(const char *configured, const char *name)
{
	char *path;

	if (*configured)
		return mem_strdup(configured);
	path = beside_us(name);
	if (path && access(path, X_OK) == 0)
		return path;
	free(path);
	return mem_printf(LONGHAUL_LIBEXECDIR "/%s", name);
}

char *runner_path(void)
{
	return program_path(config.runner, "longhaul-runner");
}

char *courier_path(void)
{
	return program_path(config.webhook.courier, "longhaul-courier");
}

/* Writes the settings to the child and reads what it has to say. */
static void converse(const struct buf *settings, int to, int from, char *answer, size_t size)
{
	size_t n = 0, at = 0;
	ssize_t got;

	while (at < settings->len) {
		got = write(to, settings->data + at, settings->len - at);
		if (got <= 0)
			break;
		at += (size_t)got;
	}
	close(to);
	while (n + 1 < size &&
	       ((got = read(from, answer + n, size - n - 1)) > 0 || (got < 0 && errno == EINTR)))
		n += got > 0 ? (size_t)got : 0;
	answer[n] = '\0';
	answer[strcspn(answer, "\n")] = '\0';
	close(from);
}

static _Noreturn void become_checker(const char *path, const char *handler, int in, int out)
{
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(0);
	close_range(3, ~0U, 0);
	execl(path, "longhaul-runner", "-t", handler, (char *)NULL);
	_exit(0);
}

bool check_handler(const struct type *t, char *err, size_t errsize)
{
	char *path = runner_path(), answer[500] = "";
	int to[2], from[2], status = 0;
	pid_t pid;

	if (!check_on || access(path, X_OK) != 0 || pipe(to) != 0) {
		free(path);
		return true;
	}
	if (pipe(from) != 0) {
		close(to[0]);
		close(to[1]);
		free(path);
		return true;
	}
	pid = fork();
	if (pid == 0)
		become_checker(path, t->cfg.handler, to[0], from[1]);
	close(to[0]);
	close(from[1]);
	converse(&t->settings, to[1], from[0], answer, sizeof(answer));
	free(path);
	if (pid < 0 || waitpid(pid, &status, 0) != pid ||
	    (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return true;
	snprintf(err, errsize, "%s", *answer ? answer : "its handler refuses the settings");
	return false;
}
