/*
 * health.h: what monitoring asks.
 */
#ifndef LONGHAUL_API_HEALTH_H
#define LONGHAUL_API_HEALTH_H

#include "api/http.h"

route_handler healthz_handle; /* GET /healthz: this process lives */
route_handler readyz_handle;  /* GET /readyz: and reaches its database */

#endif
