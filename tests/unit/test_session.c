/*
 * test_session.c: all of a session is killed, in whatever process groups, and nothing else.
 */
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/session.h"

/* A process that says on `ready` that it is there, and waits to be killed. */
static pid_t sleeper(int ready, bool own_group)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NAME, "a) Z (b", 0, 0, 0);
		if (own_group)
			setpgid(0, 0);
		if (write(ready, "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	return pid;
}

static void a_session_is_killed_in_all_its_groups(void **state)
{
	int ready[2], status;
	pid_t leader, other;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* to see the grandchildren end */
	other = sleeper(ready[1], true);
	leader = fork();
	if (leader == 0) {
		setsid();
		sleeper(ready[1], true);
		sleeper(ready[1], false);
		for (;;)
			pause();
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(read(ready[0], &c, 1), 1);
	assert_true(session_kill(leader, leader) >= 2); /* one that is still dying counts again */
	assert_int_equal(kill(leader, 0), 0);
	assert_int_equal(kill(leader, SIGKILL), 0);
	assert_int_equal(waitpid(leader, &status, 0), leader);
	for (int i = 0; i < 2; i++) {
		pid_t pid = waitpid(-1, &status, 0); /* orphans that came to us */

		assert_true(pid > 0 && pid != other);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	assert_int_equal(session_kill(leader, 0), 0); /* nobody left */
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	kill(other, SIGKILL);
	waitpid(other, &status, 0);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_is_killed_in_all_its_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
