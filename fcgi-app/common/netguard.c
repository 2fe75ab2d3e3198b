/*
 * netguard.c: the special-purpose addresses, and the operator's exceptions.
 */
#include "netguard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mem.h"

/* The first two 16-bit groups, and the third, are all that an IPv6 prefix below needs, but for those
 * in the lowest 96 bits, which are outside of 2000::/3 anyhow. */
/* clang-format off */
#define V4(a, b, c) AF_INET, { a, b, c }
#define V6(a, b, c) AF_INET6, { (a) >> 8, (a) & 255, (b) >> 8, (b) & 255, (c) >> 8, (c) & 255 }

static const struct special {
	const char *kind;
	int bits, family;
	unsigned char addr[16];
} special[] = {
	{ "this network",    8, V4(0, 0, 0) },
	{ "private",         8, V4(10, 0, 0) },
	{ "shared (CGNAT)", 10, V4(100, 64, 0) },
	{ "loopback",        8, V4(127, 0, 0) },
	{ "link-local",     16, V4(169, 254, 0) },
	{ "private",        12, V4(172, 16, 0) },
	{ "protocols",      24, V4(192, 0, 0) },
	{ "documentation",  24, V4(192, 0, 2) },
	{ "AS112",          24, V4(192, 31, 196) },
	{ "AMT",            24, V4(192, 52, 193) },
	{ "6to4 relay",     24, V4(192, 88, 99) },
	{ "private",        16, V4(192, 168, 0) },
	{ "AS112",          24, V4(192, 175, 48) },
	{ "benchmarking",   15, V4(198, 18, 0) },
	{ "documentation",  24, V4(198, 51, 100) },
	{ "documentation",  24, V4(203, 0, 113) },
	{ "multicast",       4, V4(224, 0, 0) },
	{ "reserved",        4, V4(240, 0, 0) }, /* and broadcast */

	{ "protocols",      23, V6(0x2001, 0, 0) }, /* Teredo, ORCHID, benchmarking … */
	{ "documentation",  32, V6(0x2001, 0xdb8, 0) },
	{ "6to4",           16, V6(0x2002, 0, 0) },
	{ "AS112",          48, V6(0x2620, 0x4f, 0x8000) },
	{ "documentation",  20, V6(0x3fff, 0, 0) },
	/* All outside of 2000::/3, so refused without a line of their own: these are for the log. */
	{ "NAT64",          96, V6(0x64, 0xff9b, 0) },
	{ "NAT64",          48, V6(0x64, 0xff9b, 1) },
	{ "discard-only",   64, V6(0x100, 0, 0) },
	{ "segment routing", 16, V6(0x5f00, 0, 0) },
	{ "unique local",    7, V6(0xfc00, 0, 0) },
	{ "link-local",     10, V6(0xfe80, 0, 0) },
	{ "site-local",     10, V6(0xfec0, 0, 0) },
	{ "multicast",       8, V6(0xff00, 0, 0) },
};
/* clang-format on */

static const struct net_range global_unicast = { AF_INET6, 3, { 0x20 } };

static bool within(const unsigned char *addr, const unsigned char *prefix, int bits)
{
	int whole = bits / 8, rest = bits % 8;

	return memcmp(addr, prefix, (size_t)whole) == 0 &&
	       (rest == 0 || (addr[whole] ^ prefix[whole]) >> (8 - rest) == 0);
}

/* Why an IPv6 address outside of the global unicast range is refused. */
static const char *low_kind(const unsigned char *addr)
{
	static const unsigned char zero[16];

	if (!within(addr, zero, 80))
		return "reserved";
	if (addr[10] == 0xff && addr[11] == 0xff)
		return "IPv4-mapped";
	if (!within(addr, zero, 96))
		return "reserved";
	if (within(addr, zero, 127))
		return addr[15] == 1 ? "loopback" : "unspecified";
	return "IPv4-compatible";
}

/* The bytes of the address, NULL if it is of another family. */
static const unsigned char *bytes_of(const struct sockaddr *addr)
{
	if (addr->sa_family == AF_INET)
		return (const unsigned char *)&((const struct sockaddr_in *)(const void *)addr)
			->sin_addr;
	if (addr->sa_family == AF_INET6)
		return ((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr.s6_addr;
	return NULL;
}

const char *netguard_refuses(const struct netguard *g, const struct sockaddr *addr)
{
	const unsigned char *b = bytes_of(addr);

	if (!b)
		return "no IP address";
	for (size_t i = 0; i < g->n; i++)
		if (g->allow[i].family == addr->sa_family &&
		    within(b, g->allow[i].addr, g->allow[i].bits))
			return NULL;
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (special[i].family == addr->sa_family &&
		    within(b, special[i].addr, special[i].bits))
			return special[i].kind;
	if (addr->sa_family == AF_INET6 && !within(b, global_unicast.addr, global_unicast.bits))
		return low_kind(b);
	return NULL;
}

/* ---- exceptions ------------------------------------------------------------------------------- */

static bool parse_range(const char *text, struct net_range *out)
{
	char addr[INET6_ADDRSTRLEN];
	size_t n = strcspn(text, "/");
	int most;

	*out = (struct net_range){ 0 };
	if (n >= sizeof(addr))
		return false;
	memcpy(addr, text, n);
	addr[n] = '\0';
	if (inet_pton(AF_INET, addr, out->addr) == 1)
		out->family = AF_INET;
	else if (inet_pton(AF_INET6, addr, out->addr) == 1)
		out->family = AF_INET6;
	else
		return false;
	most = out->family == AF_INET ? 32 : 128;
	out->bits = most;
	if (text[n] == '\0')
		return true;
	text += n + 1;
	if (*text == '\0' || strlen(text) > 3 || strspn(text, "0123456789") != strlen(text))
		return false;
	out->bits = atoi(text);
	return out->bits <= most;
}

bool netguard_parse(struct netguard *g, const char *list, char *err, size_t errsize)
{
	char *copy = mem_strdup(list), *save = NULL;
	bool ok = true;

	netguard_free(g);
	for (char *w = strtok_r(copy, ", \t", &save); w && ok; w = strtok_r(NULL, ", \t", &save)) {
		g->allow = mem_realloc(g->allow, g->n + 1, sizeof(*g->allow));
		ok = parse_range(w, &g->allow[g->n]);
		if (ok)
			g->n++;
		else
			snprintf(err, errsize, "\"%.60s\" is no address with a prefix length", w);
	}
	free(copy);
	return ok;
}

void netguard_free(struct netguard *g)
{
	free(g->allow);
	*g = (struct netguard){ 0 };
}
