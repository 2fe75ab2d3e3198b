/*
 * statistics.h: GET /v1/jobs/statistics.
 */
#ifndef LONGHAUL_API_STATISTICS_H
#define LONGHAUL_API_STATISTICS_H

#include "api/http.h"

route_handler statistics_handle;

#endif
