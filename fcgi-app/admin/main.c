/*
 * main.c: longhaul-admin: what operators do by hand, from a shell.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/args.h"
#include "admin/pg.h"
#include "admin/show.h"
#include "common/config.h"
#include "common/json.h"

static struct database_config database;
static const struct opt_group groups[] = { OPT_GROUP(database_opts, &database) };
static const char *const foreign[] = { "api", "worker", "log", "webhook", "type", NULL };
static const struct program program = {
	.name = "longhaul-admin",
	.groups = groups,
	.n_groups = 1,
	.foreign = foreign,
};

void admin_print(const struct call *call, struct json_object *value)
{
	if (call->json)
		printf("%s\n", json_text(value, NULL));
	else
		show(stdout, value);
}

int admin_fail(const struct call *call, const struct failure *why)
{
	struct json_object *error, *all;

	if (!call->json) {
		fprintf(stderr, "longhaul-admin: %s\n", why->message);
		if (*why->hint)
			fprintf(stderr, "%s\n", why->hint);
		return why->code;
	}
	all = json_object_new_object();
	error = json_object_new_object();
	json_object_object_add(all, "error", error);
	json_add_int(error, "code", why->code);
	json_add_str(error, "sqlstate", *why->sqlstate ? why->sqlstate : NULL);
	json_add_str(error, "message", why->message);
	json_add_str(error, "hint", *why->hint ? why->hint : NULL);
	printf("%s\n", json_text(all, NULL));
	json_object_put(all);
	return why->code;
}

int admin_confirm(const struct call *call, struct json_object *preview)
{
	char answer[16] = "";

	if (call->yes)
		return ADMIN_OK;
	if (call->json || !isatty(STDIN_FILENO)) {
		struct failure why = {
			.code = ADMIN_USAGE,
			.message =
				"this can't be undone, and nobody can be asked: nothing was done",
			.hint = "--yes does it; --dry-run shows what would be done."
		};
		return admin_fail(call, &why);
	}
	fprintf(stderr, "This can't be undone. It would be:\n\n");
	show(stderr, preview);
	fprintf(stderr, "\nDo it? [y/N] ");
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return ADMIN_OK;
	fprintf(stderr, "Nothing was done.\n");
	return ADMIN_USAGE;
}

static size_t count_args(const struct command *c)
{
	size_t n = 0;

	while (n < ARGS_MAX && (c->args[n].name || c->args[n].kind == ARG_FIXED))
		n++;
	return n;
}

bool admin_call(const struct call *call, bool undo, struct json_object **out, struct failure *why)
{
	return pg_call(call->command->sql, count_args(call->command),
		       (const char *const *)call->values, undo, out, why);
}

static int run_sql(struct call *call)
{
	const struct command *c = call->command;
	struct json_object *result;
	struct failure why;
	int rc;

	if (c->destroys && !call->dry_run && !call->yes) {
		if (!admin_call(call, true, &result, &why))
			return admin_fail(call, &why);
		rc = admin_confirm(call, result);
		json_object_put(result);
		if (rc != ADMIN_OK)
			return rc;
	}
	if (!admin_call(call, call->dry_run, &result, &why))
		return admin_fail(call, &why);
	admin_print(call, result);
	json_object_put(result);
	if (call->dry_run && !call->json)
		fprintf(stderr, "A dry run: nothing was changed.\n");
	else if (c->note && !call->json)
		fprintf(stderr, "%s\n", c->note);
	return ADMIN_OK;
}

/* What the configuration file says of the database. False, said, if it is wrong. */
static bool load_config(const struct call *call, const char *path)
{
	struct cmdline cl = { .config_path = path };
	struct buf errors = { 0 };
	struct failure why = { .code = ADMIN_USAGE };
	bool good = config_load(&program, &cl, &errors);

	if (!good && errors.data) {
		errors.data[strcspn(errors.data, "\n")] = '\0';
		snprintf(why.message, sizeof(why.message), "%s", errors.data);
		admin_fail(call, &why);
	}
	buf_free(&errors);
	return good;
}

int main(int argc, char **argv)
{
	struct globals globals;
	struct failure why;
	struct call call;
	int rc = ADMIN_USAGE;
	bool good = args_parse(argc, argv, &globals, &call, &rc);

	if (good && !load_config(&call, globals.config_path)) {
		good = false;
		rc = ADMIN_USAGE;
	}
	if (good && call.command->run == run_migrate)
		good = pg_export(database.conninfo, globals.conninfo, &why);
	else if (good)
		good = pg_connect(database.conninfo, globals.conninfo, &why);
	else
		goto out;
	if (good)
		rc = call.command->run ? call.command->run(&call) : run_sql(&call);
	else
		rc = admin_fail(&call, &why);
out:
	pg_close();
	args_free(&call);
	config_free(&program);
	if (fflush(stdout) != 0 && rc == ADMIN_OK)
		rc = ADMIN_INTERNAL;
	return rc;
}
