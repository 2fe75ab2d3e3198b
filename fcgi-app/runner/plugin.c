/*
 * plugin.c: loads a handler from a shared object, if it can be trusted.
 */
#include "plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

static char reason[600];

static bool refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static bool refuse(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	return false;
}

/* Whoever can write to it has the rights of the worker. */
static bool is_trusted(const struct stat *st, const char *path)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return refuse("%s: belongs neither to root nor to the worker's user", path);
	if (st->st_mode & S_IWOTH)
		return refuse("%s: everybody can write to it", path);
	return true;
}

/* Opens the file. What was looked at is what will be loaded, whatever is put in its place. Returns -1 if
 * refused. */
static int open_trusted(const char *folder, const char *name, const char *path)
{
	int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;
	struct stat st;

	if (dir < 0 || fstat(dir, &st) != 0) {
		refuse("%s: %s", folder, strerror(errno));
		if (dir >= 0)
			close(dir);
		return -1;
	}
	if (!is_trusted(&st, folder)) {
		close(dir);
		return -1;
	}
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		refuse("%s: %s", path, errno == ELOOP ? "is a symbolic link" : strerror(errno));
	close(dir);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0)
		refuse("%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		refuse("%s: is no file", path);
	else if (is_trusted(&st, path))
		return fd;
	close(fd);
	return -1;
}

/* What dlerror() says, without our name for the file. */
static const char *load_error(void)
{
	const char *text = dlerror(), *colon = text ? strstr(text, ": ") : NULL;

	return colon ? colon + 2 : "it can't be loaded";
}

/* Looks at the handler of an object that has been loaded. */
static const struct lh_handler *look(void *object, const char *path, const char *name)
{
	const struct lh_handler *h = dlsym(object, "lh_handler");

	if (!h)
		refuse("%s: has no symbol lh_handler", path);
	else if (h->abi != LH_HANDLER_ABI) /* first: of another version nothing else is known */
		refuse("%s: is made for version %u of the handler ABI, this is version %d", path,
		       h->abi, LH_HANDLER_ABI);
	else if (!h->name || strcmp(h->name, name) != 0)
		refuse("%s: its handler is named \"%.60s\"", path, h->name ? h->name : "");
	else if (!h->run)
		refuse("%s: its handler has no run function", path);
	else
		return h;
	return NULL;
}

const struct lh_handler *plugin_load(const char *path, const char **why)
{
	const char *slash = strrchr(path, '/');
	char *folder = mem_strndup(path, slash > path ? (size_t)(slash - path) : 1);
	char *name = mem_strndup(slash + 1, strcspn(slash + 1, "."));
	int fd = open_trusted(folder, slash + 1, path);
	const struct lh_handler *h = NULL;
	char opened[40];
	void *object;

	*why = reason;
	if (fd >= 0) {
		snprintf(opened, sizeof(opened), "/proc/self/fd/%d", fd);
		object = dlopen(opened, RTLD_NOW | RTLD_LOCAL);
		close(fd);
		if (object)
			h = look(object, path, name);
		else
			refuse("%s: %s", path, load_error());
	}
	free(folder);
	free(name);
	return h;
}
