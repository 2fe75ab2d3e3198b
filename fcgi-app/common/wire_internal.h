/*
 * wire_internal.h: how the messages of wire.h and wire_courier.h are put into frames and taken out.
 */
#ifndef LONGHAUL_WIRE_INTERNAL_H
#define LONGHAUL_WIRE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/* Reads a message front to back; `bad` once something didn't fit. */
struct wire_reader {
	const char *at;
	size_t left;
	bool bad;
};

/* The next n bytes; "" if there aren't so many. */
const char *wire_take(struct wire_reader *r, size_t n);
/* A text of n bytes whose NUL follows it. */
const char *wire_take_text(struct wire_reader *r, size_t n);

/* Begins a frame: head and fixed part. The room for `more` bytes behind them is made as well, so that
 * their additions can't fail. */
bool wire_begin_frame(struct buf *out, enum wire_kind kind, uint32_t ticket, const void *fixed,
		      size_t fixed_size, size_t more);

#endif
