// What all peers have in common: options, the socket, and the conversation.
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct options options;

void say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

static void parse(char *argument)
{
	char *value = strchr(argument, '=');
	need(value != NULL);
	*value++ = 0;
#define is(s) (strcmp(argument, s) == 0)
	if (is("role"))
		options.server = strcmp(value, "server") == 0;
	else if (is("port"))
		options.port = atoi(value);
	else if (is("cert"))
		options.cert = value;
	else if (is("key"))
		options.key = value;
	else if (is("ca"))
		options.ca = value;
	else if (is("auth"))
		options.auth = value;
	else if (is("name"))
		options.name = value;
	else if (is("byaddress"))
		options.by_address = 1;
	else if (is("suite"))
		options.suite = (int)strtol(value, NULL, 16);
	else if (is("group"))
		options.group = value;
	else if (is("signature"))
		options.signature = value;
	else if (is("identity"))
		options.identity = value;
	else if (is("hint"))
		options.hint = value;
	else if (is("mtu"))
		options.mtu = atoi(value);
	else if (is("accept"))
		options.accept = 1;
	else if (is("noems"))
		options.no_ems = 1;
	else if (is("tickets"))
		options.tickets = 1;
	else if (is("alpn")) {
		size_t n = 0;
		for (char *p = strtok(value, ","); p != NULL; p = strtok(NULL, ",")) {
			need(n + 1 < sizeof options.alpn / sizeof *options.alpn);
			options.alpn[n++] = p;
		}
	} else if (is("psk")) {
		unsigned byte;
		for (; sscanf(value, "%2x", &byte) == 1; value += 2) {
			need(options.psk_length < sizeof options.psk);
			options.psk[options.psk_length++] = (unsigned char)byte;
		}
	} else {
		say("failed: unknown argument %s", argument);
		exit(1);
	}
#undef is
}

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

// bound makes a socket with a port; 0: any.
static int bound(int port)
{
	struct sockaddr_in address = loopback(port);
	int yes = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);
	need(fd >= 0);
	need(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
	need(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

// listen_anywhere makes a server's socket. Only a port that was asked for outlives
// a disconnect.
static int listen_anywhere(void)
{
	struct sockaddr_in address;
	socklen_t length = sizeof address;
	int any = bound(0);
	need(getsockname(any, (struct sockaddr *)&address, &length) == 0);
	int fd = bound(ntohs(address.sin_port));
	close(any);
	say("listening %d", ntohs(address.sin_port));
	return fd;
}

static void disconnect(int fd)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	need(connect(fd, &none, sizeof none) == 0);
}

// take_peer connects the socket with the next who sends a ClientHello; what was left
// of the last connection is passed over.
static void take_peer(int fd)
{
	for (;;) {
		unsigned char start[14];
		struct sockaddr_in from;
		socklen_t length = sizeof from;
		ssize_t n = recvfrom(fd, start, sizeof start, MSG_PEEK, (struct sockaddr *)&from, &length);
		if (n < 0)
			continue; // an ICMP error for what was sent to the last peer
		if (n == sizeof start && start[0] == 22 && start[13] == 1) {
			need(connect(fd, (struct sockaddr *)&from, length) == 0);
			return;
		}
		(void)recv(fd, start, sizeof start, 0);
	}
}

static int connect_to(int port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	need(fd >= 0);
	need(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

// command acts on a line of input. It tells whether another connection is asked for.
static int command(char *line, size_t length)
{
	if (strncmp(line, "close\n", length) == 0) {
		peer_close();
		return 0;
	}
	if (strncmp(line, "resume\n", length) == 0) {
		peer_close();
		return 1;
	}
	if (peer_send(line, length) != 0)
		say("failed: cannot send %zu bytes", length);
	return 0;
}

// How a connection ends.
enum end { BY_FAILURE, BY_PEER, TO_RESUME };

// converse plays one connection.
static enum end converse(int fd)
{
	static char input[1 << 16], received[1 << 16];
	static size_t filled;
	if (peer_handshake(fd) != 0)
		return BY_FAILURE;
	say("established");
	for (;;) {
		struct pollfd waits[] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
		// The other side's first datagrams may have been read with its last flight.
		for (int n; (n = peer_receive(received, sizeof received - 1)) != NOTHING;) {
			if (n < 0)
				return n == CLOSED ? BY_PEER : BY_FAILURE;
			received[n] = 0;
			printf("received %s", received);
			fflush(stdout);
		}
		need(poll(waits, 2, -1) > 0 || errno == EINTR);
		if (waits[1].revents == 0)
			continue;
		ssize_t n = read(STDIN_FILENO, input + filled, sizeof input - filled);
		if (n <= 0)
			exit(0);
		filled += (size_t)n;
		for (char *end; (end = memchr(input, '\n', filled)) != NULL;) {
			size_t length = (size_t)(end + 1 - input);
			int again = command(input, length);
			filled -= length;
			memmove(input, end + 1, filled);
			if (again)
				return TO_RESUME;
		}
	}
}

int main(int count, char **arguments)
{
	if (count == 2 && strcmp(arguments[1], "version") == 0) {
		peer_version();
		return 0;
	}
	for (int i = 1; i < count; i++)
		parse(arguments[i]);
	enum end end;
	int fd = options.server ? listen_anywhere() : -1;
	do {
		if (options.server)
			take_peer(fd);
		else
			fd = connect_to(options.port);
		end = converse(fd);
		peer_free();
		if (options.server)
			disconnect(fd);
		else
			close(fd);
		if (end == BY_PEER) // and a server is ready for the next one
			say("closed");
	} while (options.server || end == TO_RESUME);
	return 0;
}
