/*
 * test_listener.c: opening sockets, and which of those found there are taken away.
 * links: api/listener.c
 */
#include "test.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <ev.h>

#include "api/app.h"
#include "api/conn.h"
#include "api/listener.h"

struct app app;
static struct api_config cfg = { .max_connections = 1 };
static int open_now, accepted;
static char folder[] = "/tmp/longhaul-listen-XXXXXX", path[64], address[80];

int conns_open(void)
{
	return open_now;
}

void conn_new(int fd)
{
	accepted++;
	open_now++;
	close(fd);
}

/* Connects; -1 if nobody listens there. */
static int dial(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool exists(void)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void addresses(void **state)
{
	static const char *const good[] = { "unix:/a", "127.0.0.1:9000", "[::1]:9000",
					    "localhost:1", "0.0.0.0:65535" };
	static const char *const bad[] = { "",      "unix:",   "unix:a",     "9000", ":9000",
					   "a:",    "a:0",     "a:65536",    "a:1x", "::1:9000",
					   "[::1]", "[]:9000", "/run/x.sock" };
	char err[160], longest[120] = "unix:/";

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!listen_address_valid(good[i], err, sizeof(err)))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (listen_address_valid(bad[i], err, sizeof(err)))
			fail_msg("taken: %s", bad[i]);
	memset(longest + 6, 'x', 107);
	assert_false(listen_address_valid(longest, err, sizeof(err)));
	longest[5 + 107] = '\0';
	assert_true(listen_address_valid(longest, err, sizeof(err)));
}

static void a_stale_socket_is_replaced(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	(void)state;
	strcpy(sun.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd); /* left behind, as by a process that was killed */
	assert_true(listener_start(app.loop, address, 0620));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0620);
	fd = dial();
	assert_true(fd >= 0);
	close(fd);
	listener_stop();
	assert_false(exists());
}

static void a_live_socket_is_left_alone(void **state)
{
	int fd, other[2];

	(void)state;
	assert_int_equal(pipe(other), 0);
	assert_true(listener_start(app.loop, address, 0600));
	if (fork() == 0) {
		/* a second process, as by a mistake in its configuration */
		close(2);
		fd = listener_start(app.loop, address, 0600) ? 1 : 0;
		_exit(write(other[1], &fd, sizeof(fd)) == sizeof(fd) ? 0 : 1);
	}
	assert_int_equal(read(other[0], &fd, sizeof(fd)), sizeof(fd));
	assert_int_equal(fd, 0);
	fd = dial();
	assert_true(fd >= 0);
	close(fd);
	close(other[0]);
	close(other[1]);

	/* replaced by somebody else's: not ours to remove */
	assert_int_equal(unlink(path), 0);
	fclose(fopen(path, "w"));
	listener_stop();
	assert_true(exists());
	/* a file that is no socket isn't either */
	assert_false(listener_start(app.loop, address, 0600));
	assert_true(exists());
	unlink(path);
}

static void the_limit_of_connections(void **state)
{
	int fds[3];

	(void)state;
	accepted = open_now = 0;
	assert_true(listener_start(app.loop, address, 0600));
	for (int i = 0; i < 3; i++)
		fds[i] = dial();
	ev_run(app.loop, EVRUN_NOWAIT);
	assert_int_equal(accepted, 0); /* not before it is told to */
	listener_room();
	ev_run(app.loop, EVRUN_NOWAIT);
	ev_run(app.loop, EVRUN_NOWAIT);
	assert_int_equal(accepted, 1);
	listener_room();
	ev_run(app.loop, EVRUN_NOWAIT);
	assert_int_equal(accepted, 1);
	open_now = 0;
	listener_room();
	ev_run(app.loop, EVRUN_NOWAIT);
	assert_int_equal(accepted, 2);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	listener_stop();
	listener_stop(); /* twice is fine */
	listener_room();
}

static void no_such_folder(void **state)
{
	(void)state;
	assert_false(listener_start(app.loop, "unix:/nonexistent/longhaul/x.sock", 0600));
	assert_false(listener_start(app.loop, "203.0.113.1:9",
				    0600)); /* not an address of this machine */
}

static int start(void **state)
{
	(void)state;
	app.cfg = &cfg;
	app.loop = ev_default_loop(0);
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/s", folder);
	snprintf(address, sizeof(address), "unix:%s", path);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	ev_loop_destroy(app.loop);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(a_stale_socket_is_replaced),
		cmocka_unit_test(a_live_socket_is_left_alone),
		cmocka_unit_test(the_limit_of_connections),
		cmocka_unit_test(no_such_folder),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
