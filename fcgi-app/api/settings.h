/*
 * settings.h: the configuration of longhaul-api.
 */
#ifndef LONGHAUL_API_SETTINGS_H
#define LONGHAUL_API_SETTINGS_H

#include <stdbool.h>

#include "api/app.h"
#include "common/config.h"
#include "common/webhook_url.h"

/* The program's description, whose tables fill api_settings. */
extern const struct program api_program;
extern struct api_config api_settings;

/* Which URLs may be webhooks; api_settings_check() fills it in. */
extern struct webhook_guard api_webhook_guard;

/* What one value can't tell: false, and all that is wrong in *errors, a line each. */
bool api_settings_check(const struct api_config *cfg, struct buf *errors);

#endif
