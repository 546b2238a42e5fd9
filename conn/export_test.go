package conn

import "testing"

// What tests outside the package use of the test PKI.

type TestAuthority = testAuthority

var (
	TestExpired     = expired
	TestNotYetValid = notYetValid
	TestNames       = withNames
	TestRSAKey      = testRSA2048
	TestEd25519Key  = testEd25519Key
)

func NewTestCA(tb testing.TB, name string) *TestAuthority { return newTestCA(tb, name) }

func (ca *testAuthority) Leaf(tb testing.TB, options ...testOption) *TestAuthority {
	return ca.leaf(tb, options...)
}

// Certificate is the authority's certificate with its key and those above it.
func (ca *testAuthority) Certificate(tb testing.TB, above ...*testAuthority) *TlsCertificate {
	return ca.with(tb, above...)
}

// GoroutineID is for the test of goroutineID.
var GoroutineID = goroutineID
