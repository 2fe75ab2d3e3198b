/*
 * count_file.h: for benchmarks: how many jobs this worker has ended, in a file.
 */
#ifndef LONGHAUL_WORKER_COUNT_FILE_H
#define LONGHAUL_WORKER_COUNT_FILE_H

#include <stdbool.h>
#include <stdint.h>

/* Does nothing unless COUNT_FILE is in the environment. `last`: doesn't wait for its time. */
void count_file_step(int64_t now, bool last);

#endif
