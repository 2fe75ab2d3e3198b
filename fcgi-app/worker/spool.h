/*
 * spool.h: finished results on disk, while the database is away and memory for them is short.
 *
 * They lie in one file without a name, in the folder [worker] spool: nobody else can open it, it never
 * outlives this process, and a daemon that died leaves nothing to clean up. What was in it is no loss: its
 * leases run out with the daemon, and the jobs are run again.
 */
#ifndef LONGHAUL_WORKER_SPOOL_H
#define LONGHAUL_WORKER_SPOOL_H

#include <stdbool.h>
#include <stddef.h>

struct spooled;

/* Makes the file; true also if none is configured. False and logged if it can't be made. */
bool spool_open(void);
void spool_close(void);

/* Whether there is a spool, and it didn't fail just now. */
bool spool_usable(void);
/* Writes a piece; NULL if there is no room for it. What was written is kept once spool_sync() has said so. */
struct spooled *spool_write(const void *data, size_t len);
/* False: what was written since the last time may not be on the disk: keep it elsewhere. */
bool spool_sync(void);
/* The piece again, which the caller frees; NULL and logged if it can't be read, or isn't what was written. */
void *spool_read(const struct spooled *s);
size_t spool_size(const struct spooled *s);
/* The piece isn't needed any more. NULL is fine. */
void spool_release(struct spooled *s);

#endif
