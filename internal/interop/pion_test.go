package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v2"
	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/conn"
	"gdtls/internal/handshake"
)

// pion is the Conn of github.com/pion/dtls/v2.
type pion struct{}

// traits: Close first stops pion's reader, which closes the socket, perhaps before
// Close has sent close_notify.
func (pion) traits() traits {
	return traits{mtuSlack: 25, takesFragmentedHello: true, unknownIdentity: "internal_error", losesClose: true}
}

func (pion) version(t *testing.T) string {
	return "pion " + versionOf(t, "go", "list", "-m", "-f", "{{.Version}}", "github.com/pion/dtls/v2")
}

func (pion) lacks(server bool, o, _ options) string {
	if o.suite != "" {
		if _, ok := pionSuite(o.suite); !ok {
			return "pion v2 does not have all cipher suites"
		}
	}
	if o.resume == byTicket {
		return "pion has no tickets"
	}
	if o.signature != "" {
		return "pion v2 takes an RSA key only under a CA with RSA, and signs by PKCS #1 only"
	}
	return ""
}

func pionSuite(name string) (dtls.CipherSuiteID, bool) {
	id := dtls.CipherSuiteID(handshake.SuiteByName(name).ID)
	return id, !strings.HasPrefix(dtls.CipherSuiteName(id), "0x")
}

func pionConfig(t *testing.T, o options) *dtls.Config {
	ctx := func() (context.Context, func()) { return context.WithTimeout(t.Context(), patience) }
	config := &dtls.Config{ConnectContextMaker: ctx, SupportedProtocols: o.alpn, ServerName: o.name, MTU: o.mtu}
	if o.credential != nil {
		config.Certificates = []tls.Certificate{o.credential.tls()}
	}
	if o.trust != nil {
		pool := x509.NewCertPool()
		pool.AddCert(o.trust)
		config.RootCAs, config.ClientCAs = pool, pool
	}
	if o.suite != "" {
		id, _ := pionSuite(o.suite)
		config.CipherSuites = []dtls.CipherSuiteID{id}
	} else if o.psk != nil {
		config.CipherSuites = []dtls.CipherSuiteID{dtls.TLS_PSK_WITH_AES_128_GCM_SHA256}
	}
	if o.group != "" {
		config.EllipticCurves = []elliptic.Curve{map[string]elliptic.Curve{
			"x25519": elliptic.X25519, "secp256r1": elliptic.P256, "secp384r1": elliptic.P384}[o.group]}
	}
	if o.resume != "" {
		config.SessionStore = &pionSessions{kept: map[string]dtls.Session{}}
	}
	if o.noEMS {
		config.ExtendedMasterSecret = dtls.DisableExtendedMasterSecret
	}
	return config
}

func (pion) serve(t *testing.T, o options) session {
	t.Helper()
	config := pionConfig(t, o)
	switch o.auth {
	case conn.AuthenticationRequested:
		config.ClientAuth = dtls.VerifyClientCertIfGiven
	case conn.AuthenticationRequired:
		config.ClientAuth = dtls.RequireAndVerifyClientCert
	}
	if o.psk != nil {
		config.PSKIdentityHint = []byte(o.psk.hint)
		config.PSK = func(identity []byte) ([]byte, error) {
			if string(identity) != o.psk.identity {
				return nil, errors.New("unknown identity")
			}
			return hex.DecodeString(o.psk.key)
		}
	}
	listener, err := dtls.Listen("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, config)
	if err != nil {
		t.Fatal(err)
	}
	s := &pionSession{local: listener.Addr().(*net.UDPAddr).AddrPort()}
	accept := func() {
		s.run(t, func() (*dtls.Conn, error) {
			c, err := listener.Accept()
			if err != nil {
				return nil, err
			}
			return c.(*dtls.Conn), nil
		})
		t.Cleanup(func() { listener.Close() })
	}
	accept()
	if o.resume != "" {
		s.next = accept
	}
	return s
}

func (pion) connect(t *testing.T, server netip.AddrPort, o options) session {
	t.Helper()
	config := pionConfig(t, o)
	config.InsecureSkipVerify = o.trust == nil
	if o.byAddress {
		config.ServerName = server.Addr().String()
	}
	if o.psk != nil {
		config.PSKIdentityHint = []byte(o.psk.identity)
		config.PSK = func([]byte) ([]byte, error) { return hex.DecodeString(o.psk.key) }
	}
	s := &pionSession{}
	s.next = func() {
		socket, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(server))
		if err != nil {
			t.Fatal(err)
		}
		s.run(t, func() (*dtls.Conn, error) { return dtls.Client(socket, config) })
		t.Cleanup(func() { socket.Close() })
	}
	s.next()
	return s
}

type pionSession struct {
	local netip.AddrPort
	ready chan struct{} // closed when the handshake has ended
	conn  *dtls.Conn    // constant once ready
	err   error         // constant once ready; the handshake's
	next  func()        // begins with another connection; nil on a server that has only one
}

// again connects a client once more.
func (s *pionSession) again(t *testing.T) {
	t.Helper()
	s.close(t)
	s.next()
	s.established(t)
}

// pionSessions keeps sessions.
type pionSessions struct {
	mu   sync.Mutex
	kept map[string]dtls.Session
}

// Set keeps a session.
func (p *pionSessions) Set(key []byte, session dtls.Session) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept[string(key)] = session
	return nil
}

// Get finds one; none has no id.
func (p *pionSessions) Get(key []byte) (dtls.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept[string(key)], nil
}

// Del forgets one.
func (p *pionSessions) Del(key []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.kept, string(key))
	return nil
}

// run makes the handshake, which takes place in pion's constructors.
func (s *pionSession) run(t *testing.T, handshake func() (*dtls.Conn, error)) {
	ready := make(chan struct{})
	var c *dtls.Conn
	s.ready = ready
	go func() {
		defer close(ready)
		var err error
		c, err = handshake()
		s.conn, s.err = c, err
	}()
	t.Cleanup(func() {
		<-ready
		if c != nil {
			c.Close()
		}
		if t.Failed() {
			t.Logf("pion: handshake error %v", s.err)
		}
	})
}

func (s *pionSession) address() netip.AddrPort { return s.local }
func (s *pionSession) echoes() bool            { return false }
func (s *pionSession) closes() string          { return "" }

func (s *pionSession) established(t *testing.T) {
	t.Helper()
	if <-s.ready; s.err != nil {
		t.Fatalf("pion: %v", s.err)
	}
}

func (s *pionSession) send(t *testing.T, text string) {
	t.Helper()
	s.established(t)
	if _, err := io.WriteString(s.conn, text); err != nil {
		t.Fatalf("pion: %v", err)
	}
}

func (s *pionSession) read() ([]byte, error) {
	buffer := make([]byte, 1<<15)
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	n, err := s.conn.Read(buffer)
	return buffer[:n], err
}

func (s *pionSession) expect(t *testing.T, text string) {
	t.Helper()
	s.established(t)
	if got, err := s.read(); err != nil || !bytes.Equal(got, []byte(text)) {
		t.Fatalf("pion received %.80q, %v; want %.80q", got, err, text)
	}
}

func (s *pionSession) close(t *testing.T) {
	t.Helper()
	if err := s.conn.Close(); err != nil {
		t.Fatalf("pion: %v", err)
	}
}

func (s *pionSession) expectClose(t *testing.T) {
	t.Helper()
	if got, err := s.read(); err != io.EOF {
		t.Fatalf("pion received %.80q, %v; want our close_notify", got, err)
	}
	if s.local.IsValid() && s.next != nil {
		s.next()
	}
}

func (s *pionSession) expectFailure(t *testing.T, d alert.Description) {
	t.Helper()
	want := (&alert.Alert{Level: alert.Fatal, Description: d}).String()
	if <-s.ready; s.err == nil || !strings.Contains(s.err.Error(), want) {
		t.Fatalf("pion: %v; want %s", s.err, want)
	}
}

func (s *pionSession) expectRefusal(t *testing.T) {
	t.Helper()
	if <-s.ready; s.err == nil {
		t.Fatal("pion accepted")
	}
}

func (s *pionSession) reported() (r report) {
	state := s.conn.ConnectionState()
	if len(state.PeerCertificates) > 0 {
		if leaf, err := x509.ParseCertificate(state.PeerCertificates[0]); err == nil {
			r.subject = &leaf.Subject.CommonName
		}
	}
	if exported, err := state.ExportKeyingMaterial(exporterLabel, nil, 32); err == nil {
		material := hex.EncodeToString(exported)
		r.material = &material
	}
	return r // v2 loses the application protocol, and tells nothing of the rest
}
