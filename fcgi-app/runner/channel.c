/*
 * channel.c: frames to and from the daemon, and the ring of small answers.
 */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/session.h"

#define READ_SIZE 65536
#define BELL_ANSWERS 32    /* ring at the latest after so many answers */
#define BELL_AFTER_US 2000 /* or when the first of them has waited this long */

int64_t mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void channel_lost(void)
{
	session_kill(getpid(), getpid()); /* the runner leads a session of its own */
	children_end();                   /* and is the parent of what has left it */
	_exit(1);
}

bool channel_open(struct channel *ch, const char **why)
{
	struct stat st;
	void *page;

	if (fstat(WIRE_FD_SOCKET, &st) || !S_ISSOCK(st.st_mode) || fstat(WIRE_FD_PAGE, &st)) {
		*why = "this program is started by longhaul-worker, not by hand";
		return false;
	}
	if (st.st_size < (off_t)sizeof(struct wire_page)) {
		*why = "longhaul-worker is of another version";
		return false;
	}
	page = mmap(NULL, sizeof(struct wire_page), PROT_READ | PROT_WRITE, MAP_SHARED,
		    WIRE_FD_PAGE, 0);
	if (page == MAP_FAILED) {
		*why = "cannot map the memory shared with longhaul-worker";
		return false;
	}
	close(WIRE_FD_PAGE);
	/* What a handler starts must not hold the daemon's end of the conversation open. */
	fcntl(WIRE_FD_SOCKET, F_SETFD, FD_CLOEXEC);
	ch->fd = WIRE_FD_SOCKET;
	ch->page = page;
	return true;
}

static void send_all(struct channel *ch, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(ch->fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			channel_lost();
		data += n;
		len -= (size_t)n;
	}
}

void channel_send(struct channel *ch, enum wire_kind kind, uint32_t ticket, const void *payload,
		  size_t size)
{
	buf_reset(&ch->out);
	if (!wire_put(&ch->out, kind, ticket, payload, size))
		abort();
	send_all(ch, ch->out.data, ch->out.len);
}

/* Tells the daemon of answers in the ring. */
static void ring_bell(struct channel *ch)
{
	ch->answers = 0;
	if (wire_ring_used(ch->page) > 0)
		channel_send(ch, WIRE_BELL, 0, NULL, 0);
}

void channel_done(struct channel *ch, uint32_t ticket, const struct wire_done *done, bool ordered)
{
	int64_t now = mono_us();

	buf_reset(&ch->out);
	if (!wire_put_done(&ch->out, ticket, done))
		abort();
	if (ordered || ch->out.len > WIRE_RING_RECORD ||
	    !wire_ring_put(ch->page, ch->out.data, ch->out.len)) {
		send_all(ch, ch->out.data, ch->out.len);
		return;
	}
	if (ch->answers++ == 0)
		ch->bell_us = now;
	if (ch->answers >= BELL_ANSWERS || now - ch->bell_us > BELL_AFTER_US)
		ring_bell(ch);
}

bool channel_next(struct channel *ch, struct wire_head *head, const char **payload)
{
	for (;;) {
		size_t left = ch->in.len - ch->at;
		int whole = left > 0 ? wire_next(ch->in.data + ch->at, left, head, payload) : 0;
		ssize_t n;

		if (whole < 0) {
			log_error("the daemon sent what isn't a frame");
			return false;
		}
		if (whole > 0) {
			ch->at += sizeof(*head) + head->size;
			return true;
		}
		buf_consume(&ch->in, ch->at);
		ch->at = 0;
		if (ch->in.len == 0)
			buf_reset(&ch->in);
		if (!buf_reserve(&ch->in, READ_SIZE))
			abort();
		ring_bell(ch);
		do
			n = recv(ch->fd, ch->in.data + ch->in.len, ch->in.cap - ch->in.len - 1, 0);
		while (n < 0 && errno == EINTR);
		if (n <= 0)
			return false;
		ch->in.len += (size_t)n;
	}
}
