/*
 * handlers.h: finds the handler that a type is served by.
 */
#ifndef LONGHAUL_RUNNER_HANDLERS_H
#define LONGHAUL_RUNNER_HANDLERS_H

#include <longhaul/handler.h>

/* By name ("exec") if it is built into the runner, by the path of a shared object else. NULL: *why (static)
 * says why not. */
const struct lh_handler *handler_find(const char *name, const char **why);

/* Prints the manual's part about the keys of the built-in handlers. */
void handlers_manual(void);

#endif
