/*
 * drain.h: ends the worker without losing or burning anything.
 */
#ifndef LONGHAUL_WORKER_DRAIN_H
#define LONGHAUL_WORKER_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

/* Nothing more is begun, what waits is given back, what runs may end. A second call doesn't wait for that. */
void drain_begin(void);
void drain_step(int64_t now);
/* False if this takes much longer than it may. */
bool drain_in_time(int64_t now);

#endif
