/*
 * fcgi_records.c: reading, writing and checking FastCGI records. Knows no socket and no request.
 */
#include "fcgi_records.h"

#include <stdio.h>
#include <string.h>

/* Records may be cut small; beyond this much framing around the parameters nobody is honest. */
#define HEAD_OVERHEAD 16384

bool fcgi_record_read(const unsigned char *p, struct fcgi_record *out)
{
	FCGI_Header h;

	memcpy(&h, p, sizeof(h));
	out->type = h.type;
	out->padding = h.paddingLength;
	out->id = (uint16_t)(h.requestIdB1 << 8 | h.requestIdB0);
	out->content = (uint16_t)(h.contentLengthB1 << 8 | h.contentLengthB0);
	return h.version == FCGI_VERSION_1;
}

size_t fcgi_record_size(const struct fcgi_record *rec)
{
	return (size_t)FCGI_HEADER_LEN + rec->content + rec->padding;
}

size_t fcgi_put_header(unsigned char *p, int type, uint16_t id, uint16_t content)
{
	FCGI_Header h = {
		.version = FCGI_VERSION_1,
		.type = (unsigned char)type,
		.requestIdB1 = (unsigned char)(id >> 8),
		.requestIdB0 = (unsigned char)id,
		.contentLengthB1 = (unsigned char)(content >> 8),
		.contentLengthB0 = (unsigned char)content,
	};

	memcpy(p, &h, sizeof(h));
	return sizeof(h);
}

size_t fcgi_put_end(unsigned char *p, uint16_t id, int protocol_status)
{
	FCGI_EndRequestBody body = { .protocolStatus = (unsigned char)protocol_status };
	size_t n = fcgi_put_header(p, FCGI_END_REQUEST, id, sizeof(body));

	memcpy(p + n, &body, sizeof(body));
	return n + sizeof(body);
}

size_t fcgi_put_trailer(unsigned char *p, uint16_t id)
{
	size_t n = fcgi_put_header(p, FCGI_STDOUT, id, 0);

	return n + fcgi_put_end(p + n, id, FCGI_REQUEST_COMPLETE);
}

size_t fcgi_put_unknown_type(unsigned char *p, int type)
{
	FCGI_UnknownTypeBody body = { .type = (unsigned char)type };
	size_t n = fcgi_put_header(p, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, sizeof(body));

	memcpy(p + n, &body, sizeof(body));
	return n + sizeof(body);
}

/* One or four bytes of length at p[*at]; false if they aren't all there. */
static bool length_read(const unsigned char *p, size_t n, size_t *at, uint32_t *out)
{
	if (*at >= n)
		return false;
	if (!(p[*at] & 0x80)) {
		*out = p[(*at)++];
		return true;
	}
	if (n - *at < 4)
		return false;
	*out = (uint32_t)(p[*at] & 0x7f) << 24 | (uint32_t)p[*at + 1] << 16 |
	       (uint32_t)p[*at + 2] << 8 | p[*at + 3];
	*at += 4;
	return true;
}

size_t fcgi_put_values(unsigned char *p, size_t room, const unsigned char *ask, size_t n,
		       int max_connections)
{
	char number[16];
	size_t at = 0, out = FCGI_HEADER_LEN;
	uint32_t name, value;

	snprintf(number, sizeof(number), "%d", max_connections);
	while (length_read(ask, n, &at, &name) && length_read(ask, n, &at, &value) &&
	       name <= n - at && value <= n - at - name) {
		const char *text = NULL;

		if (name == strlen(FCGI_MAX_CONNS) && memcmp(ask + at, FCGI_MAX_CONNS, name) == 0)
			text = number;
		else if (name == strlen(FCGI_MAX_REQS) &&
			 memcmp(ask + at, FCGI_MAX_REQS, name) == 0)
			text = number;
		else if (name == strlen(FCGI_MPXS_CONNS) &&
			 memcmp(ask + at, FCGI_MPXS_CONNS, name) == 0)
			text = "0";
		if (text) {
			size_t len = strlen(text);

			if (out + 2 + name + len > room)
				return 0;
			p[out++] = (unsigned char)name;
			p[out++] = (unsigned char)len;
			memcpy(p + out, ask + at, name);
			memcpy(p + out + name, text, len);
			out += name + len;
		}
		at += (size_t)name + value;
	}
	fcgi_put_header(p, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID,
			(uint16_t)(out - FCGI_HEADER_LEN));
	return out;
}

/* Takes one byte of a length; true when the length is complete, in *out. */
static bool pair_length(struct fcgi_pairs *p, unsigned char byte, uint32_t *out)
{
	size_t at = 0;

	p->length[p->have++] = byte;
	if (!length_read(p->length, (size_t)p->have, &at, out))
		return false;
	p->have = 0;
	return true;
}

/* The step after the lengths and after the name: empty names and values have no bytes to wait for. */
static void pair_next(struct fcgi_pairs *p)
{
	p->step = p->name ? PAIR_NAME : p->value ? PAIR_VALUE : PAIR_NAME_LENGTH;
}

/*
 * Checks the next n bytes of the parameters. WALK_BAD if they can't become an environment, because of
 * a NUL or a '=' in a name ("name=value" would be split elsewhere); WALK_TOO_LARGE if a name or a
 * value announces more than all may have; else WALK_MORE.
 */
static enum fcgi_walk_result pairs_take(struct fcgi_pairs *p, const unsigned char *data, size_t n)
{
	while (n > 0) {
		uint32_t *left = p->step == PAIR_NAME ? &p->name : &p->value;
		size_t k = 1;

		if (p->step == PAIR_NAME_LENGTH) {
			if (pair_length(p, *data, &p->name))
				p->step = PAIR_VALUE_LENGTH;
		} else if (p->step == PAIR_VALUE_LENGTH) {
			if (pair_length(p, *data, &p->value))
				pair_next(p);
		} else {
			k = n < *left ? n : *left;
			if (memchr(data, 0, k) || (p->step == PAIR_NAME && memchr(data, '=', k)))
				return WALK_BAD;
			*left -= (uint32_t)k;
			if (*left == 0)
				pair_next(p);
		}
		if (p->name > FCGI_PARAMS_TOTAL || p->value > FCGI_PARAMS_TOTAL)
			return WALK_TOO_LARGE;
		data += k;
		n -= k;
	}
	return WALK_MORE;
}

/* True if no pair is cut off. */
static bool pairs_end(const struct fcgi_pairs *p)
{
	return p->step == PAIR_NAME_LENGTH && p->have == 0;
}

/* BEGIN_REQUEST, whole at p. Other roles, and other requests while one is begun, are WALK_OTHER. */
static enum fcgi_walk_result walk_begin(struct fcgi_walk *w, const struct fcgi_record *rec,
					const unsigned char *p)
{
	FCGI_BeginRequestBody body;

	if (rec->content != sizeof(body) || rec->id == FCGI_NULL_REQUEST_ID ||
	    (w->begun && rec->id == w->id))
		return WALK_BAD;
	memcpy(&body, p + FCGI_HEADER_LEN, sizeof(body));
	if (w->begun || (body.roleB1 << 8 | body.roleB0) != FCGI_RESPONDER)
		return WALK_OTHER;
	w->begun = true;
	w->id = rec->id;
	w->keep = body.flags & FCGI_KEEP_CONN;
	return WALK_MORE;
}

/* A PARAMS record of this request, whole at p. */
static enum fcgi_walk_result walk_params(struct fcgi_walk *w, const struct fcgi_record *rec,
					 const unsigned char *p)
{
	if (rec->content == 0)
		return pairs_end(&w->pairs) ? WALK_READY : WALK_BAD;
	w->params += rec->content;
	return pairs_take(&w->pairs, p + FCGI_HEADER_LEN, rec->content);
}

enum fcgi_walk_result fcgi_walk(struct fcgi_walk *w, const unsigned char *data, size_t len)
{
	while (len - w->done >= FCGI_HEADER_LEN) {
		const unsigned char *p = data + w->done;
		struct fcgi_record rec;
		enum fcgi_walk_result r;
		bool ours;
		size_t size;

		if (!fcgi_record_read(p, &rec))
			return WALK_BAD;
		size = fcgi_record_size(&rec);
		ours = w->begun && rec.id == w->id && rec.type == FCGI_PARAMS;
		if (ours && (w->params + rec.content > FCGI_PARAMS_TOTAL ||
			     w->done + size > FCGI_PARAMS_TOTAL + HEAD_OVERHEAD))
			return WALK_TOO_LARGE;
		if (len - w->done < size)
			return WALK_MORE;

		if (ours)
			r = walk_params(w, &rec, p);
		else if (rec.type == FCGI_BEGIN_REQUEST)
			r = walk_begin(w, &rec, p);
		else if (w->begun && rec.id == w->id && rec.type != FCGI_ABORT_REQUEST)
			r = WALK_BAD; /* a body before the end of the parameters */
		else
			r = WALK_OTHER;

		if (r == WALK_BAD || r == WALK_TOO_LARGE)
			return r;
		if (r == WALK_OTHER) {
			w->other = rec;
			return r;
		}
		w->last = w->done;
		w->done += size;
		if (rec.type == FCGI_BEGIN_REQUEST)
			w->first = w->done;
		if (r == WALK_READY)
			return r;
	}
	return WALK_MORE;
}
