/*
 * upload_pool.h: the few database connections of uploads, made when first needed, closed when not
 * needed for a while; and the uploads that wait for one.
 */
#ifndef LONGHAUL_API_UPLOAD_POOL_H
#define LONGHAUL_API_UPLOAD_POOL_H

#include <stdbool.h>

struct app;
struct db;
struct upload;

struct upload_pool_user {
	void (*assigned)(struct upload *u); /* it has a connection, which may not be up yet */
	void (*up)(struct upload *u);       /* its connection is up */
	void (*down)(
		struct upload *u); /* it went down; what was under way was called back before */
};

void upload_pool_start(struct app *a, const struct upload_pool_user *user);
void upload_pool_stop(void);
/* Queues the upload for a connection. False: too many wait. Calls back later or at once. */
bool upload_pool_enter(struct upload *u);
/* It waits no more, or needs its connection no more. `clean`: its transaction is over; else it is
 * rolled back. */
void upload_pool_leave(struct upload *u, bool clean);
/* The connection it has, NULL = none. */
struct db *upload_pool_db(const struct upload *u);

#endif
