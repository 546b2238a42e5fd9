package conn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// examplePair is a client and a server whose handshake is still to come, over a pipe
// where programs have a socket.
func examplePair() (*clientconn.DtlsClientConnection, *serverconn.DtlsServerConnection) {
	a, b := datagram.NewPipe()
	client, err := clientconn.NewDtlsClientConnection(a, conn.ParseIdentity("server.example"))
	if err != nil {
		panic(err)
	}
	client.SetDatabase(trusting())
	server, err := serverconn.NewDtlsServerConnection(b, serverCert())
	if err != nil {
		panic(err)
	}
	return client, server
}

// A certificate is read from PEM, DER or PKCS#12, or made of Go's own type.
func ExampleTlsCertificate() {
	text := serverCert().CertificatePEM() + serverCert().PrivateKeyPEM()
	certificate, err := conn.NewCertificateFromPEM([]byte(text))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(certificate.SubjectName(), certificate.DNSNames(), certificate.HasPrivateKey())
	fmt.Println(certificate.Verify(conn.ParseIdentity("other.example"), nil))
	// Output:
	// CN=server.example,O=Example\, Inc. [server.example] true
	// BAD_IDENTITY
}

// pinned is a database of one's own: it trusts one certificate, whoever has issued it.
type pinned struct{ certificate *conn.TlsCertificate }

func (p pinned) VerifyChain(_ context.Context, chain *conn.TlsCertificate, _ string, _ conn.SocketConnectable, _ conn.TlsInteraction, _ conn.TlsDatabaseVerifyFlags) (conn.TlsCertificateFlags, error) {
	if chain.IsSame(p.certificate) {
		return conn.CertificateNoFlags, nil
	}
	return conn.CertificateUnknownCA, nil
}

// A database of one's own needs one method.
func ExampleTlsDatabase() {
	client, server := examplePair()
	client.SetDatabase(pinned{serverCert()})
	accepting := server.HandshakeAsync(context.Background(), conn.PriorityDefault, nil)
	fmt.Println(client.Handshake(context.Background()), server.HandshakeFinish(accepting))
	// Output: <nil> <nil>
}

// What a database holds can be looked up.
func ExampleTlsLookupDatabase() {
	ctx := context.Background()
	database := conn.NewDatabaseFromCertificates(testCA().Certificate(setup{}))
	issuer, err := database.LookupCertificateIssuer(ctx, serverCert(), nil, conn.DatabaseLookupNone)
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := database.LookupCertificateForHandle(ctx, database.CreateCertificateHandle(issuer), nil, conn.DatabaseLookupNone)
	fmt.Println(issuer.SubjectName(), issuer.IsSame(again), err)
	// Output: CN=CA true <nil>
}

// wallet gives servers that ask for one a certificate.
type wallet struct{ conn.UnhandledInteraction }

func (wallet) RequestCertificate(_ context.Context, c *conn.DtlsConnection, _ conn.TlsCertificateRequestFlags) (conn.TlsInteractionResult, error) {
	c.SetCertificate(clientCert())
	return conn.InteractionHandled, nil
}

// A client without a certificate asks its interaction if the server wants one.
func ExampleTlsInteraction() {
	client, server := examplePair()
	client.SetInteraction(wallet{})
	server.SetAuthenticationMode(conn.AuthenticationRequired)
	server.ConnectAcceptCertificate(func(_ *conn.DtlsConnection, _ *conn.TlsCertificate, _ conn.TlsCertificateFlags) bool {
		return true
	})
	accepting := server.HandshakeAsync(context.Background(), conn.PriorityDefault, nil)
	fmt.Println(client.Handshake(context.Background()), server.HandshakeFinish(accepting))
	fmt.Println(server.PeerCertificate().IsSame(clientCert()))
	// Output:
	// <nil> <nil>
	// true
}

// A password carries what it is for, and what went wrong before.
func ExampleTlsPassword() {
	password := conn.NewTlsPassword(conn.PasswordRetry, "the key of server.example")
	fmt.Printf("%s (%s)\n", password.Description(), password.Warning())
	password.SetValue([]byte("secret"))
	defer password.SetValue(nil) // overwrites it
	fmt.Println(len(password.Value()), "bytes")
	// Output:
	// the key of server.example (The password was wrong.)
	// 6 bytes
}

// A call without waiting has a finish function for its outcome.
func ExampleAsyncResult() {
	client, server := examplePair()
	done := make(chan error)
	server.HandshakeAsync(context.Background(), conn.PriorityDefault, nil)
	client.HandshakeAsync(context.Background(), conn.PriorityDefault, func(_ any, result *conn.AsyncResult) {
		done <- client.HandshakeFinish(result)
	})
	fmt.Println(<-done)
	// Output: <nil>
}

// Both ends have the same bytes, by which something else can be tied to the connection.
func ExampleDtlsConnection_ChannelBindingData() {
	client, server := examplePair()
	_, err := client.ChannelBindingData(conn.ChannelBindingTLSExporter)
	fmt.Println(errors.Is(err, conn.ErrChannelBindingInvalidState))
	accepting := server.HandshakeAsync(context.Background(), conn.PriorityDefault, nil)
	fmt.Println(client.Handshake(context.Background()), server.HandshakeFinish(accepting))
	ours, _ := client.ChannelBindingData(conn.ChannelBindingTLSExporter)
	theirs, _ := server.ChannelBindingData(conn.ChannelBindingTLSExporter)
	fmt.Println(len(ours), bytes.Equal(ours, theirs))
	// Output:
	// true
	// <nil> <nil>
	// 32 true
}

// A backend makes clients and servers without naming their packages.
func ExampleTlsBackend() {
	for _, backend := range []*conn.TlsBackend{conn.DefaultBackend(), conn.DummyBackend()} {
		base, _ := datagram.NewPipe()
		_, err := backend.NewDtlsClientConnection(base, conn.ParseIdentity("server.example"))
		fmt.Println(backend, backend.SupportsDTLS(), err)
	}
	// Output:
	// gdtls true <nil>
	// dummy false TLS is not available: this is the dummy backend
}
