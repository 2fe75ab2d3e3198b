/*
 * fcgi.h: decoding of a request's parameters by libfcgi.
 */
#ifndef LONGHAUL_API_FCGI_H
#define LONGHAUL_API_FCGI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request;

/* Readies libfcgi and proves on a made-up request that it behaves as fcgi.c assumes. False and logged
 * if not. Call it after the signal handlers are in place: libfcgi takes over those that are default. */
bool fcgi_start(void);
void fcgi_stop(void);
/*
 * Makes a request of the records params[0..len): all PARAMS but the empty one that ends them, checked
 * by fcgi_walk() before. NULL, logged, if libfcgi refuses them all the same.
 */
struct request *fcgi_decode(const unsigned char *params, size_t len, uint16_t id);

#endif
