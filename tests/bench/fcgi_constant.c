/*
 * fcgi_constant: answers every FastCGI request with the same short document. The ceiling of libfcgi
 * behind nginx, for `make bench`. One thread a connection, so that kept connections are all served.
 *
 * usage: fcgi_constant SOCKET THREADS
 */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

static int listener;

static void *serve(void *unused)
{
	static const char answer[] =
		"Status: 200 OK\r\nContent-Type: application/json\r\nCache-Control: private, no-store\r\n\r\n"
		"{\"jobId\":\"00000000-0000-4000-8000-000000000000\",\"status\":\"Completed\"}\n";
	FCGX_Request request;

	(void)unused;
	FCGX_InitRequest(&request, listener, 0);
	while (FCGX_Accept_r(&request) == 0) {
		FCGX_PutStr(answer, sizeof answer - 1, request.out);
		FCGX_Finish_r(&request);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc == 3 ? atoi(argv[2]) : 0;

	if (threads < 1)
		return 2;
	FCGX_Init();
	listener = FCGX_OpenSocket(argv[1], 1024);
	if (listener < 0 || chmod(argv[1], 0666) != 0)
		return 1;
	for (int i = 1; i < threads; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, serve, NULL) != 0)
			return 1;
	}
	serve(NULL);
	return 0;
}
