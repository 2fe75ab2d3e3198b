/*
 * spool.c: a file that grows by pieces and is emptied when the last of them is let go.
 *
 * Space is not used again before that: pieces come while the database is away, and go all together when it
 * is back.
 */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/sha256.h"
#include "common/times.h"
#include "settings.h"

#define AGAIN_MS 5000 /* after an error it isn't tried for so long */

struct spooled {
	int64_t at;
	size_t len;
	unsigned char sum[SHA256_SIZE];
};

static struct {
	int fd; /* -1 = none */
	int64_t end;
	int64_t n;         /* pieces */
	int64_t failed_at; /* monotonic; 0 = all is well */
} spool = { .fd = -1 };

bool spool_open(void)
{
	char *path;

	if (!*config.spool)
		return true;
	if (mkdir(config.spool, 0700) != 0 && errno != EEXIST)
		goto failed;
	spool.fd = open(config.spool, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (spool.fd >= 0)
		return true;
	/* Not every file system has files without a name. */
	path = mem_printf("%s/longhaul-spool.XXXXXX", config.spool);
	spool.fd = mkostemp(path, O_CLOEXEC);
	if (spool.fd >= 0)
		unlink(path);
	free(path);
	if (spool.fd >= 0)
		return true;
failed:
	log_error("cannot make a file in the folder %s ([worker] spool): %s", config.spool,
		  strerror(errno));
	return false;
}

void spool_close(void)
{
	if (spool.fd >= 0)
		close(spool.fd);
	spool.fd = -1;
}

bool spool_usable(void)
{
	return spool.fd >= 0 && (spool.failed_at == 0 || mono_ms() - spool.failed_at >= AGAIN_MS);
}

static void failed(const char *what, int error)
{
	if (spool.failed_at == 0)
		log_error("the spool can't be %s, results wait in memory, few jobs are begun: %s",
			  what, strerror(error));
	spool.failed_at = mono_ms();
}

struct spooled *spool_write(const void *data, size_t len)
{
	struct spooled *s;
	size_t done = 0;

	if (spool.end + (int64_t)len > config.spool_max)
		return NULL;
	while (done < len) {
		ssize_t n = pwrite(spool.fd, (const char *)data + done, len - done,
				   spool.end + (int64_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			failed("written", n < 0 ? errno : ENOSPC);
			return NULL;
		}
		done += (size_t)n;
	}
	s = mem_alloc(sizeof(*s));
	s->at = spool.end;
	s->len = len;
	sha256_of(data, len, s->sum);
	spool.end += (int64_t)len;
	spool.n++;
	return s;
}

/* Without this a full or broken disk could still lose what it has accepted. */
bool spool_sync(void)
{
	if (fdatasync(spool.fd) != 0) {
		failed("written", errno);
		return false;
	}
	if (spool.failed_at != 0)
		log_info("the spool can be written again");
	spool.failed_at = 0;
	return true;
}

void *spool_read(const struct spooled *s)
{
	unsigned char sum[SHA256_SIZE];
	char *data = mem_alloc(s->len);
	size_t done = 0;
	ssize_t n = 0;

	while (done < s->len) {
		n = pread(spool.fd, data + done, s->len - done, s->at + (int64_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done == s->len) {
		sha256_of(data, s->len, sum);
		if (!memcmp(sum, s->sum, sizeof(sum)))
			return data;
	}
	log_error("a result can't be read back from the spool: %s",
		  n < 0 ? strerror(errno) : "it isn't what was written");
	free(data);
	return NULL;
}

size_t spool_size(const struct spooled *s)
{
	return s->len;
}

void spool_release(struct spooled *s)
{
	if (!s)
		return;
	if (s->at + (int64_t)s->len == spool.end)
		spool.end = s->at;
	free(s);
	if (--spool.n > 0)
		return;
	spool.end = 0;
	if (spool.fd >= 0 && ftruncate(spool.fd, 0) != 0)
		log_warning("the spool can't be emptied: %s", strerror(errno));
}
