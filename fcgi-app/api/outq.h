/*
 * outq.h: what is to be sent on a connection: STDOUT records, sent at once as far as the socket
 * takes them, queued behind that.
 */
#ifndef LONGHAUL_API_OUTQ_H
#define LONGHAUL_API_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define OUTQ_PARTS 8 /* most pieces of content in one call */

/* Zero-initialised is empty. */
struct outq {
	unsigned char *data;
	size_t off, len, cap; /* data[off..len) waits */
	bool held;	      /* nothing is sent until outq_release */
	bool moved;	      /* something was sent since this was last cleared */
};

static inline size_t outq_waiting(const struct outq *q)
{
	return q->len - q->off;
}

/* Sends or queues content as STDOUT records of that request, with the end of the answer behind it if
 * `last`. False: the socket failed, or memory ended; the connection is of no use any more. */
bool outq_stdout(struct outq *q, int fd, uint16_t id, const struct iovec *parts, int nparts,
		 bool last);
/* Sends or queues whole records as they are. */
bool outq_raw(struct outq *q, int fd, const void *data, size_t len);
/* Sends what waits, as far as the socket takes it. */
bool outq_flush(struct outq *q, int fd);
void outq_free(struct outq *q);

#endif
