/*
 * reload.h: the configuration, read at the start and again at SIGHUP.
 */
#ifndef LONGHAUL_WORKER_RELOAD_H
#define LONGHAUL_WORKER_RELOAD_H

#include <stdbool.h>
#include <sys/types.h>

/* Reads the command line and the configuration. Returns an exit code; EXIT_OK with *go_on false if there is
 * nothing more to do. */
int configure(int argc, char **argv, bool *go_on);
/* Frees the configuration; the types are freed by types_free(). */
void configure_end(void);

/* Reads the configuration again. It is checked by a process of its own, because what handlers make of
 * their settings may take its time; only if all is right it is taken, else the old one stays. */
void reload_begin(void);

bool reload_under_way(void);

/* Whether this is the process that checks a configuration. */
bool reload_is(pid_t pid);

/* Removes types whose sections are gone, once nothing of theirs is left. */
void reload_step(void);

#endif
