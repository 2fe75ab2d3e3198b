/*
 * strays.c: kills children of the daemon that it hasn't started.
 *
 * A runner ends what its handlers leave behind. When it is killed itself, what has left its session becomes
 * the daemon's child, and is ended here. Only if daemon and runner are killed in one moment does it get away:
 * then the service manager's control group has to end it.
 */
#include "strays.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <ev.h>

#include "common/log.h"
#include "common/session.h"
#include "courier.h"
#include "pool.h"
#include "reload.h"
#include "worker.h"

#define AGAIN_MS 20 /* while there are some */

static ev_signal child_signal;
static int64_t look_at = INT64_MAX;
static bool wanted;

static void on_child(struct ev_loop *loop, ev_signal *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	wanted = true;
}

void strays_open(void)
{
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		log_warning("processes that handlers leave behind can't be followed");
	ev_signal_init(&child_signal, on_child, SIGCHLD);
	ev_signal_start(worker.loop, &child_signal);
}

static bool is_ours(pid_t pid)
{
	return pool_has(pid) || courier_is(pid) || reload_is(pid);
}

/* Takes the ends of strays, as far as nobody else's is in front of them. */
static void reap(void)
{
	for (;;) {
		siginfo_t info = { 0 };

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0 ||
		    is_ours(info.si_pid))
			return;
		waitpid(info.si_pid, NULL, WNOHANG);
	}
}

void strays_step(int64_t now)
{
	int killed;

	if (!wanted && now < look_at) {
		worker_wake_at(look_at);
		return;
	}
	wanted = false;
	reap();
	killed = children_kill(is_ours);
	if (killed > 0)
		log_warning("processes that handlers had left behind are killed n=%d", killed);
	look_at = killed > 0 ? now + AGAIN_MS : INT64_MAX;
	worker_wake_at(look_at);
}

void strays_close(void)
{
	children_end();
}
