/*
 * bulk_import_copy.h: rows in COPY's binary format.
 */
#ifndef LONGHAUL_HANDLERS_BULK_IMPORT_COPY_H
#define LONGHAUL_HANDLERS_BULK_IMPORT_COPY_H

#include "common/buf.h"
#include "import_reader.h"

/* The columns that a row is made of, as COPY names them. */
#define IMPORT_COPY_COLUMNS "line, email, name, external_id, extra, field, reason, raw"

/* Appends what goes before the rows, one row, what goes behind them. False when memory ends. */
bool import_copy_head(struct buf *out);
bool import_copy_row(struct buf *out, const struct import_row *row);
bool import_copy_tail(struct buf *out);

#endif
