/*
 * counters_file.c: shared counters; see counters_file.h.
 *
 * The file is mapped, so counting costs no system call, and what was counted survives the process. Its owner
 * holds a lock on it for as long as it lives: whoever can have the lock knows that the owner is gone.
 */
#include "api/counters_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/times.h"

#define MAGIC "lhcount"
#define SUFFIX ".counters"
#define TWINS 4 /* processes that share an address: the old and the new one of a restart */
#define FILES_MAX 256

static struct counters_page *page;
static struct counters_page own; /* if there is no file */
static char *dir, path[4096];
static int file = -1;

/* "unix:/run/longhaul/api-1.sock" → "api-1"; "127.0.0.1:9000" as it is; what no file name may have becomes '_'. */
static void name_of(const char *listen, char out[COUNTERS_NAME])
{
	const char *slash = strrchr(listen, '/');
	const char *from = strncmp(listen, "unix:", 5) == 0 ? listen + 5 : listen;
	size_t n;

	if (slash)
		from = slash + 1;
	n = strlen(from);
	if (n > 5 && strcmp(from + n - 5, ".sock") == 0)
		n -= 5;
	if (n > COUNTERS_NAME - 8)
		n = COUNTERS_NAME - 8;
	memcpy(out, from, n);
	out[n] = '\0';
	for (char *p = out; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-[]",
			    *p))
			*p = '_';
}

static void page_begin(struct counters_page *p, const char *process, int routes)
{
	memset(p, 0, sizeof(*p));
	memcpy(p->magic, MAGIC, sizeof(p->magic));
	p->size = sizeof(*p);
	p->routes = (uint32_t)routes;
	snprintf(p->process, sizeof(p->process), "%s", process);
	snprintf(p->version, sizeof(p->version), "%s", LONGHAUL_VERSION);
	p->started = (double)now_ms() / 1000;
	page = p;
	counters = &p->counters;
}

/* True if this file is ours now: locked, empty and as long as it must be. */
static bool take(const char *at)
{
	struct stat st;

	file = open(at, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (file < 0)
		return false;
	/* Not one that its last owner has just removed. */
	if (flock(file, LOCK_EX | LOCK_NB) == 0 && fstat(file, &st) == 0 && st.st_nlink > 0 &&
	    ftruncate(file, 0) == 0 && ftruncate(file, sizeof(struct counters_page)) == 0)
		return true;
	close(file);
	file = -1;
	return false;
}

void counters_file_open(const char *folder, const char *listen, int routes)
{
	char name[COUNTERS_NAME], process[COUNTERS_NAME + 4];
	void *at = MAP_FAILED;

	name_of(listen, name);
	page_begin(&own, name, routes);
	if (!*folder)
		return;
	dir = mem_strdup(folder);
	for (int i = 1; i <= TWINS && file < 0; i++) {
		snprintf(process, sizeof(process), i > 1 ? "%s_%d" : "%s", name, i);
		snprintf(path, sizeof(path), "%s/%s" SUFFIX, dir, process);
		if (!take(path) && errno != EWOULDBLOCK && errno != 0)
			break;
	}
	if (file >= 0)
		at = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (at == MAP_FAILED) {
		log_warning("the metrics of this process are its own only: %s/%s" SUFFIX ": %s",
			    dir, name, strerror(errno));
		path[0] = '\0';
		return;
	}
	page_begin(at, process, routes);
}

void counters_file_close(void)
{
	if (page != &own && page) {
		unlink(path);
		counters = &own.counters;
		munmap(page, sizeof(*page));
		page = NULL;
	}
	if (file >= 0)
		close(file);
	file = -1;
	free(dir);
	dir = NULL;
}

/* Reads the file of another process. False if it is none, or of another version. */
static bool read_page(const char *name, struct counters_page *out, bool *alive)
{
	char at[4096];
	ssize_t n;
	int fd;

	snprintf(at, sizeof(at), "%s/%s", dir, name);
	fd = open(at, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	n = pread(fd, out, sizeof(*out), 0);
	*alive = flock(fd, LOCK_SH | LOCK_NB) != 0;
	close(fd);
	return n == (ssize_t)sizeof(*out) && memcmp(out->magic, MAGIC, sizeof(out->magic)) == 0 &&
	       out->size == sizeof(*out) && out->routes == page->routes &&
	       memchr(out->process, '\0', sizeof(out->process)) &&
	       memchr(out->version, '\0', sizeof(out->version));
}

void counters_each(counters_page_fn *fn, void *ctx)
{
	struct counters_page *other;
	struct dirent *entry;
	DIR *list;
	int n = 0;

	fn(ctx, page, true);
	list = dir && page != &own ? opendir(dir) : NULL;
	if (!list)
		return;
	other = mem_alloc(sizeof(*other));
	while (n < FILES_MAX && (entry = readdir(list))) {
		size_t len = strlen(entry->d_name), end = strlen(SUFFIX);
		bool alive;

		if (len <= end || strcmp(entry->d_name + len - end, SUFFIX) != 0 ||
		    strcmp(entry->d_name, strrchr(path, '/') + 1) == 0)
			continue;
		n++;
		if (read_page(entry->d_name, other, &alive))
			fn(ctx, other, alive);
	}
	closedir(list);
	free(other);
}
