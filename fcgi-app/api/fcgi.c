/*
 * fcgi.c: the only file that touches libfcgi and the inside of its FCGX_Request.
 *
 * libfcgi accepts and reads with blocking calls and reads ahead by 8 KiB, neither of which an event
 * loop can have. So it never sees a connection: the bytes of one request's head, known to be whole,
 * go to it through a socket pair of our own, where it finds exactly one request and no more. Bodies
 * and answers are framed in conn.c, which can stop in the middle of a record.
 *
 * This leans on members that fcgiapp.h calls private: ipcFd is the connection to read from,
 * keepConnection = 1 keeps FCGX_Accept_r from closing it, listen_sock = -1 makes it fail rather than
 * wait for another connection. The self-test at start stands guard over that.
 */
#include "api/fcgi.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <fcgiapp.h>

#include "api/fcgi_records.h"
#include "api/request.h"
#include "common/log.h"

#define PAIR_BUFFER 262144 /* a whole head must fit: libfcgi reads only after we wrote all of it */

static int our_end = -1, lib_end = -1;

static void pair_close(void)
{
	if (our_end >= 0)
		close(our_end);
	if (lib_end >= 0)
		close(lib_end);
	our_end = lib_end = -1;
}

/* Opened early and kept, so that the number stays small: libfcgi calls select() on it when it fails. */
static bool pair_open(void)
{
	int fds[2], size = PAIR_BUFFER;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
		log_error("cannot make libfcgi's socket pair: %s", strerror(errno));
		return false;
	}
	our_end = fds[0];
	lib_end = fds[1];
	setsockopt(our_end, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return true;
}

/*
 * Writes a whole head. False if it doesn't go in at once. The records around the parameters are our
 * own: libfcgi takes the padding of BEGIN_REQUEST for the next record, and would leave that of the
 * last record behind for the next request.
 */
static bool pair_write(const unsigned char *params, size_t len, uint16_t id)
{
	static const FCGI_BeginRequestBody begin = { .roleB0 = FCGI_RESPONDER,
						     .flags = FCGI_KEEP_CONN };
	unsigned char first[FCGI_HEADER_LEN + sizeof(begin)], last[FCGI_HEADER_LEN];
	struct iovec iov[] = {
		{ first, sizeof(first) },
		{ (void *)(uintptr_t)params, len },
		{ last, sizeof(last) },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };
	ssize_t n;

	fcgi_put_header(first, FCGI_BEGIN_REQUEST, id, sizeof(begin));
	memcpy(first + FCGI_HEADER_LEN, &begin, sizeof(begin));
	fcgi_put_header(last, FCGI_PARAMS, id, 0);
	do
		n = sendmsg(our_end, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)(sizeof(first) + len + sizeof(last));
}

/* Lets libfcgi read what pair_write() wrote. The request's streams are freed by request_close(). */
static bool request_open(FCGX_Request *r)
{
	FCGX_InitRequest(r, -1, 0);
	r->ipcFd = lib_end;
	r->keepConnection = 1;
	r->listen_sock = -1;
	return FCGX_Accept_r(r) == 0;
}

/* FCGX_Finish_r would write an answer into the pair: only the memory is given back. */
static void request_close(FCGX_Request *r)
{
	FCGX_Free(r, 0);
	r->ipcFd = -1;
}

struct request *fcgi_decode(const unsigned char *params, size_t len, uint16_t id)
{
	struct request *req = NULL;
	FCGX_Request r;

	if (our_end < 0 && !pair_open())
		return NULL;
	if (pair_write(params, len, id)) {
		if (request_open(&r)) {
			req = request_new(r.envp);
			request_close(&r);
			return req;
		}
		lib_end = -1; /* closed by libfcgi */
	}
	log_error("libfcgi did not decode a checked request of %zu bytes", len);
	/* what is left in the pair would be taken for the begin of the next request */
	pair_close();
	return NULL;
}

/* A pair with lengths of one or four bytes. */
static size_t put_pair(unsigned char *p, const char *name, const char *value, size_t value_len)
{
	size_t n = strlen(name);

	p[0] = (unsigned char)n;
	p[1] = (unsigned char)(0x80 | value_len >> 24);
	p[2] = (unsigned char)(value_len >> 16);
	p[3] = (unsigned char)(value_len >> 8);
	p[4] = (unsigned char)value_len;
	memcpy(p + 5, name, n);
	memcpy(p + 5 + n, value, value_len);
	return 5 + n + value_len;
}

/* A request whose parameters are cut by a record's border, are larger than libfcgi's buffer and
 * repeat a name. Returns the length of what fcgi_decode() takes. */
static size_t test_records(unsigned char *out, uint16_t id)
{
	static unsigned char params[12000];
	static char big[9000];
	size_t n = 0, len = 0, cut = 11;

	memset(big, 'x', sizeof(big));
	len += put_pair(params, "REQUEST_METHOD", "POST", 4);
	len += put_pair(params + len, "HTTP_X_TEST", "one", 3);
	len += put_pair(params + len, "HTTP_BIG", big, sizeof(big));
	len += put_pair(params + len, "HTTP_X_TEST", "two", 3);
	len += put_pair(params + len, "CONTENT_LENGTH", "", 0);

	n += fcgi_put_header(out, FCGI_PARAMS, id, (uint16_t)cut);
	memcpy(out + n, params, cut);
	n += cut;
	n += fcgi_put_header(out + n, FCGI_PARAMS, id, (uint16_t)(len - cut));
	memcpy(out + n, params + cut, len - cut);
	return n + len - cut;
}

static bool text_is(const char *text, const char *expected)
{
	return text && strcmp(text, expected) == 0;
}

/* True if the request came out as test_records() put it in. */
static bool test_params(struct request *req)
{
	int count;
	const char *big = req_param(req, "HTTP_BIG", NULL);

	return req_method(req) == HTTP_POST && big && strlen(big) == 9000 &&
	       text_is(req_param(req, "HTTP_X_TEST", &count), "one") && count == 2 &&
	       text_is(req_header(req, "X-Test"), "one, two") && req_content_length(req) == -1;
}

/* Decodes the test's request twice: the second shows that the first left nothing behind. */
static bool self_test(void)
{
	static unsigned char records[16384];
	int fd = lib_end;

	for (uint16_t id = 1; id <= 2; id++) {
		struct request *req = fcgi_decode(records, test_records(records, id), id);
		int left = -1;
		bool good = req && test_params(req) && ioctl(lib_end, FIONREAD, &left) == 0 &&
			    left == 0 && ioctl(our_end, FIONREAD, &left) == 0 && left == 0 &&
			    lib_end == fd && fcntl(lib_end, F_GETFD) >= 0;

		if (req)
			req_unref(req);
		request_bury();
		if (!good)
			return false;
	}
	return true;
}

bool fcgi_start(void)
{
	if (FCGX_Init() != 0) {
		log_error("libfcgi can't be initialised");
		return false;
	}
	if (!pair_open())
		return false;
	if (!self_test()) {
		log_error("this libfcgi doesn't behave as it must: the self-test failed");
		return false;
	}
	return true;
}

void fcgi_stop(void)
{
	pair_close();
}
