/*
 * session.h: the end of a session of processes.
 */
#ifndef LONGHAUL_SESSION_H
#define LONGHAUL_SESSION_H

#include <sys/types.h>

/* Kills (SIGKILL) all processes of the session but `except`, whatever process groups they have made
 * for themselves. Uses only system calls, so it may be called from a signal handler. Returns how
 * many kills there were: one that is slow to die counts more than once; 0 = nobody was there. */
int session_kill(pid_t sid, pid_t except);

#endif
