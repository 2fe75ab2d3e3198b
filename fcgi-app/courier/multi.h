/*
 * multi.h: libcurl's transfers in the event loop.
 */
#ifndef LONGHAUL_COURIER_MULTI_H
#define LONGHAUL_COURIER_MULTI_H

#include <stdbool.h>

#include <curl/curl.h>

struct ev_loop;

/* `done` is called with CURLOPT_PRIVATE of a transfer that has ended, which has been removed by then. */
typedef void multi_done_fn(void *private, CURLcode code);

bool multi_open(struct ev_loop *loop, multi_done_fn *done);
void multi_close(void);

bool multi_add(CURL *easy);
void multi_remove(CURL *easy); /* ends it without a word */

#endif
