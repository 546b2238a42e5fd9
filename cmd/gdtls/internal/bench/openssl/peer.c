// OpenSSL's DTLS 1.2 as a peer of "gdtls bench". Both sides are threads of this
// program, each with a connected UDP socket of its own on loopback.
//
//	peer throughput CA CERT KEY SIZE BATCH one|echo
//	peer handshake CA CERT KEY full|resumed
//
// For each number of milliseconds that it reads from standard input it measures so
// long and writes a line: "SENT ARRIVED NANOSECONDS ALLOCATIONS" for throughput,
// "HANDSHAKES NANOSECONDS ALLOCATIONS BYTES" for handshakes. It ends with its input.

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

enum {
	RECORD_MTU = 1400,
	RECEIVE_BUFFER = 4 << 20,
	WINDOW_BYTES = 256 << 10,
	MAX_WINDOW = 1024,
	LOSS_PATIENCE = 10000000, // ns
	LAST_PATIENCE = 100000000,
	GROUP = 20, // handshakes whose sockets are opened before the clock starts
};

static const char server_name[] = "bench.gdtls.example";

static _Noreturn void fail(const char *what) {
	fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "failed");
	ERR_print_errors_fp(stderr);
	exit(1);
}

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// pin ties the calling thread to one of the processors that the program may use.
static void pin(int processor) {
#ifdef __linux__
	cpu_set_t all, one;
	if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2)
		return;
	processor %= CPU_COUNT(&all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || processor-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(pthread_self(), sizeof one, &one);
		return;
	}
#else
	(void)processor;
#endif
}

// What the library allocates is counted.
static atomic_llong allocations, allocated;

static void count(size_t n) {
	atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&allocated, (long long)n, memory_order_relaxed);
}

static void *counted_malloc(size_t n, const char *file, int line) {
	(void)file, (void)line;
	if (n == 0)
		return NULL;
	count(n);
	return malloc(n);
}

static void *counted_realloc(void *p, size_t n, const char *file, int line) {
	(void)file, (void)line;
	if (n == 0) {
		free(p);
		return NULL;
	}
	count(n);
	return realloc(p, n);
}

static void counted_free(void *p, const char *file, int line) {
	(void)file, (void)line;
	free(p);
}

// The cookie is always the same: both sides are this program.
static int make_cookie(SSL *ssl, unsigned char *cookie, unsigned int *length) {
	(void)ssl;
	memset(cookie, 'c', *length = 20);
	return 1;
}

static int check_cookie(SSL *ssl, const unsigned char *cookie, unsigned int length) {
	(void)ssl, (void)cookie;
	return length == 20;
}

static SSL_CTX *new_context(const SSL_METHOD *method) {
	SSL_CTX *context = SSL_CTX_new(method);
	if (context == NULL || SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256") != 1)
		fail("context");
	SSL_CTX_set_options(context, SSL_OP_NO_QUERY_MTU);
	return context;
}

static SSL_CTX *client_context, *server_context;

static void set_up(char **files, int resuming) {
	client_context = new_context(DTLS_client_method());
	SSL_CTX_set_verify(client_context, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_load_verify_locations(client_context, files[0], NULL) != 1)
		fail("authority");
	server_context = new_context(DTLS_server_method());
	SSL_CTX_set_options(server_context, SSL_OP_COOKIE_EXCHANGE);
	SSL_CTX_set_cookie_generate_cb(server_context, make_cookie);
	SSL_CTX_set_cookie_verify_cb(server_context, check_cookie);
	SSL_CTX_set_session_id_context(server_context, (const unsigned char *)"bench", 5);
	if (!resuming) {
		SSL_CTX_set_options(server_context, SSL_OP_NO_TICKET);
		SSL_CTX_set_session_cache_mode(server_context, SSL_SESS_CACHE_OFF);
	}
	if (SSL_CTX_use_certificate_file(server_context, files[1], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(server_context, files[2], SSL_FILETYPE_PEM) != 1)
		fail("certificate");
}

struct pair {
	int socket[2]; // client's and server's
	SSL *client, *server;
};

static void open_sockets(int sockets[2]) {
	struct sockaddr_in address[2];
	for (int i = 0; i < 2; i++) {
		socklen_t length = sizeof address[i];
		memset(&address[i], 0, sizeof address[i]);
		address[i].sin_family = AF_INET;
		address[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		int buffer = RECEIVE_BUFFER;
		if ((sockets[i] = socket(AF_INET, SOCK_DGRAM, 0)) < 0 ||
		    bind(sockets[i], (struct sockaddr *)&address[i], length) != 0 ||
		    getsockname(sockets[i], (struct sockaddr *)&address[i], &length) != 0)
			fail("socket");
		setsockopt(sockets[i], SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
#ifdef SO_RCVBUFFORCE
		setsockopt(sockets[i], SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
#endif
	}
	for (int i = 0; i < 2; i++)
		if (connect(sockets[i], (struct sockaddr *)&address[1 - i], sizeof address[i]) != 0)
			fail("connect");
}

static SSL *new_side(SSL_CTX *context, int socket) {
	SSL *ssl = SSL_new(context);
	BIO *bio = BIO_new_dgram(socket, BIO_NOCLOSE);
	struct sockaddr_in peer;
	socklen_t length = sizeof peer;
	if (ssl == NULL || bio == NULL || getpeername(socket, (struct sockaddr *)&peer, &length) != 0)
		fail("connection");
	BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &peer);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_mtu(ssl, RECORD_MTU);
	return ssl;
}

// The sides of a pair are made by their handshakes, as the other peers' are.
static void connect_client(struct pair *p, SSL_SESSION *session) {
	p->client = new_side(client_context, p->socket[0]);
	SSL_set_tlsext_host_name(p->client, server_name);
	SSL_set1_host(p->client, server_name);
	if (session != NULL)
		SSL_set_session(p->client, session);
	if (SSL_connect(p->client) != 1)
		fail("handshake of the client");
}

static void connect_server(struct pair *p) {
	p->server = new_side(server_context, p->socket[1]);
	if (SSL_accept(p->server) != 1)
		fail("handshake of the server");
}

static void close_pair(struct pair *p) {
	// Otherwise the session counts as broken, and is not resumed.
	SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_set_shutdown(p->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(p->client);
	SSL_free(p->server);
	close(p->socket[0]);
	close(p->socket[1]);
}

static void *serve_handshakes(void *pairs) {
	pin(1);
	for (int i = 0; i < GROUP; i++)
		connect_server((struct pair *)pairs + i);
	return NULL;
}

static void measure_handshakes(int resumed) {
	SSL_SESSION *session = NULL;
	int milliseconds;
	pin(0);
	while (scanf("%d", &milliseconds) == 1) {
		int64_t took = 0;
		long long handshakes = 0, count = 0, bytes = 0;
		while (took < milliseconds * 1000000LL) {
			struct pair pairs[GROUP];
			pthread_t server;
			for (int i = 0; i < GROUP; i++)
				open_sockets(pairs[i].socket);
			int first = resumed && session == NULL; // makes the session
			long long allocations_before = allocations, allocated_before = allocated;
			int64_t start = now();
			if (pthread_create(&server, NULL, serve_handshakes, pairs) != 0)
				fail("thread");
			for (int i = 0; i < GROUP; i++) {
				connect_client(&pairs[i], session);
				if (SSL_session_reused(pairs[i].client) != (session != NULL))
					fail("resumption");
			}
			pthread_join(server, NULL);
			if (first) {
				session = SSL_get1_session(pairs[0].client);
			} else {
				took += now() - start;
				handshakes += GROUP;
				count += allocations - allocations_before;
				bytes += allocated - allocated_before;
			}
			for (int i = 0; i < GROUP; i++)
				close_pair(&pairs[i]);
		}
		printf("%lld %lld %lld %lld\n", handshakes, (long long)took, count, bytes);
		fflush(stdout);
	}
	SSL_SESSION_free(session);
}

struct flow {
	struct pair pair;
	int size, batch, echo;
	atomic_llong arrived;
};

static int received(SSL *ssl, unsigned char *buffer, int size) {
	int n = SSL_read(ssl, buffer, size + 1);
	if (n > 0 && n != size) {
		fprintf(stderr, "received a datagram of %d bytes where all have %d\n", n, size);
		exit(1);
	}
	if (n <= 0 && SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ)
		fail("receive");
	return n > 0;
}

static void *serve(void *argument) {
	struct flow *f = argument;
	unsigned char *buffer = malloc(f->size + 1);
	pin(1);
	connect_server(&f->pair);
	for (;;) {
		if (!received(f->pair.server, buffer, f->size))
			continue;
		if (!f->echo)
			atomic_fetch_add_explicit(&f->arrived, 1, memory_order_release);
		else if (SSL_write(f->pair.server, buffer, f->size) != f->size)
			fail("send");
	}
}

static long long smaller(long long a, long long b) { return a < b ? a : b; }
static long long larger(long long a, long long b) { return a > b ? a : b; }

static long long window, widest, lost, sent;

// settle waits until no more than most are under way, or counts them as lost, and
// tells when the last one arrived.
static int64_t settle(struct flow *f, long long most, int64_t patience) {
	long long seen = atomic_load(&f->arrived);
	int64_t since = now();
	for (unsigned spins = 0;; spins++) {
		long long arrived = atomic_load_explicit(&f->arrived, memory_order_acquire);
		if (arrived != seen) {
			seen = arrived;
			since = now();
		}
		if (lost > sent - arrived) { // it was late
			lost = sent - arrived;
			window = widest;
		}
		if (sent - lost - arrived <= most)
			return since;
		if (spins % 64 == 63 && now() - since > patience) {
			lost = sent - arrived;
			window = larger(window / 2, f->batch);
			return since;
		}
		if (spins % 1000 == 999)
			sched_yield();
	}
}

static void measure_throughput(struct flow *f) {
	pthread_t server;
	unsigned char *buffer = calloc(1, f->size + 1);
	struct timeval patience = {.tv_usec = LAST_PATIENCE / 1000};
	int milliseconds;
	pin(0);
	open_sockets(f->pair.socket);
	if (pthread_create(&server, NULL, serve, f) != 0)
		fail("thread");
	connect_client(&f->pair, NULL);
	SSL *client = f->pair.client;
	BIO_ctrl(SSL_get_rbio(client), BIO_CTRL_DGRAM_SET_RECV_TIMEOUT, 0, &patience);
	window = widest = smaller(larger(WINDOW_BYTES / f->size, 2 * f->batch), MAX_WINDOW);
	while (scanf("%d", &milliseconds) == 1) {
		long long allocations_before = allocations;
		int64_t start = now(), last = start;
		atomic_store(&f->arrived, 0);
		sent = lost = 0;
		while (now() - start < milliseconds * 1000000LL) {
			if (!f->echo)
				settle(f, window - f->batch, LOSS_PATIENCE);
			for (int i = 0; i < f->batch; i++, sent++)
				if (SSL_write(client, buffer, f->size) != f->size)
					fail("send");
			for (int i = 0; f->echo && i < f->batch && received(client, buffer, f->size); i++)
				atomic_fetch_add(&f->arrived, 1);
			last = now();
		}
		if (!f->echo)
			last = settle(f, 0, LAST_PATIENCE);
		printf("%lld %lld %lld %lld\n", sent, (long long)f->arrived, (long long)(last - start), (long long)allocations - allocations_before);
		fflush(stdout);
	}
}

int main(int count, char **arguments) {
	if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1)
		fail("allocation functions");
	if (count == 8 && strcmp(arguments[1], "throughput") == 0) {
		struct flow f = {.size = atoi(arguments[5]), .batch = atoi(arguments[6]), .echo = strcmp(arguments[7], "echo") == 0};
		set_up(arguments + 2, 0);
		measure_throughput(&f);
	} else if (count == 6 && strcmp(arguments[1], "handshake") == 0) {
		int resumed = strcmp(arguments[5], "resumed") == 0;
		set_up(arguments + 2, resumed);
		measure_handshakes(resumed);
	} else {
		fprintf(stderr, "usage: peer throughput CA CERT KEY SIZE BATCH one|echo, or peer handshake CA CERT KEY full|resumed\n");
		return 2;
	}
	_exit(0); // the server's thread still waits
}
