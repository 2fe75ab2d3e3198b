/*
 * text.h: text from outside made fit to be stored or shown.
 */
#ifndef LONGHAUL_TEXT_H
#define LONGHAUL_TEXT_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Number of characters (code points) of valid UTF-8. */
size_t text_chars(const char *s, size_t len);

/* Digits of the port (1 to 65535) that s begins with; 0 if it doesn't begin with one. */
size_t text_port(const char *s);

/* Appends s with U+FFFD for NUL and for what is not UTF-8. False when memory ends. */
bool text_add_storable(struct buf *out, const char *s, size_t len);

/* The same, for one line of a message: control characters become spaces. */
bool text_add_line(struct buf *out, const char *s, size_t len);

#endif
