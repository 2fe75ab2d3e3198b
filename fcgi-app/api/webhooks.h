/*
 * webhooks.h: the routes of webhooks and of their deliveries.
 */
#ifndef LONGHAUL_API_WEBHOOKS_H
#define LONGHAUL_API_WEBHOOKS_H

#include "api/http.h"

route_handler webhook_list_handle;       /* GET /v1/webhooks */
route_handler webhook_create_handle;     /* POST /v1/webhooks */
route_handler webhook_get_handle;        /* GET /v1/webhooks/{id} */
route_handler webhook_delete_handle;     /* DELETE /v1/webhooks/{id} */
route_handler webhook_enable_handle;     /* POST /v1/webhooks/{id}/enable */
route_handler webhook_ping_handle;       /* POST /v1/webhooks/{id}/ping */
route_handler webhook_secret_handle;     /* POST /v1/webhooks/{id}/secret, /v1/webhooks/secret */
route_handler webhook_deliveries_handle; /* GET /v1/webhooks/{id}/deliveries */
route_handler webhook_redeliver_handle;  /* POST /v1/webhooks/{id}/deliveries/{id}/redeliver */
route_handler job_deliveries_handle;     /* GET /v1/{collection}/{id}/deliveries */
route_handler job_redeliver_handle;      /* POST /v1/{collection}/{id}/deliveries/{id}/redeliver */

#endif
