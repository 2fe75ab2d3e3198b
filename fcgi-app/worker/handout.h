/*
 * handout.h: gives waiting jobs to runners.
 */
#ifndef LONGHAUL_WORKER_HANDOUT_H
#define LONGHAUL_WORKER_HANDOUT_H

#include <stdint.h>

void handout_step(int64_t now);

#endif
