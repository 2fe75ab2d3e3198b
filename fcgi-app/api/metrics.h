/*
 * metrics.h: GET /metrics, in Prometheus' text format.
 */
#ifndef LONGHAUL_API_METRICS_H
#define LONGHAUL_API_METRICS_H

#include "api/http.h"

struct app;

/* Shares the counters with the other processes; the listener is open. */
void metrics_start(struct app *a);
void metrics_stop(void);

route_handler metrics_handle;

#endif
