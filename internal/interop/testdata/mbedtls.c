// A peer with mbed TLS 2.28.
#include "peer.h"

#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR != 2
#error "this is not mbed TLS 2.28"
#endif

#include <errno.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cache.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/timing.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;
static mbedtls_x509_crt own, trusted;
static mbedtls_pk_context key;
static mbedtls_ssl_config config;
static mbedtls_ssl_cookie_ctx cookies;
static mbedtls_ssl_cache_context cache;
static mbedtls_ssl_ticket_context tickets;
static mbedtls_ssl_session last; // clients: for the next connection

static mbedtls_ssl_context ssl;
static mbedtls_timing_delay_context timer;
static int established;
static char asked_for[256]; // servers: the name in the client's hello

void peer_version(void)
{
	char version[16];
	mbedtls_version_get_string(version);
	printf("mbed TLS %s\n", version);
}

static int send_datagram(void *context, const unsigned char *bytes, size_t length)
{
	ssize_t n = send(*(int *)context, bytes, length, 0);
	return n >= 0 ? (int)n : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

// receive_datagram waits in a handshake only.
static int receive_datagram(void *context, unsigned char *buffer, size_t size, uint32_t milliseconds)
{
	int fd = *(int *)context;
	if (!established) {
		struct pollfd waits = {.fd = fd, .events = POLLIN};
		if (poll(&waits, 1, milliseconds == 0 ? -1 : (int)milliseconds) == 0)
			return MBEDTLS_ERR_SSL_TIMEOUT;
	}
	ssize_t n = recv(fd, buffer, size, MSG_DONTWAIT);
	if (n >= 0)
		return (int)n;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_CONN_EOF;
}

static int take_name(void *context, mbedtls_ssl_context *handshake, const unsigned char *name, size_t length)
{
	(void)context, (void)handshake;
	snprintf(asked_for, sizeof asked_for, "%.*s", (int)length, (const char *)name);
	return 0;
}

static mbedtls_ecp_group_id group_id(const char *name)
{
	if (strcmp(name, "x25519") == 0)
		return MBEDTLS_ECP_DP_CURVE25519;
	return strcmp(name, "secp256r1") == 0 ? MBEDTLS_ECP_DP_SECP256R1 : MBEDTLS_ECP_DP_SECP384R1;
}

static int hash_id(const char *scheme)
{
	if (strstr(scheme, "sha256"))
		return MBEDTLS_MD_SHA256;
	return strstr(scheme, "sha384") ? MBEDTLS_MD_SHA384 : MBEDTLS_MD_SHA512;
}

static void configure_resumption(void)
{
	if (!options.server) {
		mbedtls_ssl_session_init(&last);
		mbedtls_ssl_conf_session_tickets(&config, options.tickets ? MBEDTLS_SSL_SESSION_TICKETS_ENABLED : MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
		return;
	}
	if (options.tickets) {
		mbedtls_ssl_ticket_init(&tickets);
		need(mbedtls_ssl_ticket_setup(&tickets, mbedtls_ctr_drbg_random, &drbg, MBEDTLS_CIPHER_AES_256_GCM, 3600) == 0);
		mbedtls_ssl_conf_session_tickets_cb(&config, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse, &tickets);
		return;
	}
	mbedtls_ssl_cache_init(&cache);
	mbedtls_ssl_conf_session_cache(&config, &cache, mbedtls_ssl_cache_get, mbedtls_ssl_cache_set);
}

// configure is called once.
static void configure(void)
{
	static int suites[2], hashes[3];
	static mbedtls_ecp_group_id groups[2];
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&drbg);
	mbedtls_x509_crt_init(&own);
	mbedtls_x509_crt_init(&trusted);
	mbedtls_pk_init(&key);
	mbedtls_ssl_config_init(&config);
	need(mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0) == 0);
	need(mbedtls_ssl_config_defaults(&config, options.server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
		     MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT) == 0);
	mbedtls_ssl_conf_min_version(&config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &drbg);
	mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_NONE);
	if (options.server ? options.auth != NULL : options.ca != NULL)
		mbedtls_ssl_conf_authmode(&config, options.server && strcmp(options.auth, "requested") == 0 ? MBEDTLS_SSL_VERIFY_OPTIONAL : MBEDTLS_SSL_VERIFY_REQUIRED);
	if (options.ca) {
		need(mbedtls_x509_crt_parse_file(&trusted, options.ca) == 0);
		mbedtls_ssl_conf_ca_chain(&config, &trusted, NULL);
	}
	if (options.cert) {
		need(mbedtls_x509_crt_parse_file(&own, options.cert) == 0);
		need(mbedtls_pk_parse_keyfile(&key, options.key, NULL) == 0);
		need(mbedtls_ssl_conf_own_cert(&config, &own, &key) == 0);
	}
	if (options.psk_length > 0)
		need(mbedtls_ssl_conf_psk(&config, options.psk, options.psk_length, (const unsigned char *)options.identity, strlen(options.identity)) == 0);
	if (options.suite) {
		suites[0] = options.suite;
		mbedtls_ssl_conf_ciphersuites(&config, suites);
	}
	if (options.group) {
		groups[0] = group_id(options.group);
		groups[1] = MBEDTLS_ECP_DP_NONE;
		mbedtls_ssl_conf_curves(&config, groups);
	}
	if (options.signature) {
		hashes[0] = hash_id(options.signature);
		hashes[1] = MBEDTLS_MD_NONE;
		mbedtls_ssl_conf_sig_hashes(&config, hashes);
	}
	if (options.alpn[0])
		need(mbedtls_ssl_conf_alpn_protocols(&config, options.alpn) == 0);
	if (options.no_ems)
		mbedtls_ssl_conf_extended_master_secret(&config, MBEDTLS_SSL_EXTENDED_MS_DISABLED);
	if (options.server) {
		mbedtls_ssl_cookie_init(&cookies);
		need(mbedtls_ssl_cookie_setup(&cookies, mbedtls_ctr_drbg_random, &drbg) == 0);
		mbedtls_ssl_conf_dtls_cookies(&config, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &cookies);
		mbedtls_ssl_conf_sni(&config, take_name, NULL);
	}
	configure_resumption();
}

static void explain(int error)
{
	char text[128];
	if (error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		say("alert %d", ssl.in_msg[1]);
	mbedtls_strerror(error, text, sizeof text);
	say("failed: -0x%04x %s", (unsigned)-error, text);
}

int peer_handshake(int socket)
{
	static int configured, fd;
	if (!configured++)
		configure();
	fd = socket;
	established = 0;
	asked_for[0] = 0;
	mbedtls_ssl_init(&ssl);
	need(mbedtls_ssl_setup(&ssl, &config) == 0);
	mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
	mbedtls_ssl_set_bio(&ssl, &fd, send_datagram, NULL, receive_datagram);
	if (options.mtu)
		mbedtls_ssl_set_mtu(&ssl, (uint16_t)options.mtu);
	if (options.server)
		need(mbedtls_ssl_set_client_transport_id(&ssl, (const unsigned char *)"peer", 4) == 0);
	else if (options.name)
		need(mbedtls_ssl_set_hostname(&ssl, options.name) == 0);
	if (!options.server && last.id_len + last.ticket_len > 0)
		need(mbedtls_ssl_set_session(&ssl, &last) == 0);
	int result;
	while ((result = mbedtls_ssl_handshake(&ssl)) != 0) {
		if (result == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED) {
			need(mbedtls_ssl_session_reset(&ssl) == 0);
			need(mbedtls_ssl_set_client_transport_id(&ssl, (const unsigned char *)"peer", 4) == 0);
		} else if (result != MBEDTLS_ERR_SSL_WANT_READ && result != MBEDTLS_ERR_SSL_WANT_WRITE) {
			explain(result);
			return -1;
		}
	}
	established = 1;
	if (!options.server) {
		mbedtls_ssl_session_free(&last);
		need(mbedtls_ssl_get_session(&ssl, &last) == 0);
	}
	const char *alpn = mbedtls_ssl_get_alpn_protocol(&ssl);
	say("alpn=%s", alpn ? alpn : "");
	if (options.server)
		say("name=%s", asked_for);
	const mbedtls_x509_crt *peer = mbedtls_ssl_get_peer_cert(&ssl);
	if (peer) {
		char subject[256];
		need(mbedtls_x509_dn_gets(subject, sizeof subject, &peer->subject) > 0);
		say("subject=%s", subject + strlen("CN="));
	}
	return 0;
}

int peer_receive(char *buffer, size_t size)
{
	int n = mbedtls_ssl_read(&ssl, (unsigned char *)buffer, size);
	if (n > 0)
		return n;
	if (n == MBEDTLS_ERR_SSL_WANT_READ || n == MBEDTLS_ERR_SSL_TIMEOUT)
		return NOTHING;
	if (n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
		return CLOSED;
	explain(n);
	return FAILED;
}

int peer_send(const char *text, size_t length)
{
	return mbedtls_ssl_write(&ssl, (const unsigned char *)text, length) == (int)length ? 0 : -1;
}

void peer_close(void) { mbedtls_ssl_close_notify(&ssl); }

void peer_free(void) { mbedtls_ssl_free(&ssl); }
