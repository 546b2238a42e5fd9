package handshake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// namedCertificate is self-signed, for host names.
func namedCertificate(t testing.TB, signer crypto.Signer, names ...string) *Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: names[0]},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     names,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCertificate([][]byte{der}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCertificateByName asserts which of several certificates a server shows, and
// that it acknowledges the name only if that chose.
func TestCertificateByName(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	plain := namedCertificate(t, ec, "plain.example")
	wild := namedCertificate(t, ec, "*.wild.example", "wild.example")
	wildRSA := namedCertificate(t, rs, "*.wild.example")
	onlyRSA := namedCertificate(t, rs, "rsa.example")
	all := []*Certificate{plain, wild, wildRSA, onlyRSA}
	rsaSuites := []uint16{0xc02f}
	for _, test := range []struct {
		name         string
		certificates []*Certificate
		suites       []uint16
		want         *Certificate
		acknowledged bool
	}{
		{"", all, nil, plain, false},
		{"plain.example", all, nil, plain, true},
		{"PLAIN.example", all, nil, plain, true},
		{"a.wild.example", all, nil, wild, true},
		{"wild.example", all, nil, wild, true},
		{"a.b.wild.example", all, nil, plain, false},
		{"rsa.example", all, nil, onlyRSA, true}, // though an ECDSA suite comes first
		{"other.example", all, nil, plain, false},
		{"a.wild.example", all, rsaSuites, wildRSA, true},
		{"plain.example", all, rsaSuites, wildRSA, false}, // none that the client can use has the name
		{"plain.example", []*Certificate{plain}, nil, plain, false},
	} {
		client := &Config{ServerName: test.name, Suites: test.suites}
		sim := newSimulation(t, client, &Config{Certificates: test.certificates}, answers{}, link{})
		acknowledged := false
		sim.link.tamper = func(fromClient bool, _ int, datagram []byte) []byte {
			for _, m := range sentMessages([][]byte{datagram}) {
				var h serverHello
				if !fromClient && m.typ == 2 && h.unmarshal(m.body) {
					acknowledged = h.serverName
				}
			}
			return datagram
		}
		sim.run(time.Minute)
		checkAgreement(t, sim)
		if got := sim.client.peer.leaf; !got.Equal(test.want.leaf) {
			t.Errorf("%q with suites %04x: certificate of %v, want %v", test.name, test.suites, got.DNSNames, test.want.leaf.DNSNames)
		}
		if acknowledged != test.acknowledged {
			t.Errorf("%q with suites %04x: name acknowledged %v", test.name, test.suites, acknowledged)
		}
	}
}

// TestWants asserts which certificates suit a server's request.
func TestWants(t *testing.T) {
	own := testCertificate(t, "ECDSA P-256")
	m, err := NewClient(&Config{}, puppetStart)
	if err != nil {
		t.Fatal(err)
	}
	if m.Wants(own) {
		t.Error("wanted though nobody asked")
	}
	for _, test := range []struct {
		name    string
		request certificateRequest
		want    bool
	}{
		{"any authority", certificateRequest{schemes: supportedSchemes}, true},
		{"its issuer", certificateRequest{schemes: supportedSchemes, authorities: [][]byte{{0x30, 0}, own.leaf.RawIssuer}}, true},
		{"other authority", certificateRequest{schemes: supportedSchemes, authorities: [][]byte{{0x30, 0}}}, false},
		{"other scheme", certificateRequest{schemes: supportedSchemes[1:2]}, false},
	} {
		m.peer.request = &test.request
		if got := m.Wants(own); got != test.want {
			t.Errorf("%s: wanted %v", test.name, got)
		}
	}
	chain := &Certificate{Chain: [][]byte{own.Chain[0], testCertificate(t, "Ed25519").Chain[0]}, leaf: own.leaf, key: own.key}
	m.peer.request = &certificateRequest{schemes: supportedSchemes, authorities: [][]byte{testCertificate(t, "Ed25519").leaf.RawIssuer}}
	if !m.Wants(chain) {
		t.Error("not wanted though the authority issued its intermediate")
	}
}

func TestNewCertificateRefuses(t *testing.T) {
	good := testCertificate(t, "ECDSA P-256")
	long := [][]byte{good.Chain[0]}
	for len(marshalCertificate(long)) <= maxMessage {
		long = append(long, good.Chain[0])
	}
	for name, chain := range map[string][][]byte{"empty": nil, "no certificate": {{1, 2, 3}}, "too long": long} {
		if _, err := NewCertificate(chain, good.Signer); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
