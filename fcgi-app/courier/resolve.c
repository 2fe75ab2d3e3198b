/*
 * resolve.c: c-ares in a libev loop.
 */
#include "resolve.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <ares.h>
#include <ev.h>

#include "common/log.h"
#include "common/mem.h"

#define ADDRESSES_MAX 64 /* of one name; those beyond are looked at by nobody, nor connected to */
#define TRIES 3

struct lookup {
	lookup_done_fn *done; /* NULL = nobody wants to know any more */
	void *ctx;
	bool over, starting;
};

struct watch {
	struct watch *next;
	ares_socket_t fd;
	ev_io io;
};

static struct {
	struct ev_loop *loop;
	char *servers;
	int timeout_ms;
	ares_channel channel;
	bool open;
	struct watch *watches;
	ev_timer timer;
	int under_way;
	struct timespec file_time; /* of the system's configuration, when it was read */
} res;

/* ---- descriptors and time --------------------------------------------------------------------- */

static void set_timer(void)
{
	struct timeval tv, *t = ares_timeout(res.channel, NULL, &tv);

	ev_timer_stop(res.loop, &res.timer);
	if (!t)
		return;
	ev_timer_set(&res.timer, (double)t->tv_sec + (double)t->tv_usec / 1e6 + 0.001, 0.);
	ev_timer_start(res.loop, &res.timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
	ares_process_fd(res.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer();
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
	int fd = w->fd;

	(void)loop;
	/* The watcher may be gone after this. */
	ares_process_fd(res.channel, revents & EV_READ ? fd : ARES_SOCKET_BAD,
			revents & EV_WRITE ? fd : ARES_SOCKET_BAD);
	set_timer();
}

/* c-ares tells what it wants to know about a descriptor. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct watch **at = &res.watches, *w;

	(void)data;
	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	w = *at;
	if (w)
		ev_io_stop(res.loop, &w->io);
	if (!readable && !writable) {
		if (w) {
			*at = w->next;
			free(w);
		}
		return;
	}
	if (!w) {
		w = mem_zalloc(sizeof(*w));
		w->fd = fd;
		w->next = res.watches;
		res.watches = w;
		ev_init(&w->io, on_io);
	}
	ev_io_set(&w->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	ev_io_start(res.loop, &w->io);
}

/* ---- opening ---------------------------------------------------------------------------------- */

static struct timespec file_time(void)
{
	struct stat st;

	return stat("/etc/resolv.conf", &st) == 0 ? st.st_mtim : (struct timespec){ 0 };
}

static bool channel_open(void)
{
	/* The name as it is: no search domains, which would turn "intranet" into something inside. */
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = res.timeout_ms / TRIES > 0 ? res.timeout_ms / TRIES : 1,
		.tries = TRIES,
		.sock_state_cb = on_socket_state,
	};
	int rc = ares_init_options(&res.channel, &o,
				   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					   ARES_OPT_SOCK_STATE_CB);

	if (rc == ARES_SUCCESS && *res.servers) {
		rc = ares_set_servers_ports_csv(res.channel, res.servers);
		if (rc != ARES_SUCCESS)
			ares_destroy(res.channel);
	}
	if (rc != ARES_SUCCESS) {
		log_error("names can't be looked up ([webhook] dns_servers): %s",
			  ares_strerror(rc));
		return false;
	}
	res.file_time = file_time();
	res.open = true;
	return true;
}

static void channel_close(void)
{
	if (!res.open)
		return;
	ares_destroy(res.channel);
	res.open = false;
	ev_timer_stop(res.loop, &res.timer);
}

/* The system's configuration may have changed; it is read again while nothing is under way. */
static bool channel_ready(void)
{
	struct timespec now;

	if (res.open && res.under_way == 0 && !*res.servers) {
		now = file_time();
		if (now.tv_sec != res.file_time.tv_sec || now.tv_nsec != res.file_time.tv_nsec)
			channel_close();
	}
	return res.open || channel_open();
}

bool resolver_open(struct ev_loop *loop, const char *servers, int timeout_ms)
{
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return false;
	res.loop = loop;
	res.servers = mem_strdup(servers);
	res.timeout_ms = timeout_ms;
	ev_init(&res.timer, on_timer);
	return channel_open();
}

void resolver_close(void)
{
	channel_close();
	ares_library_cleanup();
	free(res.servers);
}

/* ---- lookups ---------------------------------------------------------------------------------- */

/* Copies the addresses, with the port that c-ares has put into them. Returns how many. */
static size_t collect(const struct ares_addrinfo *ai, struct sockaddr_storage *out)
{
	size_t n = 0;

	for (const struct ares_addrinfo_node *a = ai->nodes; a && n < ADDRESSES_MAX;
	     a = a->ai_next) {
		if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
			continue;
		memset(&out[n], 0, sizeof(out[n]));
		memcpy(&out[n++], a->ai_addr, a->ai_addrlen);
	}
	return n;
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *ai)
{
	static struct sockaddr_storage addrs[ADDRESSES_MAX];
	struct lookup *l = arg;
	size_t n = ai ? collect(ai, addrs) : 0;

	(void)timeouts;
	res.under_way--;
	l->over = true;
	if (ai)
		ares_freeaddrinfo(ai);
	if (l->done)
		l->done(l->ctx, addrs, n, ares_strerror(status));
	if (!l->starting)
		free(l);
}

struct lookup *lookup_start(const char *host, int port, lookup_done_fn *done, void *ctx)
{
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
					     .ai_socktype = SOCK_STREAM,
					     .ai_flags = ARES_AI_NUMERICSERV };
	struct lookup *l;
	char service[8];

	if (!channel_ready()) {
		done(ctx, NULL, 0, "no resolver");
		return NULL;
	}
	l = mem_zalloc(sizeof(*l));
	l->done = done;
	l->ctx = ctx;
	l->starting = true;
	res.under_way++;
	snprintf(service, sizeof(service), "%d", port);
	ares_getaddrinfo(res.channel, host, service, &hints, on_addresses, l);
	l->starting = false;
	if (l->over) {
		free(l);
		return NULL;
	}
	set_timer();
	return l;
}

void lookup_forget(struct lookup *l)
{
	l->done = NULL;
}
