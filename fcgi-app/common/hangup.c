/* hangup.c: see hangup.h. */
#include "hangup.h"

#include <signal.h>

static void mask(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(how, &set, NULL);
}

void hangup_hold(void)
{
	mask(SIG_BLOCK);
}

void hangup_release(void)
{
	mask(SIG_UNBLOCK);
}
