/*
 * check.h: the programs that we start, and what it says to a type's settings before anything is started.
 */
#ifndef LONGHAUL_WORKER_CHECK_H
#define LONGHAUL_WORKER_CHECK_H

#include <stdbool.h>
#include <stddef.h>

struct type;

/* The path of a program that we start: as configured, beside our own executable, or where it is installed. It
 * may not exist. The caller frees. */
char *runner_path(void);
char *courier_path(void);

/* Whether check_handler() looks at all; it does at first. */
void check_handlers(bool on);

/* Has the type's handler look at its settings, in a process of its own. False and a message in err if it
 * refuses them. Without an executable runner nothing is checked: the start will say so. */
bool check_handler(const struct type *t, char *err, size_t errsize);

#endif
