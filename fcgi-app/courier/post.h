/*
 * post.h: one try to deliver a webhook.
 */
#ifndef LONGHAUL_COURIER_POST_H
#define LONGHAUL_COURIER_POST_H

#include <stdint.h>

#include "common/wire_courier.h"

/* Begins it; its end is told by courier_answer(). */
void post_begin(uint32_t ticket, const struct wire_post *w);
/* Ends it without an answer, if it is under way. */
void post_forget(uint32_t ticket);
void post_forget_all(void);
/* For multi_open(). */
void post_transferred(void *post, int code);

#endif
