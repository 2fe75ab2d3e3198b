/*
 * exec_config.c: the settings of an exec type.
 */
#include "exec.h"
#include "handlers.h"

#include "common/mem.h"
#include "common/options.h"
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 64

bool handlers_check_only;

#define STR(key, def, help) OPT_STR("type", #key, struct exec_config, key, def, help)
#define NUM(key, def, max, help) OPT_NUM("type", #key, struct exec_config, key, def, 0, max, help)
#define BYTES(key, help) OPT_BYTES("type", #key, struct exec_config, key, "0", 0, INT64_MAX, help)

const struct opt exec_options[EXEC_OPTIONS] = {
	STR(command, "",
	    "The program, by its whole path, and its arguments. Quotes group; there is no shell."),
	STR(environment, "", "Variables to add or replace: A=b C='d e'."),
	STR(directory, "/", "Directory to run in."),
	STR(user, "", "User to run as, if the worker runs as root."),
	STR(result_type, "application/octet-stream",
	    "Media type of what the command writes to stdout."),
	OPT_YES_NO(
		"type", "show_stderr", struct exec_config, show_stderr, "no",
		"Shows the client of a failed job the last lines that the command wrote to stderr."),
	NUM(grace_ms, "5000", 3600 * 1000, "Time between SIGTERM and SIGKILL."),
	NUM(rlimit_cpu_s, "0", INT_MAX,
	    "Seconds of processor time of each process; 0 = as the worker's."),
	NUM(rlimit_nofile, "0", 1 << 20, "Open descriptors of each process."),
	BYTES(rlimit_as, "Address space of each process."),
	BYTES(rlimit_fsize, "Size of a file that it writes."),
};

/* NAME=value, and not one of the names that tell the command about its job. */
static bool variable_ok(const char *v)
{
	size_t len = strcspn(v, "="), i;

	if (len == 0 || !v[len] || isdigit((unsigned char)*v) || strncmp(v, "LONGHAUL_", 9) == 0)
		return false;
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)v[i]) && v[i] != '_')
			return false;
	return true;
}

static char *read_words(struct exec_config *c)
{
	const char *why;
	int i;

	c->argv = words_split(c->command, &why);
	if (!c->argv)
		return mem_printf("command: %s", why);
	if (!c->argv[0] || c->argv[0][0] != '/')
		return mem_strdup("command: must begin with a program's whole path");
	c->variables = words_split(c->environment, &why);
	if (!c->variables)
		return mem_printf("environment: %s", why);
	for (i = 0; c->variables[i]; i++)
		if (!variable_ok(c->variables[i]))
			return mem_printf(
				"environment: neither NAME=value nor free to choose: \"%.60s\"",
				c->variables[i]);
	return NULL;
}

/* Looks for the program, as far as that can be known before it is run: there are users whom it would refuse. */
static char *look_for_command(const struct exec_config *c)
{
	struct stat st;

	if (stat(c->argv[0], &st) != 0)
		return mem_printf("command: \"%.200s\": %s", c->argv[0], strerror(errno));
	if (!S_ISREG(st.st_mode))
		return mem_printf("command: \"%.200s\" is no file", c->argv[0]);
	if (c->switch_user ? !(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH))
			   : access(c->argv[0], X_OK) != 0)
		return mem_printf("command: \"%.200s\" can't be executed", c->argv[0]);
	return NULL;
}

/* Only root may go beyond the hard limit that the worker has. */
static char *check_limits(const struct exec_config *c)
{
	const struct {
		const char *key;
		int resource;
		int64_t value;
	} limits[] = {
		{ "rlimit_as", RLIMIT_AS, c->rlimit_as },
		{ "rlimit_cpu_s", RLIMIT_CPU, c->rlimit_cpu_s ? c->rlimit_cpu_s + 1 : 0 },
		{ "rlimit_nofile", RLIMIT_NOFILE, c->rlimit_nofile },
		{ "rlimit_fsize", RLIMIT_FSIZE, c->rlimit_fsize },
	};
	struct rlimit has;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]) && geteuid() != 0; i++)
		if (getrlimit((__rlimit_resource_t)limits[i].resource, &has) == 0 &&
		    has.rlim_max != RLIM_INFINITY && limits[i].value > (int64_t)has.rlim_max)
			return mem_printf("%s: the worker itself may have %lld at most",
					  limits[i].key, (long long)has.rlim_max);
	if (c->rlimit_nofile > 0 && c->rlimit_nofile < 5)
		return mem_strdup("rlimit_nofile: a command has five descriptors at its start");
	return NULL;
}

static char *read_directory(struct exec_config *c)
{
	struct stat st;

	if (c->directory[0] != '/')
		return mem_strdup("directory: must begin with a slash");
	if (stat(c->directory, &st) != 0)
		return mem_printf("directory: \"%.200s\": %s", c->directory, strerror(errno));
	return S_ISDIR(st.st_mode) ? NULL
				   : mem_printf("directory: \"%.200s\" is none", c->directory);
}

/* Looks the user up now: between fork and exec it would not be safe. */
static char *read_user(struct exec_config *c)
{
	struct passwd *pw = *c->user ? getpwnam(c->user) : getpwuid(geteuid());

	if (*c->user && !pw)
		return mem_printf("user: there is no \"%.60s\"", c->user);
	c->home = mem_strdup(pw && pw->pw_dir && *pw->pw_dir ? pw->pw_dir : "/");
	if (!*c->user || pw->pw_uid == geteuid())
		return NULL;
	if (geteuid() != 0)
		return mem_strdup("user: only root can run commands as another user");
	c->switch_user = true;
	c->uid = pw->pw_uid;
	c->gid = pw->pw_gid;
	c->n_groups = GROUPS_MAX;
	c->groups = mem_alloc(GROUPS_MAX * sizeof(gid_t));
	if (getgrouplist(c->user, c->gid, c->groups, &c->n_groups) < 0)
		return mem_strdup("user: is in too many groups");
	return NULL;
}

/* Returns what is wrong, malloc'ed, or NULL. */
static char *read_settings(struct exec_config *c, const struct lh_settings *settings)
{
	char error[256], *wrong;
	size_t i;

	for (i = 0; i < EXEC_OPTIONS; i++)
		if (!opt_set(&exec_options[i], c,
			     lh_setting(settings, exec_options[i].key, exec_options[i].def), error,
			     sizeof(error)))
			return mem_strdup(error);
	wrong = read_words(c);
	if (!wrong)
		wrong = read_directory(c);
	if (!wrong)
		wrong = read_user(c);
	if (!wrong && handlers_check_only)
		wrong = look_for_command(c);
	return wrong ? wrong : check_limits(c);
}

struct exec_config *exec_config_new(const struct lh_settings *settings, const char **error)
{
	struct exec_config *c = mem_zalloc(sizeof(*c));
	char *wrong = read_settings(c, settings);

	if (!wrong)
		return c;
	*error = wrong;
	exec_config_free(c);
	return NULL;
}

void exec_config_free(struct exec_config *c)
{
	opts_free(exec_options, EXEC_OPTIONS, c);
	words_free(c->argv);
	words_free(c->variables);
	free(c->home);
	free(c->groups);
	free(c);
}
