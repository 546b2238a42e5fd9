// A peer is a program around a library with DTLS, by which the tests of gdtls play
// a client or a server. peer.c is what all have in common; each library has a file
// with the functions below.
//
// Arguments are NAME=VALUE, as in struct options; "version" alone prints what the
// library is. The program prints a line for each thing that happens:
//
//	listening PORT      a server has its port
//	NAME=VALUE          what was agreed upon: alpn, name, subject,
//	                    tls-unique, tls-server-end-point, tls-exporter (hexadecimal)
//	established         the handshake is complete
//	received TEXT       a datagram came
//	closed              the other side's close_notify came
//	alert NUMBER        the other side's fatal alert came
//	failed: TEXT        the handshake or the connection has failed
//
// It reads lines: "close" sends close_notify, "resume" (clients) makes another
// connection with the session of the last one, and anything else is sent as it is,
// with its line end, in one datagram. A server takes one peer after another.
#ifndef PEER_H
#define PEER_H

#include <stddef.h>

// Strings are NULL and numbers 0 where nothing is said.
struct options {
	int server;
	int port;             // clients: where the server is, on 127.0.0.1
	const char *cert;     // file with the chain
	const char *key;      // file
	const char *ca;       // file; NULL: the other side is not verified
	const char *auth;     // servers: "requested" or "required" client certificates
	const char *name;     // the server's name
	int by_address;       // clients: the server is known as 127.0.0.1
	int suite;            // its number
	const char *group;    // x25519, secp256r1 or secp384r1
	const char *signature; // one scheme of RSA, in TLS's names
	const char *alpn[16]; // ends with NULL
	const char *identity; // of the pre-shared key
	const char *hint;     // servers
	unsigned char psk[64];
	size_t psk_length;
	int mtu;
	int no_ems;
	int accept;           // take the other side's certificate whatever is wrong with it
	int tickets;          // resume by tickets; else by session ids
};

extern struct options options;

// What peer_receive gives beside a number of bytes.
enum { NOTHING = 0, CLOSED = -1, FAILED = -2 };

// peer_version prints the library's name and version.
void peer_version(void);

// peer_handshake makes a handshake over a connected socket: 0 if it is complete.
// It has said why if it is not.
int peer_handshake(int socket);

// peer_receive takes what has come, without waiting.
int peer_receive(char *buffer, size_t size);

int peer_send(const char *text, size_t length);

// peer_close sends close_notify.
void peer_close(void);

// peer_free forgets the connection; what is needed for resumption stays.
void peer_free(void);

// say prints a line, at once.
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

// need ends the program unless a call has succeeded.
#define need(ok) \
	do { \
		if (!(ok)) { \
			say("failed: %s", #ok); \
			_exit(1); \
		} \
	} while (0)

#endif
