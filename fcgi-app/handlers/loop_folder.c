/*
 * loop_folder.c: a folder of our own for the files of a persistent command.
 *
 * The folder belongs to the command's user, who may put anything there: nothing in it is followed or trusted.
 */
#include "loop.h"

#include "common/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "longhaul-loop-"
#define YOUNG_S 60 /* a folder is made before it is locked */

/* Removes what is in a folder, but for folders, and then itself. */
static void remove_folder(int parent, const char *name, int fd)
{
	DIR *dir = fdopendir(dup(fd));
	const struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(fd, e->d_name, 0);
	if (dir)
		closedir(dir);
	unlinkat(parent, name, AT_REMOVEDIR);
}

static int open_folder(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Removes a folder like ours if its owner has died: then its lock is free. */
static void sweep_one(int parent, const char *name, uid_t uid)
{
	int fd = open_folder(parent, name);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == uid && st.st_mtime < time(NULL) - YOUNG_S &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0)
		remove_folder(parent, name, fd);
	close(fd);
}

static void sweep(const char *work_dir, uid_t uid)
{
	DIR *dir = opendir(work_dir);
	const struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, PREFIX, sizeof(PREFIX) - 1) == 0)
			sweep_one(dirfd(dir), e->d_name, uid);
	if (dir)
		closedir(dir);
}

bool loop_folder_open(struct loop_folder *f, const char *work_dir, uid_t uid, gid_t gid,
		      const char **why)
{
	sweep(work_dir, uid);
	f->uid = uid;
	f->gid = gid;
	f->path = mem_printf("%s/" PREFIX "XXXXXX", work_dir);
	*why = "folder";
	if (!mkdtemp(f->path)) {
		free(f->path);
		f->path = NULL;
		return false;
	}
	f->fd = open_folder(AT_FDCWD, f->path);
	if (f->fd >= 0 && flock(f->fd, LOCK_EX | LOCK_NB) == 0 &&
	    (uid == geteuid() || fchown(f->fd, uid, gid) == 0))
		return true;
	loop_folder_close(f);
	return false;
}

void loop_folder_close(struct loop_folder *f)
{
	int error = errno;

	if (!f->path)
		return;
	if (f->fd >= 0) {
		remove_folder(AT_FDCWD, f->path, f->fd);
		close(f->fd);
	}
	free(f->path);
	f->path = NULL;
	errno = error;
}

int loop_file_make(const struct loop_folder *f, const char *name)
{
	int fd, error;

	if (unlinkat(f->fd, name, 0) != 0 && errno != ENOENT)
		return -1;
	fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || f->uid == geteuid() || fchown(fd, f->uid, f->gid) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

int loop_result_open(const struct loop_folder *f)
{
	int fd = openat(f->fd, LOOP_RESULT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0) {
		errno = errno == ENOENT ? ENOENT : EPERM;
		return -1;
	}
	/* A link to a file that only the worker may read must not become the result. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == f->uid && st.st_nlink == 1)
		return fd;
	close(fd);
	errno = EPERM;
	return -1;
}

void loop_files_remove(const struct loop_folder *f)
{
	unlinkat(f->fd, LOOP_INPUT, 0);
	unlinkat(f->fd, LOOP_RESULT, 0);
}
