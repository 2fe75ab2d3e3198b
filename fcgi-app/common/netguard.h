/*
 * netguard.h: which addresses may be connected to on behalf of a client.
 *
 * Only globally reachable unicast is: whatever IANA's registries of special-purpose addresses list
 * (loopback, private, link-local, shared, documentation, benchmarking, tunnels, translated and mapped
 * addresses), multicast and what is reserved is refused. The operator's list opens exceptions.
 */
#ifndef LONGHAUL_NETGUARD_H
#define LONGHAUL_NETGUARD_H

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

struct net_range {
	int family;             /* AF_INET or AF_INET6 */
	int bits;               /* of the prefix */
	unsigned char addr[16]; /* in network order; 4 bytes are used of AF_INET */
};

/* The exceptions. Zero-initialised: none. */
struct netguard {
	struct net_range *allow;
	size_t n;
};

/* Reads "127.0.0.0/8, fd00::/8 10.1.2.3": addresses with or without prefix lengths between blanks and
 * commas. False and a message in err if one is none. Frees what the guard held. */
bool netguard_parse(struct netguard *g, const char *list, char *err, size_t errsize);
void netguard_free(struct netguard *g);

/* NULL if the address may be connected to; else what kind it is ("loopback"), for the log. */
const char *netguard_refuses(const struct netguard *g, const struct sockaddr *addr);

#endif
