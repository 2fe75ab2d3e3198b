/*
 * session.h: the end of a session of processes.
 */
#ifndef LONGHAUL_SESSION_H
#define LONGHAUL_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

/* Kills (SIGKILL) all processes of the session but `except`, whatever process groups they have made
 * for themselves. Uses only system calls, so it may be called from a signal handler. Returns how
 * many kills there were: one that is slow to die counts more than once; 0 = nobody was there. */
int session_kill(pid_t sid, pid_t except);

/*
 * A process that is the subreaper of its descendants gets those as children whose parents have ended, also
 * if they have left the session.
 *
 * Kills our children but those that are spared (NULL: none is). Their children become ours as they die, so
 * it takes several calls: 0 = nobody was there. May be called from a signal handler if `spared` may.
 */
int children_kill(bool (*spared)(pid_t pid));
/* Kills and reaps all our children and, since they become ours, all their descendants. Costs one system call
 * if there are none. False if they don't end within some seconds, or can't be killed. May be called from a
 * signal handler. */
bool children_end(void);

#endif
