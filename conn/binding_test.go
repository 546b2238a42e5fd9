package conn_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"testing"

	"gdtls/conn"
	"gdtls/datagram"
)

var bindings = []conn.TlsChannelBindingType{
	conn.ChannelBindingTLSUnique, conn.ChannelBindingTLSServerEndPoint, conn.ChannelBindingTLSExporter,
}

// bothBindings gives a pair's binding, which must be the same at both ends.
func bothBindings(t *testing.T, p *pair, kind conn.TlsChannelBindingType) []byte {
	t.Helper()
	client, err := p.client.ChannelBindingData(kind)
	if err != nil {
		t.Fatalf("%v, client: %v", kind, err)
	}
	server, err := p.server.ChannelBindingData(kind)
	if err != nil {
		t.Fatalf("%v, server: %v", kind, err)
	}
	if !bytes.Equal(client, server) {
		t.Errorf("%v: client has %x, server %x", kind, client, server)
	}
	return client
}

// The scenarios binding/match-* (G217): nothing before the handshake, the same at
// both ends after it, also when a session was resumed.
func TestChannelBindings(t *testing.T) { // G092, G178, G212
	p := newPair(t)
	for _, kind := range bindings {
		for _, c := range p.both() {
			if _, err := c.ChannelBindingData(kind); !errors.Is(err, conn.ErrChannelBindingInvalidState) {
				t.Errorf("%v before the handshake: %v", kind, err)
			}
		}
		if !conn.SupportsChannelBinding(kind) {
			t.Errorf("%v is not supported", kind)
		}
	}
	for _, c := range p.both() { // G093
		if _, err := c.ChannelBindingData(3); !errors.Is(err, conn.ErrChannelBindingNotImplemented) {
			t.Errorf("unknown binding: %v", err)
		}
	}
	if conn.SupportsChannelBinding(3) || conn.SupportsChannelBinding(-1) {
		t.Error("unknown bindings are supported")
	}

	f := newFamily()
	full, resumed, other := f.meet(t, false), f.meet(t, true), connected(t)
	for _, kind := range bindings {
		first, second, third := bothBindings(t, full, kind), bothBindings(t, resumed, kind), bothBindings(t, other, kind)
		same := kind == conn.ChannelBindingTLSServerEndPoint
		if bytes.Equal(first, second) != same || bytes.Equal(first, third) != same {
			t.Errorf("%v of three connections: %x, %x, %x", kind, first, second, third)
		}
		if want := map[conn.TlsChannelBindingType]int{conn.ChannelBindingTLSUnique: 12}[kind]; want > 0 && len(first) != want || want == 0 && len(first) != 32 {
			t.Errorf("%v has %d bytes", kind, len(first))
		}
	}
}

// The end point is a hash of the server's certificate by the hash of its signature
// (RFC 5929 section 4.1), on either side that of the certificate that was shown.
func TestServerEndPoint(t *testing.T) {
	sum384 := func(b []byte) []byte { h := sha512.Sum384(b); return h[:] }
	sum512 := func(b []byte) []byte { h := sha512.Sum512(b); return h[:] }
	sum256 := func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }
	rsa := conn.NewTestCAWithKey(t, "RSA CA", conn.TestRSAKey())
	for _, test := range []struct {
		algorithm x509.SignatureAlgorithm
		ca        *conn.TestAuthority
		hash      func([]byte) []byte
	}{
		{x509.ECDSAWithSHA256, testCA(), sum256},
		{x509.ECDSAWithSHA384, testCA(), sum384},
		{x509.ECDSAWithSHA512, testCA(), sum512},
		{x509.SHA256WithRSA, rsa, sum256},
		{x509.SHA384WithRSAPSS, rsa, sum384},
		{x509.SHA512WithRSA, rsa, sum512},
	} {
		leaf := test.ca.Leaf(t, conn.TestAlgorithm(test.algorithm)).Certificate(t)
		p := newPair(t)
		p.client.SetValidationFlags(0)
		p.server.SetCertificate(leaf)
		mustHandshake(t, p)
		if got := bothBindings(t, p, conn.ChannelBindingTLSServerEndPoint); !bytes.Equal(got, test.hash(leaf.Certificate())) {
			t.Errorf("%v: %x", test.algorithm, got)
		}
	}

	second := testCA().Leaf(t, conn.TestNames([]string{"second.example"})).Certificate(t)
	p := newPair(t)
	if err := p.server.AddCertificate(second); err != nil {
		t.Fatal(err)
	}
	p.client.SetServerIdentity(conn.NetworkAddress{Hostname: "second.example"})
	mustHandshake(t, p)
	if got := bothBindings(t, p, conn.ChannelBindingTLSServerEndPoint); !bytes.Equal(got, sum256(second.Certificate())) {
		t.Error("the end point is not of the certificate that was shown")
	}

	p = newPair(t).usesPSK()
	mustHandshake(t, p)
	ed25519 := conn.NewTestCAWithKey(t, "Ed25519 CA", conn.TestEd25519Key(t)).Leaf(t).Certificate(t)
	noHash := newPair(t)
	noHash.client.SetValidationFlags(0)
	noHash.server.SetCertificate(ed25519)
	mustHandshake(t, noHash)
	for i := range p.both() {
		if _, err := p.both()[i].ChannelBindingData(conn.ChannelBindingTLSServerEndPoint); !errors.Is(err, conn.ErrChannelBindingNotAvailable) {
			t.Errorf("with a pre-shared key: %v", err)
		}
		if _, err := noHash.both()[i].ChannelBindingData(conn.ChannelBindingTLSServerEndPoint); !errors.Is(err, conn.ErrChannelBindingNotSupported) {
			t.Errorf("signed with Ed25519: %v", err)
		}
	}
}

// TestExportKeyingMaterial compares with the formula of RFC 5705.
func TestExportKeyingMaterial(t *testing.T) {
	p := newPair(t)
	if _, err := p.client.ExportKeyingMaterial("EXPERIMENTAL x", nil, 32); !errors.Is(err, datagram.ErrNotInitialized) {
		t.Errorf("before the handshake: %v", err)
	}
	mustHandshake(t, p)
	s := p.client.TestSession()
	prf := func(seed []byte, length int) (out []byte) {
		mac := func(parts ...[]byte) []byte {
			h := hmac.New(sha256.New, s.MasterSecret[:])
			for _, part := range parts {
				h.Write(part)
			}
			return h.Sum(nil)
		}
		for a := mac(seed); len(out) < length; a = mac(a) {
			out = append(out, mac(a, seed)...)
		}
		return out[:length]
	}
	seen := map[string]bool{}
	for _, test := range []struct {
		context []byte
		tail    []byte
		length  int
	}{
		{nil, nil, 32},
		{[]byte{}, []byte{0, 0}, 32},
		{[]byte("abc"), []byte("\x00\x03abc"), 100},
		{make([]byte, 0x1234), append([]byte{0x12, 0x34}, make([]byte, 0x1234)...), 1},
	} {
		want := prf(bytes.Join([][]byte{[]byte("EXPERIMENTAL x"), s.ClientRandom[:], s.ServerRandom[:], test.tail}, nil), test.length)
		for _, c := range p.both() {
			if got, err := c.ExportKeyingMaterial("EXPERIMENTAL x", test.context, test.length); err != nil || !bytes.Equal(got, want) {
				t.Errorf("context of %d bytes: %x, %v; want %x", len(test.context), got, err, want)
			}
		}
		seen[string(want)] = true
	}
	if len(seen) != 4 {
		t.Error("contexts give the same material")
	}
	for _, test := range []struct {
		label   string
		context int
		length  int
	}{{"", 0, 1}, {"master secret", 0, 1}, {"key expansion", 0, 1}, {"x", 1 << 16, 1}, {"x", 0, 0}, {"x", 0, -1}, {"x", 0, 1 << 20}} {
		if _, err := p.client.ExportKeyingMaterial(test.label, make([]byte, test.context), test.length); !errors.Is(err, datagram.ErrInvalidArgument) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// Without the extended master secret nothing is exported (RFC 7627, RFC 9266 section 3).
func TestExportNeedsExtendedMasterSecret(t *testing.T) {
	p := connected(t)
	p.client.TestWithoutExtendedMaster()
	if _, err := p.client.ChannelBindingData(conn.ChannelBindingTLSExporter); !errors.Is(err, conn.ErrChannelBindingNotAvailable) {
		t.Errorf("tls-exporter: %v", err)
	}
	if _, err := p.client.ExportKeyingMaterial("EXPERIMENTAL x", nil, 32); !errors.Is(err, datagram.ErrNotSupported) {
		t.Errorf("keying material: %v", err)
	}
}
