package conn

import (
	"crypto"
	"crypto/tls"
	"testing"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// What tests outside the package use of the test PKI.

type TestAuthority = testAuthority

var (
	TestExpired     = expired
	TestNotYetValid = notYetValid
	TestNames       = withNames
	TestRSAKey      = testRSA2048
	TestEd25519Key  = testEd25519Key
	TestAlgorithm   = withAlgorithm
)

func NewTestCA(tb testing.TB, name string) *TestAuthority { return newTestCA(tb, name) }

func NewTestCAWithKey(tb testing.TB, name string, key crypto.Signer) *TestAuthority {
	return newTestCAWithKey(tb, name, key)
}

func (ca *testAuthority) Leaf(tb testing.TB, options ...testOption) *TestAuthority {
	return ca.leaf(tb, options...)
}

func (ca *testAuthority) LeafWithKey(tb testing.TB, key crypto.Signer) *TestAuthority {
	return ca.leafWithKey(tb, key)
}

func (ca *testAuthority) Intermediate(tb testing.TB, name string) *TestAuthority {
	return ca.intermediate(tb, name)
}

// CrossSignedBy is the authority, with the same key, issued by another.
func (ca *testAuthority) CrossSignedBy(tb testing.TB, by *TestAuthority) *TestAuthority {
	return by.crossSign(tb, ca.certificate.Subject.CommonName, ca.key)
}

// Subject is the DER of the authority's name.
func (ca *testAuthority) Subject() []byte { return ca.certificate.RawSubject }

// Certificate is the authority's certificate with its key and those above it.
func (ca *testAuthority) Certificate(tb testing.TB, above ...*testAuthority) *TlsCertificate {
	return ca.with(tb, above...)
}

// PublicCertificate is the authority's certificate without its key.
func (ca *testAuthority) PublicCertificate(tb testing.TB) *TlsCertificate {
	certificate, err := NewCertificate(tls.Certificate{Certificate: ca.chain()})
	if err != nil {
		tb.Fatal(err)
	}
	return certificate
}

// GoroutineID is for the test of goroutineID.
var GoroutineID = goroutineID

// TestSession is what the handshake agreed on, nil before.
func (c *DtlsConnection) TestSession() *handshake.Session {
	s := c.session()
	if s == nil {
		return nil
	}
	return &handshake.Session{MasterSecret: s.masterSecret, ClientRandom: s.clientRandom, ServerRandom: s.serverRandom, ExtendedMaster: s.extendedMaster}
}

// TestWithoutExtendedMaster makes the connection one whose peer lacks RFC 7627.
func (c *DtlsConnection) TestWithoutExtendedMaster() { c.session().extendedMaster = false }

// TestSkipTo leaves out sequence numbers.
func (c *DtlsConnection) TestSkipTo(sequence uint64) { c.tx.sealer.SkipTo(sequence) }

// TestOver replaces the base of a connection.
func (c *DtlsConnection) TestOver(base datagram.DatagramBased) *DtlsConnection {
	c.base = base
	return c
}

// Chain is the DER of the authority's certificate, and its key.
func (ca *testAuthority) Chain(testing.TB) ([][]byte, crypto.Signer) { return ca.chain(), ca.key }

// TestMTU is the size of datagrams as SendMessages sees it.
func (c *DtlsConnection) TestMTU() int { return c.mtu.size() }
