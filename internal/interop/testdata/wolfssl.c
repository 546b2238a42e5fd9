// A peer with wolfSSL 5.5.
#include "peer.h"

#include <wolfssl/options.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wolfssl/ssl.h>
#include <wolfssl/version.h>

static WOLFSSL_CTX *context;
static WOLFSSL *ssl;
static WOLFSSL_SESSION *last; // clients: for the next connection

void peer_version(void) { printf("wolfSSL %s\n", wolfSSL_lib_version()); }

// give_key is called by clients.
static unsigned give_key(WOLFSSL *s, const char *hint, char *identity, unsigned identity_size, unsigned char *key, unsigned key_size)
{
	(void)s, (void)hint;
	need(strlen(options.identity) < identity_size && options.psk_length <= key_size);
	strcpy(identity, options.identity);
	memcpy(key, options.psk, options.psk_length);
	return (unsigned)options.psk_length;
}

// find_key is called by servers.
static unsigned find_key(WOLFSSL *s, const char *identity, unsigned char *key, unsigned key_size)
{
	(void)s;
	need(options.psk_length <= key_size);
	if (strcmp(identity, options.identity) != 0)
		return 0;
	memcpy(key, options.psk, options.psk_length);
	return (unsigned)options.psk_length;
}

static unsigned short group_id(const char *name)
{
	if (strcmp(name, "x25519") == 0)
		return WOLFSSL_ECC_X25519;
	return strcmp(name, "secp256r1") == 0 ? WOLFSSL_ECC_SECP256R1 : WOLFSSL_ECC_SECP384R1;
}

// signature_list is wolfSSL's form of a scheme; the certificates themselves are
// signed by ECDSA.
static void signature_list(const char *scheme, char *list, size_t size)
{
	snprintf(list, size, "%s+SHA%s:ECDSA+SHA256", strstr(scheme, "pss") ? "RSA-PSS" : "RSA", strstr(scheme, "_sha") + strlen("_sha"));
}

static void verify(void)
{
	int mode = WOLFSSL_VERIFY_NONE;
	if (options.server ? options.auth != NULL : options.ca != NULL)
		mode = WOLFSSL_VERIFY_PEER;
	if (options.server && options.auth && strcmp(options.auth, "required") == 0)
		mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	wolfSSL_CTX_set_verify(context, mode, NULL);
	if (options.ca)
		need(wolfSSL_CTX_load_verify_locations(context, options.ca, NULL) == WOLFSSL_SUCCESS);
}

// configure is called once.
static void configure(void)
{
	need(wolfSSL_Init() == WOLFSSL_SUCCESS);
	context = wolfSSL_CTX_new(options.server ? wolfDTLSv1_2_server_method() : wolfDTLSv1_2_client_method());
	need(context != NULL);
	verify();
	if (options.cert) {
		need(wolfSSL_CTX_use_certificate_chain_file(context, options.cert) == WOLFSSL_SUCCESS);
		need(wolfSSL_CTX_use_PrivateKey_file(context, options.key, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS);
	}
	if (options.suite) {
		unsigned char suite[] = {(unsigned char)(options.suite >> 8), (unsigned char)options.suite};
		need(wolfSSL_CTX_set_cipher_list_bytes(context, suite, sizeof suite) == WOLFSSL_SUCCESS);
	}
	if (options.psk_length > 0 && options.server) {
		wolfSSL_CTX_set_psk_server_callback(context, find_key);
		if (options.hint)
			need(wolfSSL_CTX_use_psk_identity_hint(context, options.hint) == WOLFSSL_SUCCESS);
	} else if (options.psk_length > 0) {
		wolfSSL_CTX_set_psk_client_callback(context, give_key);
	}
	if (options.group)
		need(wolfSSL_CTX_UseSupportedCurve(context, group_id(options.group)) == WOLFSSL_SUCCESS);
	else if (options.psk_length > 0) // an ECDHE_PSK server's X25519 key is "Bad ECC Peer Key"
		need(wolfSSL_CTX_UseSupportedCurve(context, WOLFSSL_ECC_SECP256R1) == WOLFSSL_SUCCESS);
	if (options.signature) {
		char list[64];
		signature_list(options.signature, list, sizeof list);
		need(wolfSSL_CTX_set1_sigalgs_list(context, list) == WOLFSSL_SUCCESS);
	}
	if (options.no_ems)
		need(wolfSSL_CTX_DisableExtendedMasterSecret(context) == WOLFSSL_SUCCESS);
	if (options.name)
		need(wolfSSL_CTX_UseSNI(context, WOLFSSL_SNI_HOST_NAME, options.name, (unsigned short)strlen(options.name)) == WOLFSSL_SUCCESS);
	if (options.server && !options.tickets)
		need(wolfSSL_CTX_NoTicketTLSv12(context) == WOLFSSL_SUCCESS);
}

// offer_protocols also has a server refuse clients with other ones only, as RFC 7301
// 3.2 wants it.
static void offer_protocols(void)
{
	char list[1024] = "";
	for (size_t i = 0; options.alpn[i]; i++) {
		need(strlen(list) + strlen(options.alpn[i]) + 2 < sizeof list);
		if (i > 0)
			strcat(list, ",");
		strcat(list, options.alpn[i]);
	}
	if (list[0])
		need(wolfSSL_UseALPN(ssl, list, (unsigned)strlen(list), WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS);
}

static void explain(int result)
{
	WOLFSSL_ALERT_HISTORY alerts;
	int error = wolfSSL_get_error(ssl, result);
	char text[WOLFSSL_MAX_ERROR_SZ];
	need(wolfSSL_get_alert_history(ssl, &alerts) == WOLFSSL_SUCCESS);
	if (alerts.last_rx.level == alert_fatal)
		say("alert %d", alerts.last_rx.code);
	say("failed: %d %s", error, wolfSSL_ERR_error_string((unsigned long)error, text));
}

static void report(void)
{
	char *alpn = NULL;
	unsigned short length = 0;
	if (wolfSSL_ALPN_GetProtocol(ssl, &alpn, &length) != WOLFSSL_SUCCESS)
		length = 0;
	say("alpn=%.*s", (int)length, alpn);
	if (options.server && options.name) {
		void *name = NULL;
		unsigned short size = wolfSSL_SNI_GetRequest(ssl, WOLFSSL_SNI_HOST_NAME, &name);
		say("name=%.*s", (int)size, (char *)name);
	}
	WOLFSSL_X509 *peer = wolfSSL_get_peer_certificate(ssl);
	if (peer) {
		say("subject=%s", wolfSSL_X509_get_subjectCN(peer));
		wolfSSL_X509_free(peer);
	}
}

int peer_handshake(int socket)
{
	static int configured;
	if (!configured++)
		configure();
	ssl = wolfSSL_new(context);
	need(ssl != NULL);
	need(wolfSSL_set_dtls_fd_connected(ssl, socket) == WOLFSSL_SUCCESS);
	offer_protocols();
	if (!options.server) {
		if (options.ca && options.name)
			need(wolfSSL_check_domain_name(ssl, options.name) == WOLFSSL_SUCCESS);
		if (options.tickets)
			need(wolfSSL_UseSessionTicket(ssl) == WOLFSSL_SUCCESS);
		if (last)
			need(wolfSSL_set_session(ssl, last) == WOLFSSL_SUCCESS);
	}
	int flags = fcntl(socket, F_GETFL);
	need(fcntl(socket, F_SETFL, flags & ~O_NONBLOCK) == 0);
	int result = options.server ? wolfSSL_accept(ssl) : wolfSSL_connect(ssl);
	need(fcntl(socket, F_SETFL, flags) == 0);
	if (result != WOLFSSL_SUCCESS) {
		explain(result);
		return -1;
	}
	need(fcntl(socket, F_SETFL, flags | O_NONBLOCK) == 0);
	wolfSSL_dtls_set_using_nonblock(ssl, 1);
	report();
	return 0;
}

int peer_receive(char *buffer, size_t size)
{
	int n = wolfSSL_read(ssl, buffer, (int)size);
	if (n > 0)
		return n;
	switch (wolfSSL_get_error(ssl, n)) {
	case WOLFSSL_ERROR_WANT_READ:
	case WOLFSSL_ERROR_WANT_WRITE:
		return NOTHING;
	case WOLFSSL_ERROR_ZERO_RETURN:
		return CLOSED;
	}
	explain(n);
	return FAILED;
}

int peer_send(const char *text, size_t length)
{
	return wolfSSL_write(ssl, text, (int)length) == (int)length ? 0 : -1;
}

void peer_close(void)
{
	if (!options.server) {
		wolfSSL_SESSION_free(last);
		last = wolfSSL_get1_session(ssl);
	}
	(void)wolfSSL_shutdown(ssl);
}

void peer_free(void) { wolfSSL_free(ssl); }
