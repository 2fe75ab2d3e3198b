/*
 * commands.c: the table of subcommands.
 */
#include "admin/command.h"

#include <string.h>

/* clang-format off */
#define WORD(name, help) { ARG_WORD, name, NULL, help }
#define MAY(name, help) { ARG_MAY, name, NULL, help }
#define VALUE(name, def, help) { ARG_VALUE, name, def, help }
#define FLAG(name, help) { ARG_FLAG, name, "false", help }
#define FIXED(value) { ARG_FIXED, NULL, value, NULL }
#define SETTINGS(help) { ARG_SETTINGS, "SETTING=VALUE", NULL, help }

const struct command commands[] = {
	{ .words = "status", .sql = "SELECT longhaul.admin_status()",
	  .summary = "how it all stands: schema, partitions, hosts, types, and what is wrong" },
	{ .words = "migrate", .run = run_migrate, .changes = true,
	  .summary = "make the schema, or bring it up to date",
	  .more = "Calls longhaul-migrate. The role needs CREATE on the database and, the first time, CREATEROLE. "
		  "Doing it twice does nothing." },

	{ .words = "client list", .sql = "SELECT longhaul.admin_clients()",
	  .summary = "clients that have API keys" },
	{ .words = "client create", .sql = "SELECT longhaul.admin_client_create($1, $2)", .changes = true,
	  .summary = "enter a client, for key create",
	  .args = { WORD("CLIENT", "its name, as it stands in job.client"), VALUE("note", "", "for people") } },
	{ .words = "client disable", .sql = "SELECT longhaul.admin_client_enable($1, $2)", .changes = true,
	  .summary = "refuse all keys of a client",
	  .more = "API processes notice within ten seconds (api.keys_found_ms). A client that nginx names is not "
		  "touched: that is for nginx to refuse.",
	  .args = { WORD("CLIENT", "whose keys"), FIXED("false") } },
	{ .words = "client enable", .sql = "SELECT longhaul.admin_client_enable($1, $2)", .changes = true,
	  .summary = "accept its keys again, but for those that were revoked",
	  .args = { WORD("CLIENT", "whose keys"), FIXED("true") } },

	{ .words = "key list", .sql = "SELECT longhaul.admin_keys($1)",
	  .summary = "API keys: whose, since when, revoked or not",
	  .args = { MAY("CLIENT", "of this client only") } },
	{ .words = "key create", .sql = "SELECT longhaul.admin_key_create($1, $2)", .changes = true,
	  .summary = "make an API key, and show it this once",
	  .note = "The key is shown this once: only its SHA-256 is stored.",
	  .args = { WORD("CLIENT", "who its bearer is"), VALUE("label", "", "which of the client's keys this is") } },
	{ .words = "key revoke", .sql = "SELECT longhaul.admin_key_revoke($1)", .changes = true, .destroys = true,
	  .summary = "refuse a key from now on, for good",
	  .more = "API processes notice within ten seconds (api.keys_found_ms).",
	  .args = { WORD("KEY-ID", "as key list shows it") } },

	{ .words = "type list", .sql = "SELECT longhaul.admin_types()", .summary = "job types" },
	{ .words = "type show", .sql = "SELECT longhaul.admin_type($1)",
	  .summary = "a job type with all its settings, and what they mean",
	  .args = { WORD("TYPE", "its name") } },
	{ .words = "type add", .sql = "SELECT longhaul.admin_type_add($1, $2)", .changes = true,
	  .summary = "make a job type",
	  .more = "Without submit_path and collection they are made of the name: texts.sort is submitted at "
		  "/v1/texts/sort, its jobs are found under /v1/sort-jobs. How it is run stands in the workers' "
		  "configuration: [type NAME].",
	  .args = { WORD("TYPE", "its name"), SETTINGS("as type show lists them; lists with commas: media_types=text/plain,text/csv") } },
	{ .words = "type set", .sql = "SELECT longhaul.admin_type_set($1, $2)", .changes = true,
	  .summary = "change settings of a job type, and say when that takes effect",
	  .args = { WORD("TYPE", "its name"), SETTINGS("as type show lists them; none takes a limit away: max_running=none") } },
	{ .words = "type remove", .sql = "SELECT longhaul.admin_type_remove($1)", .changes = true, .destroys = true,
	  .summary = "remove a job type of which there are no jobs any more",
	  .args = { WORD("TYPE", "its name") } },
	{ .words = "pause", .sql = "SELECT longhaul.admin_pause($1, $2)", .changes = true,
	  .summary = "claim no more jobs of a type; they are accepted, and wait",
	  .args = { WORD("TYPE", "its name"), VALUE("reason", NULL, "for people; status shows it") } },
	{ .words = "resume", .sql = "SELECT longhaul.admin_resume($1)", .changes = true,
	  .summary = "claim jobs of a paused type again",
	  .args = { WORD("TYPE", "its name") } },

	{ .words = "host list", .sql = "SELECT longhaul.admin_hosts($1)", .summary = "worker daemons, and what they serve",
	  .args = { FLAG("all", "also those that have ended") } },
	{ .words = "host drain", .sql = "SELECT longhaul.admin_host_drain($1, $2)", .changes = true,
	  .summary = "have a host finish what it runs and claim no more",
	  .more = "It stays so, also over a restart of its worker, until host resume. host list shows when it holds no "
		  "jobs any more.",
	  .args = { WORD("HOST", "its name, as host list shows it"), VALUE("reason", "", "for people") } },
	{ .words = "host resume", .sql = "SELECT longhaul.admin_host_resume($1)", .changes = true,
	  .summary = "have a drained host claim jobs again", .args = { WORD("HOST", "its name") } },
	{ .words = "host release", .sql = "SELECT longhaul.admin_host_release($1, $2)", .changes = true, .destroys = true,
	  .summary = "put the jobs of a dead host back into the queue, now rather than when its lease has run out",
	  .args = { WORD("HOST", "its name"), FLAG("alive", "also if its worker is alive: it hangs, say") } },

	{ .words = "job list", .sql = "SELECT longhaul.admin_jobs($1, $2, $3, $4, $5)", .summary = "the newest jobs",
	  .args = { VALUE("type", NULL, "of this type"), VALUE("client", NULL, "of this client"),
		    VALUE("status", NULL, "Queued, InProgress, Completed, Failed or Canceled"),
		    VALUE("limit", "20", "how many, 10000 at most"), VALUE("days", "7", "how far back") } },
	{ .words = "job show", .sql = "SELECT longhaul.admin_job($1)", .summary = "one job, of any client",
	  .args = { WORD("JOB", "its id") } },
	{ .words = "job cancel", .sql = "SELECT longhaul.admin_job_cancel($1)", .changes = true,
	  .summary = "cancel a job: at once if it waits, else its worker is told",
	  .args = { WORD("JOB", "its id") } },
	{ .words = "job retry", .sql = "SELECT longhaul.admin_job_retry($1)", .changes = true,
	  .summary = "queue a Failed or Canceled job again", .args = { WORD("JOB", "its id") } },
	{ .words = "job cancel-all", .sql = "SELECT longhaul.admin_jobs_cancel($1, $2, $3)", .changes = true, .destroys = true,
	  .summary = "cancel what waits of a type, a client or both; what runs goes on",
	  .args = { VALUE("type", NULL, "of this type"), VALUE("client", NULL, "of this client"),
		    VALUE("limit", "1000", "how many at most, in one transaction") } },
	{ .words = "job retry-all", .sql = "SELECT longhaul.admin_jobs_retry($1, $2, $3, $4, $5)", .changes = true, .destroys = true,
	  .summary = "queue jobs again that have failed lately",
	  .args = { VALUE("type", NULL, "of this type"), VALUE("client", NULL, "of this client"),
		    VALUE("error", NULL, "whose problem matches this regular expression"),
		    VALUE("since", "1 day", "how long ago they failed at most: \"2 hours\""),
		    VALUE("limit", "1000", "how many at most, in one transaction") } },
	{ .words = "purge", .run = run_purge, .changes = true, .destroys = true,
	  .sql = "SELECT longhaul.admin_purge($1, $2, $3, $4, $5, $6)",
	  .summary = "remove ended jobs, with inputs and results, before their retention has run out",
	  .args = { VALUE("older-than", NULL, "that ended longer ago than this: \"30 days\"; must be given"),
		    VALUE("client", NULL, "of this client"), VALUE("type", NULL, "of this type"),
		    VALUE("status", NULL, "Completed, Failed or Canceled"), FIXED("true"), FIXED(NULL) } },

	{ .words = "schedule list", .sql = "SELECT longhaul.admin_schedules()",
	  .summary = "recurring jobs: when next, when last, what became of that one" },
	{ .words = "schedule pause", .sql = "SELECT longhaul.admin_schedule_enable($1, $2)", .changes = true,
	  .summary = "make no more jobs of a schedule; nothing is made up for later",
	  .args = { WORD("SCHEDULE", "its name"), FIXED("false") } },
	{ .words = "schedule resume", .sql = "SELECT longhaul.admin_schedule_enable($1, $2)", .changes = true,
	  .summary = "make its jobs again", .args = { WORD("SCHEDULE", "its name"), FIXED("true") } },

	{ .words = "audit", .sql = "SELECT longhaul.admin_audit($1)", .summary = "who did what by hand, the newest first",
	  .args = { VALUE("limit", "20", "how many, 10000 at most") } },
};
/* clang-format on */

const size_t n_commands = sizeof(commands) / sizeof(commands[0]);

const char *call_value(const struct call *call, const char *name)
{
	for (size_t i = 0; i < ARGS_MAX; i++) {
		const char *known = call->command->args[i].name;

		if (known && strcmp(known, name) == 0)
			return call->values[i];
	}
	return NULL;
}
