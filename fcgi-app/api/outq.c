/*
 * outq.c: framing and sending. In the common case an answer is one sendmsg() without a copy.
 */
#include "api/outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/fcgi_records.h"

/* Room for n more bytes at the end. */
static bool outq_reserve(struct outq *q, size_t n)
{
	size_t cap = q->cap ? q->cap : 4096;
	unsigned char *data;

	if (q->off > 0 && q->off == q->len)
		q->off = q->len = 0;
	if (n <= q->cap - q->len)
		return true;
	if (q->off > 0) {
		memmove(q->data, q->data + q->off, q->len - q->off);
		q->len -= q->off;
		q->off = 0;
	}
	while (cap - q->len < n)
		cap *= 2;
	if (cap == q->cap)
		return true;
	data = realloc(q->data, cap);
	if (!data)
		return false;
	q->data = data;
	q->cap = cap;
	return true;
}

/* Queues the pieces of iov behind their first `skip` bytes. */
static bool outq_keep(struct outq *q, const struct iovec *iov, int n, size_t skip)
{
	for (int i = 0; i < n; i++) {
		size_t gone = skip < iov[i].iov_len ? skip : iov[i].iov_len;
		size_t left = iov[i].iov_len - gone;

		skip -= gone;
		if (left == 0)
			continue;
		if (!outq_reserve(q, left))
			return false;
		memcpy(q->data + q->len, (const char *)iov[i].iov_base + gone, left);
		q->len += left;
	}
	return true;
}

/* Sends iov if nothing waits before it, and queues the rest. */
static bool outq_send(struct outq *q, int fd, struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };
	ssize_t sent = 0;

	if (!q->held && outq_waiting(q) == 0) {
		do
			sent = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		while (sent < 0 && errno == EINTR);
		if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			return false;
		if (sent < 0)
			sent = 0;
		q->moved |= sent > 0;
	}
	return outq_keep(q, iov, n, (size_t)sent);
}

bool outq_raw(struct outq *q, int fd, const void *data, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };

	return outq_send(q, fd, &iov, 1);
}

/* Moves up to `max` bytes of content from parts[*at] on into iov; returns how many pieces they make. */
static int content_take(struct iovec *iov, const struct iovec *parts, int nparts, int *at,
			size_t *off, size_t max)
{
	int n = 0;

	while (*at < nparts && max > 0) {
		size_t k = parts[*at].iov_len - *off;

		k = k < max ? k : max;
		if (k > 0) {
			iov[n].iov_base = (char *)parts[*at].iov_base + *off;
			iov[n++].iov_len = k;
		}
		*off += k;
		max -= k;
		if (*off == parts[*at].iov_len) {
			++*at;
			*off = 0;
		}
	}
	return n;
}

bool outq_stdout(struct outq *q, int fd, uint16_t id, const struct iovec *parts, int nparts,
		 bool last)
{
	unsigned char header[FCGI_HEADER_LEN], trailer[FCGI_TRAILER];
	struct iovec iov[OUTQ_PARTS + 2];
	size_t total = 0, off = 0;
	int at = 0;

	for (int i = 0; i < nparts; i++)
		total += parts[i].iov_len;
	do {
		size_t piece = total < FCGI_PIECE ? total : FCGI_PIECE;
		int n = 0;

		total -= piece;
		if (piece > 0) {
			iov[0].iov_base = header;
			iov[0].iov_len = fcgi_put_header(header, FCGI_STDOUT, id, (uint16_t)piece);
			n = 1 + content_take(iov + 1, parts, nparts, &at, &off, piece);
		}
		if (total == 0 && last) {
			iov[n].iov_base = trailer;
			iov[n++].iov_len = fcgi_put_trailer(trailer, id);
		}
		if (n > 0 && !outq_send(q, fd, iov, n))
			return false;
	} while (total > 0);
	return true;
}

bool outq_flush(struct outq *q, int fd)
{
	while (!q->held && outq_waiting(q) > 0) {
		ssize_t n = send(fd, q->data + q->off, outq_waiting(q),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		q->off += (size_t)n;
		q->moved = true;
	}
	/* an idle connection owns no memory here */
	if (outq_waiting(q) == 0)
		outq_free(q);
	return true;
}

void outq_free(struct outq *q)
{
	free(q->data);
	q->data = NULL;
	q->off = q->len = q->cap = 0;
}
