/*
 * identity.c: the client, from nginx's parameter or from an API key.
 */
#include "api/identity.h"

#include <string.h>
#include <strings.h>

#include "api/app.h"
#include "api/host.h"
#include "api/jobs.h"
#include "api/request.h"
#include "common/log.h"
#include "common/sha256.h"

#define CLIENT_MAX 64
#define KEY_MAX 512
#define KEY_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="

bool origin_is_foreign(struct request *req)
{
	const char *origin = req_header(req, "Origin");
	const char *site = req_header(req, "Sec-Fetch-Site");

	if (req_method(req) == HTTP_GET || req_method(req) == HTTP_HEAD ||
	    strcmp(req_method_name(req), "OPTIONS") == 0)
		return false;
	if (origin && *origin && !origin_is_ours(origin, req_base_url(req)))
		return true;
	return site && *site && strcasecmp(site, "same-origin") != 0 &&
	       strcasecmp(site, "none") != 0;
}

bool client_name_valid(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > CLIENT_MAX || name[0] == ' ' || name[n - 1] == ' ')
		return false;
	for (; *name; name++)
		if (*name < ' ' || *name > '~')
			return false;
	return true;
}

const char *bearer_key(const char *header)
{
	size_t n;

	if (!header || strncasecmp(header, "Bearer ", 7) != 0)
		return NULL;
	header += 7;
	header += strspn(header, " ");
	n = strspn(header, KEY_CHARS);
	return n >= 1 && n <= KEY_MAX && header[n] == '\0' ? header : NULL;
}

static void refuse(struct request *req, const char *detail)
{
	reply_header(req, "WWW-Authenticate", "Bearer");
	reply_problem(req, "unauthorized", NULL, "%s", detail);
}

/* A look-up of a key, under way. Belongs to the request, of which it holds a reference. */
struct lookup {
	struct request *req;
	void (*known)(struct request *);
};

static void key_done(void *ctx, int outcome, const char *client)
{
	struct lookup *l = ctx;
	struct request *req = l->req;

	if (req_alive(req)) {
		if (outcome > 0) {
			request_set_client(req, req_printf(req, "%s", client));
			l->known(req);
		} else if (outcome == 0) {
			refuse(req, "The API key isn't known.");
		} else {
			reply_problem(req, "unavailable", NULL,
				      "The API key can't be checked now. Nothing was accepted.");
		}
	}
	req_unref(req);
}

void identity_find(struct request *req, void (*known)(struct request *))
{
	const char *param = app.cfg->client_param, *key;
	unsigned char sha256[SHA256_SIZE];
	struct lookup *lookup;
	int names, headers;
	const char *name = req_param(req, param, &names);
	const char *header = req_param(req, "HTTP_AUTHORIZATION", &headers);

	if (names > 1) {
		/* nginx sends both when an include sets one and the site another: which one is to be believed? */
		log_warning("nginx sent the client twice: look for two fastcgi_param %s request=%s",
			    param, req_id(req));
		reply_invalid(req, input_error(NULL, param, "the parameter came more than once"));
	} else if (name && *name && !client_name_valid(name)) {
		reply_invalid(req,
			      input_error(NULL, param,
					  "not a client name of 1 to 64 printable characters"));
	} else if (name && *name) {
		request_set_client(req, name);
		known(req);
	} else if (headers > 1) {
		reply_invalid(req,
			      input_error(NULL, "Authorization", "the header came more than once"));
	} else if (!header || !*header) {
		refuse(req, "No credentials were sent.");
	} else if (!(key = bearer_key(header))) {
		refuse(req, "The Authorization header isn't \"Bearer\" and a key.");
	} else {
		sha256_of(key, strlen(key), sha256);
		lookup = req_alloc(req, sizeof(*lookup));
		lookup->req = req;
		lookup->known = known;
		req_ref(req);
		client_key_lookup(sha256, key_done, lookup);
	}
}
