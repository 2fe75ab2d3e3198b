/*
 * reload.h: a changed configuration, taken while requests are served.
 */
#ifndef LONGHAUL_API_RELOAD_H
#define LONGHAUL_API_RELOAD_H

#include "common/config.h"

/* Reads the file again. What is used up at the start stays and is said; a wrong file changes nothing. */
void api_reload(const struct cmdline *cmdline);

#endif
