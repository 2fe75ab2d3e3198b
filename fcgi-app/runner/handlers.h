/*
 * handlers.h: the handlers that are built into the runner.
 */
#ifndef LONGHAUL_RUNNER_HANDLERS_H
#define LONGHAUL_RUNNER_HANDLERS_H

#include <longhaul/handler.h>

/* By the name that a type's section gives ("exec"). NULL: there is none, or its ABI differs. */
const struct lh_handler *handler_find(const char *name);

#endif
