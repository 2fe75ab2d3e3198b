/*
 * account.c: the rules for accounts.
 *
 * email       required, the key: the form that HTML's e-mail inputs accept, and letters beyond
 *             ASCII (RFC 6531); at most 254 bytes, 64 of them before the @
 * name        required: 1 to 200 characters
 * externalId  optional: up to 200 characters; empty counts as absent
 */
#include "account.h"

#include "common/json.h"
#include "common/text.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define EMAIL_MAX 254
#define EMAIL_LOCAL_MAX 64
#define EMAIL_LABEL_MAX 63
#define NAME_MAX_CHARS 200
#define EXTERNAL_ID_MAX_CHARS 200

static bool letter_or_digit(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c >= 0x80;
}

static bool local_part_ok(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!letter_or_digit((unsigned char)s[i]) &&
		    !memchr(".!#$%&'*+/=?^_`{|}~-", s[i], 20))
			return false;
	return len >= 1 && len <= EMAIL_LOCAL_MAX;
}

/* Labels of letters, digits and inner hyphens, with dots between. */
static bool domain_ok(const char *s, size_t len)
{
	size_t i, label = 0;

	for (i = 0; i < len; i++) {
		if (s[i] == '.') {
			if (label == 0 || s[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!letter_or_digit((unsigned char)s[i]) && (s[i] != '-' || label == 0))
			return false;
		if (++label > EMAIL_LABEL_MAX)
			return false;
	}
	return label > 0 && s[len - 1] != '-';
}

static bool email_ok(struct slice e)
{
	const char *at = memchr(e.data, '@', e.len);

	return at && local_part_ok(e.data, (size_t)(at - e.data)) &&
	       domain_ok(at + 1, e.len - (size_t)(at + 1 - e.data));
}

/* Fewer bytes are fewer characters: most texts need no counting. */
static bool longer_than(struct slice s, size_t chars)
{
	return s.len > chars && text_chars(s.data, s.len) > chars;
}

bool account_refuse(struct account *a, const char *field, const char *reason)
{
	a->field.data = field;
	a->field.len = field ? strlen(field) : 0;
	a->reason = reason;
	return false;
}

static bool email_check(struct account *a)
{
	if (!a->email.data || a->email.len == 0)
		return account_refuse(a, "email", "is missing");
	if (a->email.len > EMAIL_MAX)
		return account_refuse(a, "email", "is longer than 254 bytes");
	if (!email_ok(a->email))
		return account_refuse(a, "email", "is not an e-mail address");
	return true;
}

void account_check(struct account *a)
{
	if (!email_check(a))
		return;
	if (!a->name.data || a->name.len == 0)
		account_refuse(a, "name", "is missing");
	else if (longer_than(a->name, NAME_MAX_CHARS))
		account_refuse(a, "name", "is longer than 200 characters");
	else if (a->external_id.data && longer_than(a->external_id, EXTERNAL_ID_MAX_CHARS))
		account_refuse(a, "externalId", "is longer than 200 characters");
	else if (a->external_id.len == 0)
		a->external_id.data = NULL;
}

bool account_row_is_text(struct account *a, const char *data, size_t len)
{
	if (utf8_valid(data, len))
		return true;
	return account_refuse(a, NULL,
			      memchr(data, 0, len) ? "holds a NUL byte" : "is not valid UTF-8");
}

/* Members of a row as they stand in it; of a name that comes twice, the last. */
struct members {
	struct slice email, name, external_id;
	struct buf *more; /* "{" and the further ones, each with a comma behind */
	char *room;
};

static bool is(struct slice s, const char *name, size_t len)
{
	return s.len == len && memcmp(s.data, name, len) == 0;
}

/* Keeps one member. False when memory ends. */
static bool keep_member(struct members *m, struct slice key, struct slice value)
{
	struct slice name = json_scan_unescape(key, m->room);

	if (is(name, "email", 5))
		m->email = value;
	else if (is(name, "name", 4))
		m->name = value;
	else if (is(name, "externalId", 10))
		m->external_id = value;
	else
		return (m->more->len > 0 || buf_adds(m->more, "{")) &&
		       buf_add(m->more, key.data, key.len) && buf_adds(m->more, ":") &&
		       buf_add(m->more, value.data, value.len) && buf_adds(m->more, ",");
	return true;
}

/* Says why the scanner stopped; `key` is the member in whose value it did, or absent. */
static void refuse_json(struct account *a, const struct json_scan *s, const char *begin,
			struct slice key, char *room)
{
	static const char *const reasons[] = {
		[JSON_SCAN_DEPTH] = "is nested more than 16 levels deep",
		[JSON_SCAN_NUL] = "holds \\u0000, which can't be stored",
		[JSON_SCAN_SURROGATE] = "holds half of a surrogate pair",
		[JSON_SCAN_NUMBER] = "holds a number that is too large",
	};

	if (s->error == JSON_SCAN_SYNTAX) {
		snprintf(a->reason_text, sizeof(a->reason_text), "is not valid JSON, at byte %zu",
			 (size_t)(s->at - begin) + 1);
		a->reason = a->reason_text;
		return;
	}
	a->reason = reasons[s->error];
	if (key.data) {
		a->field = json_scan_unescape(key, room);
		a->field.len = utf8_prefix(a->field.data, a->field.len, ACCOUNT_NAMED_MAX);
	}
}

/*
 * Walks over the members of the object at s. Returns false with s->error set if the text is wrong
 * (*key is then the member it was in), with s->error clear when memory ended.
 */
static bool scan_members(struct json_scan *s, struct members *m, struct slice *key)
{
	struct slice none = { NULL, 0 }, value;

	json_scan_space(s);
	if (json_scan_char(s, '}'))
		return true;
	do {
		*key = none;
		json_scan_space(s);
		if (!json_scan_string(s, key))
			return false;
		json_scan_space(s);
		if (!json_scan_char(s, ':'))
			return json_scan_fail(s, JSON_SCAN_SYNTAX);
		json_scan_space(s);
		if (!json_scan_value(s, &value) || !keep_member(m, *key, value))
			return false;
		json_scan_space(s);
	} while (json_scan_char(s, ','));
	*key = none;
	return json_scan_char(s, '}') || json_scan_fail(s, JSON_SCAN_SYNTAX);
}

/* A member that must be text, unescaped into *room, which moves on; null counts as absent. */
static bool text_member(struct account *a, const char *field, struct slice value, char **room,
			struct slice *out)
{
	if (!value.data || is(value, "null", 4))
		return true;
	if (value.data[0] != '"')
		return account_refuse(a, field, "must be a string");
	*out = json_scan_unescape(value, *room);
	if (out->data == *room)
		*room += out->len;
	return true;
}

static void take_members(struct account *a, const struct members *m)
{
	char *room = m->room;

	if (!text_member(a, "email", m->email, &room, &a->email) ||
	    !text_member(a, "name", m->name, &room, &a->name) ||
	    !text_member(a, "externalId", m->external_id, &room, &a->external_id))
		return;
	account_check(a);
	if (m->more->len > 0) {
		m->more->data[m->more->len - 1] = '}';
		a->extra.data = m->more->data;
		a->extra.len = m->more->len;
	}
}

bool account_from_json(struct account *a, const char *data, size_t len, char *room,
		       struct buf *more)
{
	struct json_scan s = { .at = data, .end = data + len, .depth = ACCOUNT_DEPTH_MAX - 1 };
	struct members m = { .more = more, .room = room };
	struct slice key = { NULL, 0 }, value;

	memset(a, 0, offsetof(struct account, reason_text));
	buf_reset(more);
	if (!account_row_is_text(a, data, len))
		return true;
	json_scan_space(&s);
	if (!json_scan_char(&s, '{')) {
		s.depth++;
		if (json_scan_value(&s, &value))
			a->reason = "is not a JSON object";
	} else if (!scan_members(&s, &m, &key) && s.error == JSON_SCAN_OK) {
		return false;
	}
	if (s.error == JSON_SCAN_OK) {
		json_scan_space(&s);
		if (s.at < s.end)
			json_scan_fail(&s, JSON_SCAN_SYNTAX);
	}
	if (s.error != JSON_SCAN_OK)
		refuse_json(a, &s, data, key, room);
	else if (!a->reason)
		take_members(a, &m);
	return true;
}
