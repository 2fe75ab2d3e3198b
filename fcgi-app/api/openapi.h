/*
 * openapi.h: the API's description of itself.
 */
#ifndef LONGHAUL_API_OPENAPI_H
#define LONGHAUL_API_OPENAPI_H

#include "api/http.h"

route_handler openapi_handle; /* GET, HEAD /openapi.json */
void openapi_stop(void);

/* Names the description in a Link header (RFC 8631), for who has lost the way. */
void openapi_link(struct request *req);

#endif
