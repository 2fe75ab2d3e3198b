/*
 * purge.c: removing ended jobs, a thousand a transaction.
 */
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "common/json.h"
#include "common/mem.h"

#define DRY 4 /* the places of these among the arguments */
#define AFTER 5

/* Goes through all jobs, a step a transaction. False, and why, if a step failed: what was done before stays. */
static bool go_through(struct call *call, bool dry, int64_t *jobs, struct failure *why)
{
	struct json_object *step;
	bool more = true;

	*jobs = 0;
	free(call->values[DRY]);
	call->values[DRY] = mem_strdup(dry ? "true" : "false");
	free(call->values[AFTER]);
	call->values[AFTER] = NULL;
	while (more) {
		const char *last;

		if (!admin_call(call, false, &step, why))
			return false;
		*jobs += json_get_int(step, "jobs", 0);
		last = json_get_str(step, "last");
		more = last != NULL;
		free(call->values[AFTER]);
		call->values[AFTER] = last ? mem_strdup(last) : NULL;
		json_object_put(step);
	}
	return true;
}

static struct json_object *result(bool dry, int64_t jobs)
{
	struct json_object *o = json_object_new_object();

	json_add_int(o, dry ? "wouldRemove" : "removed", jobs);
	return o;
}

int run_purge(struct call *call)
{
	struct failure why = { .code = ADMIN_USAGE,
			       .message = "--older-than is missing",
			       .hint = "--older-than \"30 days\"; \"0\" is all that has ended." };
	struct json_object *o;
	int64_t jobs;
	int rc = ADMIN_OK;

	if (!call_value(call, "older-than"))
		return admin_fail(call, &why);
	if (call->dry_run || !call->yes) {
		if (!go_through(call, true, &jobs, &why))
			return admin_fail(call, &why);
		o = result(true, jobs);
		if (call->dry_run)
			admin_print(call, o);
		else
			rc = admin_confirm(call, o);
		json_object_put(o);
		if (call->dry_run || rc != ADMIN_OK)
			return rc;
	}
	if (!go_through(call, false, &jobs, &why))
		return admin_fail(call, &why);
	o = result(false, jobs);
	admin_print(call, o);
	json_object_put(o);
	return ADMIN_OK;
}
