package conn_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// The client's first protocol that the server has too is chosen; nothing in common
// is no error (G058, G059, G090, G091, case j; alpn of G217).
func TestALPN(t *testing.T) {
	for _, test := range []struct {
		client, server []string
		want           string
	}{
		{[]string{"a", "b"}, []string{"b", "a"}, "a"},
		{[]string{"c", "b"}, []string{"a", "b"}, "b"},
		{[]string{"a"}, []string{"b"}, ""},
		{[]string{"a"}, nil, ""},
		{nil, []string{"a"}, ""},
		{nil, nil, ""},
	} {
		t.Run(fmt.Sprint(test.client, test.server), func(t *testing.T) {
			p := newPair(t)
			p.client.SetAdvertisedProtocols(test.client)
			p.server.SetAdvertisedProtocols(test.server)
			if got := p.client.AdvertisedProtocols(); !slices.Equal(got, test.client) {
				t.Errorf("client advertises %q", got)
			}
			mustHandshake(t, p)
			for _, c := range p.both() {
				if got := c.NegotiatedProtocol(); got != test.want {
					t.Errorf("%v: %q", c, got)
				}
			}
		})
	}
}

// Properties at first (case o), after the handshake, and after close (case d;
// tls-info of G217).
func TestProperties(t *testing.T) {
	a, b := datagram.NewPipe()
	client, err := clientconn.NewDtlsClientConnection(a, identity)
	if err != nil {
		t.Fatal(err)
	}
	server, err := serverconn.NewDtlsServerConnection(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{client, server}
	for _, c := range p.both() {
		if !c.RequireCloseNotify() || c.Certificate() != nil || c.Database() != conn.DefaultDatabase() ||
			c.PeerCertificate() != nil || c.PeerCertificateErrors() != 0 || c.AdvertisedProtocols() != nil ||
			c.NegotiatedProtocol() != "" || c.ProtocolVersion() != conn.ProtocolUnknown || c.CiphersuiteName() != "" ||
			c.MTU() != 1400 || c.PskIdentity() != nil || c.PskIdentityHint() != nil || c.ServerName() != "" || c.IsResumed() {
			t.Errorf("%v: a default is wrong", c)
		}
		if c.Stats() != (conn.Stats{}) {
			t.Errorf("%v: %+v", c, c.Stats())
		}
	}
	if client.ValidationFlags() != conn.CertificateValidateAll || client.AcceptedCAs() != nil || client.ServerIdentity() != identity ||
		server.AuthenticationMode() != conn.AuthenticationNone {
		t.Error("a default of one side is wrong")
	}
	if client.BaseSocket() != datagram.DatagramBased(a) { // G049
		t.Error("base-socket is another")
	}
	client.SetDatabase(nil) // G062: none, not the default
	if client.Database() != nil {
		t.Error("database is not nil")
	}
	client.SetDatabase(trusting())
	server.SetCertificate(serverCert())
	server.SetCertificate(nil) // ignored (G063)
	if server.Certificate() != serverCert() {
		t.Error("certificate was not kept")
	}
	if got := client.String(); got != "DTLS client connection" {
		t.Error(got)
	}
	mustHandshake(t, p)
	after := func(when string) {
		if client.ProtocolVersion() != conn.ProtocolDTLS12 || client.CiphersuiteName() == "" || !client.PeerCertificate().IsSame(serverCert()) {
			t.Errorf("%s: %v, %q, %v", when, client.ProtocolVersion(), client.CiphersuiteName(), client.PeerCertificate())
		}
		if got := server.String(); got != "DTLS server connection with TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" {
			t.Error(when, got)
		}
	}
	after("established")
	p.close(t)
	after("closed")
}

// The key log has the line that Wireshark wants, with the real secrets.
func TestKeyLog(t *testing.T) {
	p := newPair(t)
	logs := make([]safeBuffer, 2)
	for i, c := range p.both() {
		c.SetKeyLogWriter(&logs[i])
	}
	mustHandshake(t, p)
	s := p.client.TestSession()
	want := fmt.Sprintf("CLIENT_RANDOM %s %s\n", hex.EncodeToString(s.ClientRandom[:]), hex.EncodeToString(s.MasterSecret[:]))
	for i := range logs {
		if got := logs[i].String(); got != want {
			t.Errorf("log is %q, want %q", got, want)
		}
	}
	if strings.Contains(want, strings.Repeat("00", 16)) {
		t.Error("the secrets are empty")
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// rehandshake-mode does nothing, and always says the same (G054, G071).
func TestRehandshakeMode(t *testing.T) {
	p := newPair(t)
	for _, mode := range []conn.TlsRehandshakeMode{conn.RehandshakeNever, conn.RehandshakeUnsafely, conn.RehandshakeSafely} {
		p.client.SetRehandshakeMode(mode)
		if got := p.client.RehandshakeMode(); got != conn.RehandshakeSafely {
			t.Errorf("set to %v: %v", mode, got)
		}
	}
}
