/*
 * handlers.c: the table of built-in handlers. A new one is one row here.
 */
#include "handlers.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "handlers/handlers.h"
#include "handlers/options.h"
#include "plugin.h"

static const struct lh_handler *const handlers[] = {
	&lh_handler_noop,         &lh_handler_exec, &lh_handler_bulk_import,
	&lh_handler_command_loop, &lh_handler_sql,  &lh_handler_http,
};

const struct lh_handler *handler_find(const char *name, const char **why)
{
	static char reason[120];

	if (*name == '/')
		return plugin_load(name, why);
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (!strcmp(handlers[i]->name, name))
			return handlers[i];
	snprintf(reason, sizeof(reason), "this longhaul-runner has no handler \"%.60s\"", name);
	*why = reason;
	return NULL;
}

void handlers_manual(void)
{
	static const struct {
		const char *name, *more;
		const struct opt *rows;
		size_t n;
	} parts[] = {
		{ "exec", "", exec_options, EXEC_OPTIONS },
		{ "command-loop", "The keys of exec, and:", loop_options, LOOP_OPTIONS },
		{ "bulk-import", "", bulk_import_options, BULK_IMPORT_OPTIONS },
		{ "sql", "", sql_options, SQL_OPTIONS },
		{ "http", "", http_options, HTTP_OPTIONS },
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		printf(".Ss Type NAME, handler = %s\n", parts[i].name);
		if (*parts[i].more)
			puts(parts[i].more);
		opts_manual(stdout, parts[i].rows, parts[i].n);
	}
}
