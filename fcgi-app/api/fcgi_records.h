/*
 * fcgi_records.h: the record layer of FastCGI, as pure functions over bytes.
 *
 * libfcgi reads a request's head (BEGIN_REQUEST and all PARAMS) with blocking reads, so it must
 * never be asked before the head has arrived whole. The walk below finds that out, and refuses
 * what libfcgi would trip over: after WALK_READY its decoding can't fail.
 */
#ifndef LONGHAUL_API_FCGI_RECORDS_H
#define LONGHAUL_API_FCGI_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fastcgi.h>

#define FCGI_PARAMS_TOTAL 65536 /* most bytes of parameters in one request */
#define FCGI_PIECE	  65528 /* content of a full record that we send; a multiple of 8 */
#define FCGI_TRAILER	  24	/* end of STDOUT and END_REQUEST */

struct fcgi_record {
	unsigned char type, padding;
	uint16_t id, content;
};

/* Reads a record's header from FCGI_HEADER_LEN bytes. False: this isn't FastCGI version 1. */
bool fcgi_record_read(const unsigned char *p, struct fcgi_record *out);
/* The whole record's length: header, content and padding. */
size_t fcgi_record_size(const struct fcgi_record *rec);

/* Writers; each returns the number of bytes written. */
size_t fcgi_put_header(unsigned char *p, int type, uint16_t id, uint16_t content);
size_t fcgi_put_end(unsigned char *p, uint16_t id, int protocol_status); /* 16 bytes */
size_t fcgi_put_trailer(unsigned char *p, uint16_t id);			 /* FCGI_TRAILER bytes */
size_t fcgi_put_unknown_type(unsigned char *p, int type);		 /* 16 bytes */
/* Answers GET_VALUES: of the names asked for (name-value pairs in `ask`), those that we know.
 * At most `room` bytes; 0 if they don't suffice. */
size_t fcgi_put_values(unsigned char *p, size_t room, const unsigned char *ask, size_t n,
		       int max_connections);

/* Progress through name-value pairs that may be cut anywhere by record boundaries. */
struct fcgi_pairs {
	enum { PAIR_NAME_LENGTH, PAIR_VALUE_LENGTH, PAIR_NAME, PAIR_VALUE } step;
	unsigned char length[4];
	int have;	      /* bytes of `length` seen */
	uint32_t name, value; /* bytes still to come */
};

enum fcgi_walk_result {
	WALK_MORE,  /* the head isn't complete yet */
	WALK_READY, /* `done` bytes are exactly BEGIN_REQUEST to the empty PARAMS record */
	WALK_OTHER, /* the record behind `done` is whole and not part of the head: see `other` */
	WALK_TOO_LARGE, /* more than FCGI_PARAMS_TOTAL bytes of parameters */
	WALK_BAD,	/* not FastCGI, or parameters that can't be an environment */
};

/* The walk over one request's head. Zero-initialised is the start. */
struct fcgi_walk {
	size_t first; /* where the PARAMS records begin */
	size_t done; /* bytes of whole records that belong to the head, from the buffer's begin */
	size_t last; /* WALK_READY: where the empty PARAMS record begins */
	bool begun;  /* BEGIN_REQUEST was seen: id, role and keep hold */
	bool keep;   /* FCGI_KEEP_CONN */
	uint16_t id;
	size_t params; /* bytes of parameters seen */
	struct fcgi_pairs pairs;
	struct fcgi_record other;
};

/*
 * Looks at the records in data[0..len) from w->done on. May be called again with more bytes of
 * the same buffer. After WALK_OTHER the caller answers or ignores that record, takes it out of the
 * buffer and goes on.
 */
enum fcgi_walk_result fcgi_walk(struct fcgi_walk *w, const unsigned char *data, size_t len);

#endif
