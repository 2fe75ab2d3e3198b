/*
 * listen.c: what the database calls out: jobs wait, types changed, a job is to be canceled.
 */
#include "listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chores.h"
#include "claim.h"
#include "common/db.h"
#include "lease.h"
#include "pool.h"
#include "settings.h"
#include "type.h"
#include "webhooks.h"
#include "worker.h"

static char boot_channel[64];

/* "3,7": the types of which jobs wait. Empty: jobs were put back, of any type. */
static void on_wake(const char *payload)
{
	if (!*payload)
		claim_look_back();
	while (*payload) {
		char *end;
		long id = strtol(payload, &end, 10);
		struct type *t = id > 0 && id <= INT32_MAX ? type_by_id((int32_t)id) : NULL;

		if (t)
			claim_wake(t);
		if (*end != ',')
			break;
		payload = end + 1;
	}
}

/* "cancel 0192…": 32 hexadecimal digits. "beat": something about the lease has changed. */
static void on_message(const char *payload)
{
	struct uuid id;

	if (!strncmp(payload, "cancel ", 7) && strlen(payload) == 7 + 32 &&
	    hex_decode(payload + 7, 32, id.b))
		pool_cancel(&id);
	else if (!strcmp(payload, "beat"))
		lease_beat();
}

static void on_notify(void *ctx, const char *channel, const char *payload)
{
	(void)ctx;
	if (!strcmp(channel, "longhaul_wake"))
		on_wake(payload);
	else if (!strcmp(channel, "longhaul_types"))
		chores_read_types();
	else if (!strcmp(channel, "longhaul_webhooks"))
		webhooks_wake();
	else if (!strcmp(channel, boot_channel))
		on_message(payload);
}

/* What was called out while we were away is made up for by looking. */
static void on_state(void *ctx, bool up)
{
	(void)ctx;
	if (!up)
		return;
	claim_look_back();
	webhooks_wake();
	chores_read_types();
}

void listen_open(void)
{
	const char *conninfo = config.database.listen_conninfo;
	struct db_config c = {
		.conninfo = *conninfo ? conninfo : config.database.conninfo,
		.application_name = "longhaul-worker listen",
		.prepared = true,
		.reconnect_min_ms = config.database.reconnect_min_ms,
		.reconnect_max_ms = config.database.reconnect_max_ms,
		.connect_timeout_ms = config.database.connect_timeout_ms,
	};

	if (!strcmp(conninfo, "none"))
		return;
	worker.listen = db_open(worker.loop, &c, "listen", on_state, NULL);
	db_on_notify(worker.listen, on_notify, NULL);
	db_listen(worker.listen, "longhaul_wake");
	db_listen(worker.listen, "longhaul_types");
	if (config.webhook.enabled)
		db_listen(worker.listen, "longhaul_webhooks");
	if (*boot_channel)
		db_listen(worker.listen, boot_channel);
}

void listen_as(const struct uuid *boot)
{
	char hex[33];

	uuid_format_hex(boot, hex);
	snprintf(boot_channel, sizeof(boot_channel), "longhaul_worker_%s", hex);
	if (worker.listen)
		db_listen(worker.listen, boot_channel);
}
