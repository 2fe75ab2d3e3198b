/*
 * import_format.h: what a reader and its formats share.
 *
 * The reader cuts the stream into rows with the format's scan(), keeps the beginning of one
 * until the rest has come, and hands it whole to the format's row().
 */
#ifndef LONGHAUL_HANDLERS_IMPORT_FORMAT_H
#define LONGHAUL_HANDLERS_IMPORT_FORMAT_H

#include "import_reader.h"

/* What scan() found in a piece: data[begin…end) belongs to a row, which ends there if `ended`;
 * `used` bytes are done with. An unended row goes on in the next piece. */
struct import_cut {
	size_t begin, end, used;
	bool ended;
};

struct import_format {
	const char *media_types; /* with a space before and behind each */
	/* Looks for the end of a row. False: broken. */
	bool (*scan)(struct import_reader *r, const char *data, size_t len, struct import_cut *cut);
	/* A whole row, at most IMPORT_ROW_MAX bytes. False to stop. */
	bool (*row)(struct import_reader *r, const char *data, size_t len);
	/* The stream has ended. False: broken. May be NULL. */
	bool (*end)(struct import_reader *r);
	void (*free)(struct import_reader *r); /* may be NULL */
};

struct import_reader {
	const struct import_format *format;
	import_row_fn *row;
	void *ctx;
	int bom;         /* bytes of a byte order mark seen; 3: behind it, or there is none */
	int64_t offset;  /* bytes done with */
	int64_t line;    /* line or element that the row began with */
	int64_t skipped; /* line breaks inside it */
	int64_t size;    /* bytes of the row so far */
	struct buf kept; /* what has come of it before this piece, at most IMPORT_ROW_MAX */
	char *room;      /* for texts without their escapes; room_size bytes */
	size_t room_size;
	struct buf more; /* further members */
	int state;       /* the format's */
	int depth;
	struct csv *csv;
	const char *broken;
	char where[48];
};

extern const struct import_format import_json_lines, import_json_array, import_csv;

/* Room for len bytes; false when memory ends. */
bool import_room(struct import_reader *r, size_t len);

/* A row of JSON text: reads it and hands it on. */
bool import_json_row(struct import_reader *r, const char *data, size_t len);

/* Hands a row on. */
bool import_emit(struct import_reader *r, struct import_row *row, const char *data, size_t len);

/* Marks the file as broken: unit is "line", "element" or "byte". Returns false. */
bool import_break(struct import_reader *r, const char *unit, int64_t number, const char *why);

#endif
