/*
 * migrate.c: calls longhaul-migrate, which is where migrations are applied.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/admin.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"

/* The script beside this program; the caller frees. */
static char *script_path(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		return mem_strdup("longhaul-migrate");
	path[n] = '\0';
	slash = strrchr(path, '/');
	return mem_printf("%.*s/longhaul-migrate", slash ? (int)(slash - path) : 0, path);
}

/* Runs the script and gathers what it says on both of its outputs. Returns its exit code, -1 if it could not be started. */
static int run_script(const char *path, bool dry, struct buf *out, struct buf *err)
{
	struct {
		struct buf *to;
		int ends[2];
	} pipes[] = { { out, { -1, -1 } }, { err, { -1, -1 } } };
	char data[4096];
	int status = 0;
	ssize_t n;
	pid_t pid;

	if (pipe(pipes[0].ends) != 0 || pipe(pipes[1].ends) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		dup2(pipes[0].ends[1], STDOUT_FILENO);
		dup2(pipes[1].ends[1], STDERR_FILENO);
		close_range(3, ~0U, 0);
		execl(path, path, dry ? "-n" : (char *)NULL, (char *)NULL);
		_exit(127);
	}
	for (size_t i = 0; i < 2; i++)
		close(pipes[i].ends[1]);
	/* One after the other: it says a line a migration, far less than a pipe holds. */
	for (size_t i = 0; i < 2; i++) {
		while ((n = read(pipes[i].ends[0], data, sizeof(data))) > 0 ||
		       (n < 0 && errno == EINTR))
			buf_add(pipes[i].to, data, n > 0 ? (size_t)n : 0);
		close(pipes[i].ends[0]);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) == 127)
		return -1;
	return WEXITSTATUS(status);
}

/* psql says why it can't connect in words only. */
static int code_of(const char *said)
{
	return strstr(said, "connection to server") || strstr(said, "could not translate host name")
		       ? ADMIN_UNREACHABLE
		       : ADMIN_DATABASE;
}

int run_migrate(struct call *call)
{
	struct json_object *o = json_object_new_object(), *applied = json_object_new_array();
	struct buf out = { 0 }, err = { 0 };
	struct failure why = { .code = ADMIN_INTERNAL };
	char *path = script_path(), *line, *rest;
	int rc = run_script(path, call->dry_run, &out, &err);

	json_object_object_add(o, call->dry_run ? "wouldApply" : "applied", applied);
	buf_adds(&out, "");
	for (line = strtok_r(out.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		json_object_array_add(applied, json_object_new_string(line));
	if (rc == 0) {
		admin_print(call, o);
	} else {
		why.code = rc < 0 ? ADMIN_INTERNAL : code_of(err.data ? err.data : "");
		snprintf(why.message, sizeof(why.message), "%s%s", rc < 0 ? "can't run " : "",
			 rc < 0     ? path
			 : err.data ? err.data
				    : "longhaul-migrate failed");
		rc = admin_fail(call, &why);
	}
	json_object_put(o);
	buf_free(&out);
	buf_free(&err);
	free(path);
	return rc;
}
