/*
 * progress.h: stores how far the running jobs are.
 */
#ifndef LONGHAUL_WORKER_PROGRESS_H
#define LONGHAUL_WORKER_PROGRESS_H

#include <stdint.h>

void progress_step(int64_t now);

#endif
