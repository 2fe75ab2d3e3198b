/*
 * exec_words.c: a command or a list of variables in one line of the configuration, as words.
 */
#include "exec.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 1000

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes the word that begins at *text, which moves behind it. Returns what is wrong, or NULL. */
static const char *take_word(const char **text, struct buf *word)
{
	const char *p = *text;
	char quote = '\0';

	for (; *p && (quote || !blank(*p)); p++) {
		if (quote ? *p == quote : *p == '\'' || *p == '"') {
			quote = quote ? '\0' : *p;
			continue;
		}
		if (*p == '\\' && quote != '\'' && *++p == '\0')
			return "a backslash at the end";
		if (!buf_add(word, p, 1))
			return "out of memory";
	}
	*text = p;
	return quote ? "a quote that is not closed" : NULL;
}

char **words_split(const char *text, const char **error)
{
	char **words = mem_zalloc((WORDS_MAX + 1) * sizeof(*words));
	size_t n = 0;

	*error = NULL;
	for (;;) {
		struct buf word = { 0 };

		while (blank(*text))
			text++;
		if (!*text)
			return words;
		*error = n == WORDS_MAX ? "more than 1000 words" : take_word(&text, &word);
		if (*error) {
			buf_free(&word);
			words_free(words);
			return NULL;
		}
		words[n] = buf_take(&word);
		if (!words[n])
			words[n] = mem_strdup("");
		n++;
	}
}

void words_free(char **words)
{
	size_t i;

	for (i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}
