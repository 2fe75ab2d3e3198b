/*
 * list.h: a doubly linked ring; the links live inside the listed structures.
 */
#ifndef LONGHAUL_WORKER_LIST_H
#define LONGHAUL_WORKER_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
	struct link *prev, *next;
};

#define LIST_ENTRY(link_, type_, member_) \
	((type_ *)(void *)((char *)(link_)-offsetof(type_, member_)))

static inline void list_init(struct link *list)
{
	list->prev = list->next = list;
}

static inline bool list_empty(const struct link *list)
{
	return list->next == list;
}

/* Inserts before `at`: at the end of a list if `at` is its head. */
static inline void list_add_before(struct link *at, struct link *link)
{
	link->prev = at->prev;
	link->next = at;
	at->prev->next = link;
	at->prev = link;
}

static inline void list_append(struct link *list, struct link *link)
{
	list_add_before(list, link);
}

static inline void list_prepend(struct link *list, struct link *link)
{
	list_add_before(list->next, link);
}

/* Takes a link out; it may then be removed again without harm. */
static inline void list_remove(struct link *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* Moves all of `from` to the front of `list`. */
static inline void list_move_to_front(struct link *list, struct link *from)
{
	if (list_empty(from))
		return;
	from->prev->next = list->next;
	list->next->prev = from->prev;
	list->next = from->next;
	from->next->prev = list;
	list_init(from);
}

#endif
