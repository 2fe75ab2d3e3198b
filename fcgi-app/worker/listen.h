/*
 * listen.h: notifications. They only make things faster: polling finds everything without them.
 */
#ifndef LONGHAUL_WORKER_LISTEN_H
#define LONGHAUL_WORKER_LISTEN_H

#include "common/ids.h"

void listen_open(void);
/* Listens for what concerns this identity. */
void listen_as(const struct uuid *boot);

#endif
