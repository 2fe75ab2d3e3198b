/*
 * plugin.h: handlers from shared objects.
 */
#ifndef LONGHAUL_RUNNER_PLUGIN_H
#define LONGHAUL_RUNNER_PLUGIN_H

#include <longhaul/handler.h>

/*
 * Loads the handler of the file FOLDER/NAME.so, for good. NULL: *why (static) says why not: it isn't there or
 * no shared object, others than root and our own user can write to it or to its folder, it has no
 * symbol lh_handler, or that is of another version of the ABI or of another name.
 */
const struct lh_handler *plugin_load(const char *path, const char **why);

#endif
