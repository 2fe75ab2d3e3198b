/*
 * listener.c: opening the socket, accepting.
 */
#include "api/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <ev.h>

#include "common/text.h"

#include "api/app.h"
#include "api/conn.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/service.h"
#include "common/times.h"

#define BACKLOG 4096     /* the kernel cuts it to net.core.somaxconn */
#define ACCEPT_BURST 64  /* others get a turn after that many */
#define ACCEPT_PAUSE 0.1 /* seconds, when file descriptors have run out */

static struct {
	struct ev_loop *loop;
	ev_io io;
	ev_timer again;
	bool tcp;
	char *path; /* of the unix socket */
	dev_t dev;  /* and its identity, so that another's isn't removed */
	ino_t ino;
} listener = { .io.fd = -1 };

static const char *unix_path(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

/* Takes "host:port" apart; false if it isn't that. Brackets around an IPv6 address are left out. */
static bool tcp_split(const char *address, char host[256], char port[8])
{
	const char *colon = strrchr(address, ':');
	size_t n = colon ? (size_t)(colon - address) : 0;
	size_t digits = colon ? text_port(colon + 1) : 0;

	if (n == 0 || n > 255 || digits == 0 || colon[1 + digits])
		return false;
	strcpy(port, colon + 1);
	if (address[0] == '[' && address[n - 1] == ']') {
		address++;
		n -= 2;
	} else if (memchr(address, ':', n)) {
		return false;
	}
	memcpy(host, address, n);
	host[n] = '\0';
	return n > 0;
}

bool listen_address_valid(const char *address, char *err, size_t errsize)
{
	const char *path = unix_path(address);
	struct sockaddr_un sun;
	char host[256], port[8];

	if (path && *path != '/')
		snprintf(err, errsize, "the path of a unix socket begins with '/'");
	else if (path && strlen(path) >= sizeof(sun.sun_path))
		snprintf(err, errsize,
			 "the path of a unix socket is at most %zu bytes long, this one has %zu",
			 sizeof(sun.sun_path) - 1, strlen(path));
	else if (!path && !tcp_split(address, host, port))
		snprintf(err, errsize, "an address is unix:/path, 127.0.0.1:9000 or [::1]:9000");
	else
		return true;
	return false;
}

/* True if the socket at this path is a leftover: a socket that refuses connections. */
static bool unix_is_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(sun->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) != 0 &&
		errno == ECONNREFUSED;
	close(fd);
	return stale;
}

/* Binds; removes a stale socket that is in the way. */
static bool unix_bind(int fd, const struct sockaddr_un *sun)
{
	if (bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0)
		return true;
	if (errno != EADDRINUSE)
		return false;
	if (!unix_is_stale(sun)) {
		errno = EADDRINUSE;
		return false;
	}
	if (unlink(sun->sun_path) != 0)
		return false;
	log_info("removed a stale socket path=%s", sun->sun_path);
	return bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0;
}

/* A bound socket, not listening yet, so that nobody gets in before its mode is set; -1 and errno. */
static int unix_open(const char *path, int mode)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), saved;
	struct stat st;

	if (fd < 0)
		return -1;
	strcpy(sun.sun_path, path); /* its length was checked with the configuration */
	if (unix_bind(fd, &sun)) {
		if (chmod(path, (mode_t)mode) == 0 && lstat(path, &st) == 0) {
			listener.path = mem_strdup(path);
			listener.dev = st.st_dev;
			listener.ino = st.st_ino;
			return fd;
		}
		saved = errno;
		unlink(path);
		errno = saved;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* A bound TCP socket; -1 and a reason in err. */
static int tcp_open(const char *address, char *err, size_t errsize)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	char host[256], port[8];
	int fd = -1, one = 1, rc;

	if (!tcp_split(address, host, port))
		return -1;
	rc = getaddrinfo(host, port, &hints, &list);
	if (rc != 0) {
		snprintf(err, errsize, "%s", gai_strerror(rc));
		return -1;
	}
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, a->ai_addr, a->ai_addrlen) != 0) {
			snprintf(err, errsize, "%s", strerror(errno));
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

/* Small answers go out at once, and a host that vanished is noticed. */
static void tcp_tune(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

/* Out of descriptors or memory: the connection stays in the backlog; trying at once would spin. */
static void accept_failed(void)
{
	log_warning("cannot accept a connection: %s", strerror(errno));
	ev_io_stop(listener.loop, &listener.io);
	ev_timer_set(&listener.again, ACCEPT_PAUSE, 0);
	ev_timer_start(listener.loop, &listener.again);
}

/* At most every ten seconds: the limit is met again with each connection that is closed. */
static void warn_full(void)
{
	static int64_t warned;

	if (warned && mono_ms() - warned < 10000)
		return;
	warned = mono_ms();
	log_warning("no more connections are accepted for now open=%d", conns_open());
}

static void accept_ready(struct ev_loop *loop, ev_io *io, int revents)
{
	(void)revents;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int fd;

		if (conns_open() >= app.cfg->max_connections) {
			warn_full();
			ev_io_stop(loop, io);
			return;
		}
		fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				accept_failed();
			return;
		}
		if (listener.tcp)
			tcp_tune(fd);
		conn_new(fd);
	}
}

static void accept_again(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)timer;
	(void)revents;
	if (listener.io.fd >= 0)
		ev_io_start(loop, &listener.io);
}

bool listener_path(char *out, size_t size)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);

	memset(&sun, 0, sizeof(sun));
	if (getsockname(listener.io.fd, (struct sockaddr *)&sun, &len) != 0 ||
	    sun.sun_family != AF_UNIX || sun.sun_path[0] != '/')
		return false;
	snprintf(out, size, "%.*s", (int)sizeof(sun.sun_path), sun.sun_path);
	return true;
}

void listener_room(void)
{
	if (listener.io.fd >= 0 && !ev_is_active(&listener.io) && !ev_is_active(&listener.again) &&
	    conns_open() < app.cfg->max_connections)
		ev_io_start(listener.loop, &listener.io);
}

/* The socket that the configuration asks for; -1, logged, if it can't be had. */
static int listener_open(const char *address, int socket_mode)
{
	const char *path = unix_path(address);
	char err[128] = "";
	int fd;

	fd = path ? unix_open(path, socket_mode) : tcp_open(address, err, sizeof(err));
	if (fd < 0 && path)
		snprintf(err, sizeof(err), "%s",
			 errno == EADDRINUSE ? "somebody listens there, or it isn't a socket"
					     : strerror(errno));
	if (fd >= 0 && listen(fd, BACKLOG) != 0) {
		snprintf(err, sizeof(err), "%s", strerror(errno));
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		log_error("cannot listen on %s: %s", address, err);
	return fd;
}

bool listener_start(struct ev_loop *loop, const char *address, int socket_mode)
{
	struct sockaddr_storage own = { 0 };
	socklen_t len = sizeof(own);
	int fd = service_socket();

	if (fd == SERVICE_NO_SOCKET)
		fd = listener_open(address, socket_mode);
	else if (fd >= 0)
		log_info("the socket is the service manager's, [api] listen does not count");
	if (fd < 0)
		return false;
	getsockname(fd, (struct sockaddr *)&own, &len);
	listener.loop = loop;
	listener.tcp = own.ss_family != AF_UNIX;
	ev_timer_init(&listener.again, accept_again, ACCEPT_PAUSE, 0);
	ev_io_init(&listener.io, accept_ready, fd, EV_READ);
	return true;
}

void listener_stop(void)
{
	struct stat st;

	if (listener.io.fd < 0)
		return;
	ev_io_stop(listener.loop, &listener.io);
	ev_timer_stop(listener.loop, &listener.again);
	close(listener.io.fd);
	listener.io.fd = -1;
	if (listener.path && lstat(listener.path, &st) == 0 && st.st_dev == listener.dev &&
	    st.st_ino == listener.ino)
		unlink(listener.path);
	free(listener.path);
	listener.path = NULL;
}
