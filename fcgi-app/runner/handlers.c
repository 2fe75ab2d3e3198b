/*
 * handlers.c: the table of built-in handlers. A new one is one row here.
 */
#include "handlers.h"

#include <string.h>

#include "handlers/handlers.h"

static const struct lh_handler *const handlers[] = {
	&lh_handler_noop,
	&lh_handler_exec,
	&lh_handler_bulk_import,
	&lh_handler_sql,
	&lh_handler_http,
};

const struct lh_handler *handler_find(const char *name)
{
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (!strcmp(handlers[i]->name, name) && handlers[i]->abi == LH_HANDLER_ABI)
			return handlers[i];
	return NULL;
}
