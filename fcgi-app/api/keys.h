/*
 * keys.h: what is remembered of API keys; the look-up is client_key_lookup() in jobs.h.
 */
#ifndef LONGHAUL_API_KEYS_H
#define LONGHAUL_API_KEYS_H

struct app;

void keys_start(struct app *a);
void keys_stop(void);

#endif
