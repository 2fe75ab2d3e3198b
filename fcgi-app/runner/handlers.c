/*
 * handlers.c: the table of built-in handlers. A new one is one row here.
 */
#include "handlers.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "handlers/handlers.h"
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
