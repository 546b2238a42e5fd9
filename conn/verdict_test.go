package conn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
)

const (
	unknownCA   = conn.CertificateUnknownCA
	badIdentity = conn.CertificateBadIdentity
)

// What a client makes of a server's certificate: the flags, whether its handlers
// are asked, and how it ends (G057, G062, G085, G086, G098-G101, G194, G195, cases
// a and i; verified, no-database, missing-server-identity and failed of G217).
func TestServerCertificate(t *testing.T) {
	ca := testCA()
	other := conn.NewTestCA(t, "another CA")
	good, foreign := serverCert(), other.Leaf(t).Certificate(t)
	late := ca.Leaf(t, conn.TestExpired).Certificate(t)
	lateForeign := other.Leaf(t, conn.TestExpired).Certificate(t)
	elsewhere := ca.Leaf(t, conn.TestNames([]string{"elsewhere.example"})).Certificate(t)
	for name, test := range map[string]struct {
		certificate *conn.TlsCertificate
		set         func(*clientconn.DtlsClientConnection)
		flags       conn.TlsCertificateFlags
		asked       bool
	}{
		"good":          {good, nil, 0, false},
		"unknown CA":    {foreign, nil, unknownCA, true},
		"expired":       {late, nil, conn.CertificateExpired, true},
		"not yet valid": {ca.Leaf(t, conn.TestNotYetValid).Certificate(t), nil, conn.CertificateNotActivated, true},
		"wrong name":    {elsewhere, nil, badIdentity, true},
		"several":       {lateForeign, nil, unknownCA | conn.CertificateExpired, true},
		"no identity": {good, func(c *clientconn.DtlsClientConnection) {
			c.SetServerIdentity(nil)
		}, badIdentity, true},
		"address as identity": {good, func(c *clientconn.DtlsClientConnection) {
			c.SetServerIdentity(conn.ParseIdentity("127.0.0.1"))
		}, 0, false},
		"no identity, not validated": {good, func(c *clientconn.DtlsClientConnection) {
			c.SetServerIdentity(nil)
			c.SetValidationFlags(conn.CertificateValidateAll &^ badIdentity)
		}, badIdentity, false},
		"no database": {good, func(c *clientconn.DtlsClientConnection) {
			c.SetDatabase(nil)
		}, unknownCA, true},
		"no database, wrong name": {elsewhere, func(c *clientconn.DtlsClientConnection) {
			c.SetDatabase(nil)
		}, unknownCA | badIdentity, true},
		"nothing validated": {lateForeign, func(c *clientconn.DtlsClientConnection) {
			c.SetValidationFlags(0)
		}, unknownCA | conn.CertificateExpired, false},
		"something else validated": {foreign, func(c *clientconn.DtlsClientConnection) {
			c.SetValidationFlags(conn.CertificateExpired)
		}, unknownCA, false},
	} {
		for _, answer := range []string{"no handler", "refuses", "accepts"} {
			t.Run(name+", "+answer, func(t *testing.T) {
				p := newPair(t)
				p.server.SetCertificate(test.certificate)
				if test.set != nil {
					test.set(p.client)
				}
				asked := 0
				handler := func(c *conn.DtlsConnection, chain *conn.TlsCertificate, flags conn.TlsCertificateFlags) bool {
					asked++
					if flags != test.flags || !chain.IsSame(test.certificate) {
						t.Errorf("handler was given %v and %v, want %v", chain, flags, test.flags)
					}
					if c.PeerCertificate() != nil || c.PeerCertificateErrors() != 0 { // G056
						t.Error("peer-certificate is set in the handler")
					}
					return answer == "accepts"
				}
				if answer != "no handler" {
					p.client.ConnectAcceptCertificate(handler)
				}
				client, server := p.handshake(t)
				if want := test.asked && answer != "no handler"; (asked == 1) != want {
					t.Errorf("handler was asked %d times", asked)
				}
				if accepted := !test.asked || answer == "accepts"; accepted {
					if client != nil || server != nil {
						t.Fatalf("client %v, server %v", client, server)
					}
				} else {
					wantTLS(t, client, conn.TlsErrorBadCertificate)
					wantTLS(t, server, conn.TlsErrorMisc)
					if client != nil && !strings.Contains(strings.ToLower(client.Error()), "unacceptable tls certificate") {
						t.Error(client)
					}
				}
				if !p.client.PeerCertificate().IsSame(test.certificate) || p.client.PeerCertificateErrors() != test.flags {
					t.Errorf("afterwards: %v, %v", p.client.PeerCertificate(), p.client.PeerCertificateErrors())
				}
				if p.server.PeerCertificate() != nil {
					t.Error("the client showed a certificate")
				}
			})
		}
	}
}

// The first handler that accepts ends the emission; one that was disconnected is
// not asked (G084, G085).
func TestAcceptCertificateHandlers(t *testing.T) {
	p := newPair(t)
	p.client.SetDatabase(nil)
	var asked []int
	says := func(n int, accept bool) conn.AcceptCertificateHandler {
		return func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool {
			asked = append(asked, n)
			return accept
		}
	}
	p.client.ConnectAcceptCertificate(says(1, false))
	gone := p.client.ConnectAcceptCertificate(says(2, true))
	p.client.ConnectAcceptCertificate(says(3, true))
	p.client.ConnectAcceptCertificate(says(4, false))
	p.client.Disconnect(gone)
	mustHandshake(t, p)
	if !slices.Equal(asked, []int{1, 3}) {
		t.Errorf("asked %v", asked)
	}
	asked = nil
	if !p.client.EmitAcceptCertificate(serverCert(), 0) || !slices.Equal(asked, []int{1, 3}) {
		t.Errorf("emission asked %v", asked)
	}
}

// What becomes of client certificates (G064, G087, G106, G108, G109, case b;
// client-auth of G217).
func TestClientCertificate(t *testing.T) {
	const none, requested, required = conn.AuthenticationNone, conn.AuthenticationRequested, conn.AuthenticationRequired
	ok := func(err error) bool { return err == nil }
	tls := func(code conn.TlsErrorCode) func(error) bool {
		return func(err error) bool { return tlsCode(err) == code }
	}
	good := clientCert()
	foreign := conn.NewTestCA(t, "another CA").Leaf(t).Certificate(t)
	keyless := testCA().Leaf(t).PublicCertificate(t)
	late := testCA().Leaf(t, conn.TestExpired).Certificate(t)
	rsa := testCA().LeafWithKey(t, conn.TestRSAKey()).Certificate(t)
	ed25519 := testCA().LeafWithKey(t, conn.TestEd25519Key(t)).Certificate(t)
	accept, refuse := new(bool), new(bool)
	*accept = true
	for name, test := range map[string]struct {
		mode           conn.TlsAuthenticationMode
		shown          *conn.TlsCertificate
		handler        *bool // what the server's handler says; nil: there is none
		asked          bool
		flags          conn.TlsCertificateFlags
		client, server func(error) bool
	}{
		"none asked, one had":            {none, good, accept, false, 0, ok, ok},
		"requested, none had":            {requested, nil, accept, false, 0, ok, ok},
		"requested, one had":             {requested, good, accept, true, 0, ok, ok},
		"requested, refused":             {requested, good, refuse, true, 0, tls(conn.TlsErrorMisc), tls(conn.TlsErrorBadCertificate)},
		"required, none had":             {required, nil, accept, false, 0, tls(conn.TlsErrorCertificateRequired), tls(conn.TlsErrorCertificateRequired)},
		"required, one without key":      {required, keyless, accept, false, 0, tls(conn.TlsErrorCertificateRequired), tls(conn.TlsErrorCertificateRequired)},
		"required, good, no handler":     {required, good, nil, false, 0, tls(conn.TlsErrorMisc), tls(conn.TlsErrorBadCertificate)},
		"required, good, accepted":       {required, good, accept, true, 0, ok, ok},
		"required, RSA, accepted":        {required, rsa, accept, true, 0, ok, ok},
		"required, Ed25519, accepted":    {required, ed25519, accept, true, 0, ok, ok},
		"required, unknown CA, accepted": {required, foreign, accept, true, unknownCA, ok, ok},
		"required, unknown CA, refused":  {required, foreign, refuse, true, unknownCA, tls(conn.TlsErrorMisc), tls(conn.TlsErrorBadCertificate)},
		"required, expired, accepted":    {required, late, accept, true, conn.CertificateExpired, ok, ok},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.server.SetAuthenticationMode(test.mode)
			if got := p.server.AuthenticationMode(); got != test.mode {
				t.Errorf("authentication mode is %v", got)
			}
			p.server.SetAcceptedCAs([][]byte{testCA().Subject()})
			p.client.SetCertificate(test.shown)
			asked := false
			if test.handler != nil {
				p.server.ConnectAcceptCertificate(func(_ *conn.DtlsConnection, _ *conn.TlsCertificate, flags conn.TlsCertificateFlags) bool {
					asked = true
					if flags != test.flags {
						t.Errorf("handler was given %v, want %v", flags, test.flags)
					}
					return *test.handler
				})
			}
			client, server := p.handshake(t)
			if !test.client(client) || !test.server(server) || asked != test.asked {
				t.Fatalf("client %v, server %v, asked %v", client, server, asked)
			}
			if test.mode == none {
				if p.client.AcceptedCAs() != nil {
					t.Error("accepted-cas is set though no certificate was asked for")
				}
			} else if cas := p.client.AcceptedCAs(); len(cas) != 1 || !bytes.Equal(cas[0], testCA().Subject()) { // G103, G104
				t.Errorf("accepted-cas is %x", cas)
			}
			if test.asked && (!p.server.PeerCertificate().IsSame(test.shown) || p.server.PeerCertificateErrors() != test.flags) {
				t.Errorf("server has %v, %v", p.server.PeerCertificate(), p.server.PeerCertificateErrors())
			} else if !test.asked && test.handler != nil && p.server.PeerCertificate() != nil {
				t.Error("server has a peer certificate")
			}
		})
	}
}

// A client that was asked and named no CA gets an empty list, which is not none.
func TestAcceptedCAsEmpty(t *testing.T) { // G103, case b
	p := newPair(t)
	p.server.SetAuthenticationMode(conn.AuthenticationRequested)
	mustHandshake(t, p)
	if cas := p.client.AcceptedCAs(); cas == nil || len(cas) != 0 {
		t.Errorf("accepted-cas is %v, want an empty list", cas)
	}
}

// Properties are notified in the order of the real Gio (G056, G196, G197, case l;
// peer-certificate-notify of G217).
func TestNotifyOrder(t *testing.T) {
	accepts := func(c *conn.DtlsConnection, list *[]string) {
		c.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool {
			*list = append(*list, "accept-certificate")
			return true
		})
	}
	for name, test := range map[string]struct {
		set            func(*pair)
		client, server string
	}{
		"plain": {func(*pair) {},
			"peer-certificate peer-certificate-errors protocol-version ciphersuite-name",
			"protocol-version ciphersuite-name"},
		"everything": {
			func(p *pair) {
				p.client.SetDatabase(nil)
				p.client.SetCertificate(clientCert())
				p.server.SetAuthenticationMode(conn.AuthenticationRequired)
				p.client.SetAdvertisedProtocols([]string{"a"})
				p.server.SetAdvertisedProtocols([]string{"a"})
			},
			"accept-certificate peer-certificate peer-certificate-errors accepted-cas negotiated-protocol protocol-version ciphersuite-name",
			"accept-certificate peer-certificate peer-certificate-errors negotiated-protocol protocol-version ciphersuite-name"},
		"pre-shared key": {func(p *pair) { p.usesPSK() },
			"protocol-version ciphersuite-name",
			"protocol-version ciphersuite-name"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			test.set(p)
			lists := make([][]string, 2)
			var one []string // of one property alone
			for i, c := range p.both() {
				accepts(c, &lists[i])
				c.ConnectNotify("", func(_ *conn.DtlsConnection, property string) { lists[i] = append(lists[i], property) })
			}
			p.client.ConnectNotify(conn.PropertyCiphersuiteName, func(c *conn.DtlsConnection, property string) { one = append(one, c.CiphersuiteName()) })
			mustHandshake(t, p)
			p.close(t) // notifies nothing
			if got := strings.Join(lists[0], " "); got != test.client {
				t.Errorf("client: %s", got)
			}
			if got := strings.Join(lists[1], " "); got != test.server {
				t.Errorf("server: %s", got)
			}
			if len(one) != 1 || one[0] != p.client.CiphersuiteName() {
				t.Errorf("ciphersuite-name alone: %q", one)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		p := newPair(t)
		p.client.SetDatabase(nil)
		var list []string
		p.client.ConnectNotify("", func(_ *conn.DtlsConnection, property string) { list = append(list, property) })
		p.handshake(t)
		if !slices.Equal(list, []string{"peer-certificate", "peer-certificate-errors"}) {
			t.Errorf("client: %v", list)
		}
	})
}

// What a handler of the handshake may do with its connection: nothing that would
// wait for it (G191, case m; sync-op-during-handshake of G217).
func TestBlockingCallInHandler(t *testing.T) {
	for _, inBackground := range []bool{false, true} {
		t.Run(fmt.Sprintf("background %v", inBackground), func(t *testing.T) {
			p := newPair(t)
			p.client.SetDatabase(nil)
			emitted := false
			p.client.ConnectAcceptCertificate(func(c *conn.DtlsConnection, _ *conn.TlsCertificate, _ conn.TlsCertificateFlags) bool {
				emitted = true
				_, _, received := receiveOne(c, -1)
				_, _, waited := receiveOne(c, time.Minute)
				for i, err := range []error{received, waited, sendOne(c, -1), c.Handshake(background), c.Close(background),
					c.Shutdown(background, true, false), c.Shutdown(background, false, true)} {
					if ioCode(err) != datagram.CodeFailed {
						t.Errorf("operation %d gave %v, want FAILED", i, err)
					}
				}
				_, _, received = receiveOne(c, 0)
				for _, err := range []error{received, sendOne(c, 0)} {
					wantIO(t, err, datagram.CodeWouldBlock)
				}
				if now := c.ConditionCheck(datagram.In | datagram.Out); now != 0 { // G204
					t.Errorf("condition %v during the handshake", now)
				}
				return true
			})
			if inBackground {
				_, _, err := receiveOne(p.client, 0)
				wantIO(t, err, datagram.CodeWouldBlock)
			}
			mustHandshake(t, p)
			if !emitted {
				t.Error("the handler was not asked")
			}
			converse(t, p)
		})
	}
}

// A call from another goroutine than the handler's waits for the handshake.
func TestCallBesideHandler(t *testing.T) {
	p := newPair(t)
	p.client.SetDatabase(nil)
	beside := make(chan error, 1)
	p.client.ConnectAcceptCertificate(func(c *conn.DtlsConnection, _ *conn.TlsCertificate, _ conn.TlsCertificateFlags) bool {
		go func() {
			ctx, cancel := context.WithTimeout(background, 10*time.Millisecond)
			defer cancel()
			if err := c.Shutdown(ctx, false, true); !errors.Is(err, datagram.ErrCancelled) {
				t.Errorf("shutdown gave %v while the handshake was going on", err)
			}
			_, _, err := receiveOne(c, patience)
			beside <- err
		}()
		time.Sleep(20 * time.Millisecond)
		select {
		case err := <-beside:
			t.Errorf("receive gave %v while the handshake was going on", err)
		default:
		}
		return true
	})
	mustHandshake(t, p)
	send(t, p.server, "x")
	if err := <-beside; err != nil {
		t.Error(err)
	}
	converse(t, p) // the cancelled shutdown closed nothing
}

// Shutting down the read side during a handshake waits for it, and then ends the
// calls that wait to read.
func TestShutdownReadBesideHandler(t *testing.T) {
	p := newPair(t)
	p.client.SetDatabase(nil)
	done := make(chan error, 1)
	p.client.ConnectAcceptCertificate(func(c *conn.DtlsConnection, _ *conn.TlsCertificate, _ conn.TlsCertificateFlags) bool {
		go func() { done <- c.Shutdown(background, true, false) }()
		time.Sleep(10 * time.Millisecond)
		return true
	})
	mustHandshake(t, p)
	if err := <-done; err != nil {
		t.Error(err)
	}
	_, _, err := receiveOne(p.client, -1)
	wantIO(t, err, datagram.CodeClosed)
	send(t, p.client, "still")
	receive(t, p.server, "still")
}

// Certificates with other keys serve as well.
func TestServerKeys(t *testing.T) {
	for name, leaf := range map[string]*conn.TestAuthority{
		"RSA":     testCA().LeafWithKey(t, conn.TestRSAKey()),
		"Ed25519": testCA().LeafWithKey(t, conn.TestEd25519Key(t)),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.server.SetCertificate(leaf.Certificate(t))
			mustHandshake(t, p)
			converse(t, p)
		})
	}
}

// A chain is verified up to the trusted root, and not without its middle.
func TestChain(t *testing.T) { // verified-chain of G217
	root := conn.NewTestCA(t, "root")
	middle := root.Intermediate(t, "middle")
	leaf := middle.Leaf(t)
	p := newPair(t)
	p.server.SetCertificate(leaf.Certificate(t, middle))
	p.client.SetDatabase(conn.NewDatabaseFromCertificates(root.Certificate(t)))
	mustHandshake(t, p)
	if issuer := p.client.PeerCertificate().Issuer(); issuer == nil || !issuer.IsSame(middle.Certificate(t)) {
		t.Errorf("issuer is %v", issuer)
	}
	p = newPair(t)
	p.server.SetCertificate(leaf.Certificate(t))
	p.client.SetDatabase(conn.NewDatabaseFromCertificates(root.Certificate(t)))
	client, _ := p.handshake(t)
	wantTLS(t, client, conn.TlsErrorBadCertificate)
}

// A database that cannot decide ends the handshake with its reason (G137), and one
// that is slow is cancelled with the handshake.
func TestDatabaseFails(t *testing.T) {
	reason := errors.New("disk on fire")
	for name, test := range map[string]struct {
		database failingDatabase
		want     error
	}{
		"cannot": {func(context.Context) error { return reason }, reason},
		"slow":   {func(ctx context.Context) error { <-ctx.Done(); return datagram.ErrorFromContext(ctx) }, datagram.ErrCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.client.SetDatabase(test.database)
			done := make(chan error, 1)
			go func() { done <- p.server.Handshake(background) }()
			ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
			defer cancel()
			if err := p.client.Handshake(ctx); !errors.Is(err, test.want) {
				t.Errorf("client: %v", err)
			}
			wantTLS(t, <-done, conn.TlsErrorMisc) // it was told
		})
	}
}

type failingDatabase func(context.Context) error

func (d failingDatabase) VerifyChain(ctx context.Context, _ *conn.TlsCertificate, _ string, _ conn.SocketConnectable, _ conn.TlsInteraction, _ conn.TlsDatabaseVerifyFlags) (conn.TlsCertificateFlags, error) {
	return conn.CertificateGenericError, d(ctx)
}
