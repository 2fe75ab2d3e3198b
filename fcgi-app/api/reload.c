/*
 * reload.c: SIGHUP. Most options are read where they are used, so a new value counts from then on.
 */
#include "api/reload.h"

#include <string.h>

#include "api/settings.h"
#include "common/log.h"

/* What was opened, allocated or started with its option, and texts that requests under way point to: a
 * restart changes them, which nobody notices behind nginx. */
static bool stays_fixed(const struct opt *row)
{
	static const char *const keys[] = { "max_connections", "batch_rows",       "batch_bytes",
					    "queue_max",       "streams",          "tick_ms",
					    "socket_mode",     "types_refresh_ms", NULL };

	if (strcmp(row->section, "api") != 0)
		return strcmp(row->section, "database") == 0;
	for (const char *const *k = keys; *k; k++)
		if (strcmp(row->key, *k) == 0)
			return true;
	return row->type == OPT_STRING;
}

static void take(struct api_config *fresh)
{
	struct buf changed = { 0 }, fixed = { 0 };

	config_take(&api_program, &api_settings, fresh, stays_fixed, &changed, &fixed);
	log_set_level((enum log_level)api_settings.log.level);
	log_info("SIGHUP: options changed: %s", changed.len > 0 ? changed.data : "none");
	if (fixed.len > 0)
		log_warning("options that take a restart to change, unchanged for now: %s",
			    fixed.data);
	buf_free(&changed);
	buf_free(&fixed);
}

static void refuse(const struct buf *errors)
{
	for (const char *line = errors->data; line && *line;) {
		int n = (int)strcspn(line, "\n");

		log_error("the new configuration is refused, the old one stays: %.*s", n, line);
		line += n;
		line += *line == '\n';
	}
}

void api_reload(const struct cmdline *cmdline)
{
	struct api_config used = api_settings, fresh;
	struct webhook_guard guard = api_webhook_guard;
	struct buf errors = { 0 };
	bool good;

	/* The tables know one place only: the new configuration is loaded there, beside the one in use. */
	api_settings = (struct api_config){ 0 };
	api_webhook_guard = (struct webhook_guard){ 0 };
	good = config_load(&api_program, cmdline, &errors) &&
	       api_settings_check(&api_settings, &errors);
	fresh = api_settings;
	api_settings = used;
	if (good) {
		webhook_guard_free(&guard);
		take(&fresh);
	} else {
		webhook_guard_free(&api_webhook_guard);
		api_webhook_guard = guard;
		refuse(&errors);
	}
	used = api_settings;
	api_settings = fresh;
	config_free(&api_program);
	api_settings = used;
	buf_free(&errors);
}
