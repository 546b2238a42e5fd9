// A peer with the real Gio: GLib's objects, glib-networking's backend with GnuTLS.
#include "peer.h"

#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static GDtlsConnection *connection;

void peer_version(void)
{
	GTlsBackend *backend = g_tls_backend_get_default();
	if (strcmp(G_OBJECT_TYPE_NAME(backend), "GTlsBackendGnutls") != 0) {
		printf("Gio without glib-networking, by its backend %s\n", G_OBJECT_TYPE_NAME(backend));
		return;
	}
	printf("Gio with glib-networking, GLib %u.%u.%u\n", glib_major_version, glib_minor_version, glib_micro_version);
}

// explain tells why something failed. Gio gives alerts by GnuTLS's names.
static void explain(GError *error)
{
	static const struct {
		const char *name;
		int number;
	} alerts[] = {{"Handshake failed", 40}, {"Certificate is bad", 42}, {"Certificate is not supported", 43}, {"Unknown certificate", 46}, {"CA is unknown", 48}};
	for (size_t i = 0; i < G_N_ELEMENTS(alerts); i++)
		if (g_str_has_suffix(error->message, alerts[i].name))
			say("alert %d", alerts[i].number);
	say("failed: %s %d %s", g_quark_to_string(error->domain), error->code, error->message);
	g_error_free(error);
}

#define must(call) \
	({ \
		GError *error = NULL; \
		__typeof__(call) result = (call); \
		if (error) { \
			explain(error); \
			_exit(1); \
		} \
		result; \
	})

// accept_certificate takes a certificate if nothing is wrong with it, or in any case.
static gboolean accept_certificate(GDtlsConnection *c, GTlsCertificate *certificate, GTlsCertificateFlags errors, gpointer data)
{
	(void)c, (void)certificate, (void)data;
	say("flags=%u", errors);
	return errors == 0 || options.accept;
}

static GSocketConnectable *identity(void)
{
	if (options.by_address)
		return G_SOCKET_CONNECTABLE(g_inet_socket_address_new_from_string("127.0.0.1", (guint)options.port));
	return options.name ? g_network_address_new(options.name, (guint16)options.port) : NULL;
}

static void configure(GDatagramBased *base)
{
	GTlsCertificate *certificate = options.cert ? must(g_tls_certificate_new_from_files(options.cert, options.key, &error)) : NULL;
	GTlsDatabase *database = options.ca ? must(g_tls_file_database_new(options.ca, &error)) : NULL;
	if (options.server) {
		connection = G_DTLS_CONNECTION(must(g_dtls_server_connection_new(base, certificate, &error)));
		if (options.auth)
			g_object_set(connection, "authentication-mode",
				strcmp(options.auth, "required") == 0 ? G_TLS_AUTHENTICATION_REQUIRED : G_TLS_AUTHENTICATION_REQUESTED, NULL);
	} else {
		GSocketConnectable *server = identity();
		connection = G_DTLS_CONNECTION(must(g_dtls_client_connection_new(base, server, &error)));
		g_clear_object(&server);
		if (certificate)
			g_dtls_connection_set_certificate(connection, certificate);
		if (!database)
			g_object_set(connection, "validation-flags", 0, NULL);
	}
	g_signal_connect(connection, "accept-certificate", G_CALLBACK(accept_certificate), NULL);
	g_dtls_connection_set_database(connection, database);
	if (options.alpn[0])
		g_dtls_connection_set_advertised_protocols(connection, options.alpn);
	g_clear_object(&certificate);
	g_clear_object(&database);
}

static void report_binding(const char *name, GTlsChannelBindingType type)
{
	GByteArray *data = g_byte_array_new();
	if (g_dtls_connection_get_channel_binding_data(connection, type, data, NULL)) {
		GString *text = g_string_new(NULL);
		for (guint i = 0; i < data->len; i++)
			g_string_append_printf(text, "%02x", data->data[i]);
		say("%s=%s", name, text->str);
		g_string_free(text, TRUE);
	}
	g_byte_array_unref(data);
}

static void report(void)
{
	report_binding("tls-unique", G_TLS_CHANNEL_BINDING_TLS_UNIQUE);
	report_binding("tls-server-end-point", G_TLS_CHANNEL_BINDING_TLS_SERVER_END_POINT);
	report_binding("tls-exporter", (GTlsChannelBindingType)2); // GLib's headers name it since 2.74
	const char *alpn = g_dtls_connection_get_negotiated_protocol(connection);
	say("alpn=%s", alpn ? alpn : "");
	GTlsCertificate *peer = g_dtls_connection_get_peer_certificate(connection);
	if (peer) {
		char *subject = g_tls_certificate_get_subject_name(peer);
		say("subject=%s", subject + strlen("CN="));
		g_free(subject);
	}
}

int peer_handshake(int socket)
{
	GError *failure = NULL;
	GSocket *base = must(g_socket_new_from_fd(dup(socket), &error));
	configure(G_DATAGRAM_BASED(base));
	g_object_unref(base);
	if (!g_dtls_connection_handshake(connection, NULL, &failure)) {
		explain(failure);
		return -1;
	}
	report();
	return 0;
}

int peer_receive(char *buffer, size_t size)
{
	GError *error = NULL;
	GInputVector vector = {buffer, size};
	GInputMessage message = {.vectors = &vector, .num_vectors = 1};
	int n = g_datagram_based_receive_messages(G_DATAGRAM_BASED(connection), &message, 1, 0, 0, NULL, &error);
	if (n == 1)
		return (int)message.bytes_received;
	if (n == 0)
		return CLOSED;
	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
		g_error_free(error);
		return NOTHING;
	}
	explain(error);
	return FAILED;
}

int peer_send(const char *text, size_t length)
{
	GError *error = NULL;
	GOutputVector vector = {text, length};
	GOutputMessage message = {.vectors = &vector, .num_vectors = 1};
	if (g_datagram_based_send_messages(G_DATAGRAM_BASED(connection), &message, 1, 0, -1, NULL, &error) == 1)
		return 0;
	explain(error);
	return -1;
}

// peer_close sends close_notify, and goes on reading.
void peer_close(void) { must(g_dtls_connection_shutdown(connection, FALSE, TRUE, NULL, &error)); }

void peer_free(void) { g_clear_object(&connection); }
