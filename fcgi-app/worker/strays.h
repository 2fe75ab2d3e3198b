/*
 * strays.h: what dead runners have left behind.
 */
#ifndef LONGHAUL_WORKER_STRAYS_H
#define LONGHAUL_WORKER_STRAYS_H

#include <stdint.h>

/* The daemon becomes the parent of all whose parents below it have ended. */
void strays_open(void);
void strays_step(int64_t now);
/* At the end, once all runners are dead: waits for the last of them. */
void strays_close(void);

#endif
