package conn

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"testing"
	"time"

	"gdtls/datagram"
)

const (
	unknownCA    = CertificateUnknownCA
	badIdentity  = CertificateBadIdentity
	notActivated = CertificateNotActivated
	isExpired    = CertificateExpired
	insecure     = CertificateInsecure
	generic      = CertificateGenericError
)

var testIdentity = NetworkAddress{Hostname: "server.example", Port: 5684}

// verifyAt verifies as a database that trusts the given authorities does at
// testNow.
func verifyAt(tb testing.TB, chain [][]byte, purpose string, identity SocketConnectable, trusted ...*testAuthority) TlsCertificateFlags {
	tb.Helper()
	certificate, err := newPeerCertificate(chain)
	if err != nil {
		tb.Fatal(err)
	}
	var roots []*x509.Certificate
	for _, ca := range trusted {
		roots = append(roots, ca.certificate)
	}
	return verifyChain(certificate, newAnchors(roots), purpose, identity, testNow)
}

// TestVerifyErrors is section (i) of the observations of the real Gio.
func TestVerifyErrors(t *testing.T) {
	ca, stranger := newTestCA(t, "CA"), newTestCA(t, "stranger")
	self := newTestSelfSigned(t)
	other := NetworkAddress{Hostname: "other.example"}
	for name, test := range map[string]struct {
		leaf     *testAuthority
		identity SocketConnectable
		trusted  *testAuthority
		want     TlsCertificateFlags
	}{
		"good":                         {ca.leaf(t), testIdentity, ca, 0},
		"no identity asked for":        {ca.leaf(t), nil, ca, 0}, // G138
		"expired":                      {ca.leaf(t, expired), testIdentity, ca, isExpired},
		"not yet valid":                {ca.leaf(t, notYetValid), testIdentity, ca, notActivated},
		"wrong name":                   {ca.leaf(t), other, ca, badIdentity},
		"trailing dot":                 {ca.leaf(t), NetworkAddress{Hostname: "server.example."}, ca, badIdentity},
		"upper case":                   {ca.leaf(t), NetworkAddress{Hostname: "SERVER.EXAMPLE"}, ca, 0},
		"address":                      {ca.leaf(t), inet("127.0.0.1:1"), ca, 0},
		"another address":              {ca.leaf(t), inet("127.0.0.2:1"), ca, badIdentity},
		"unknown authority":            {stranger.leaf(t), testIdentity, ca, unknownCA},
		"self-signed":                  {self, testIdentity, ca, unknownCA},
		"self-signed and trusted":      {self, testIdentity, self, 0},
		"expired, wrong name":          {ca.leaf(t, expired), other, ca, isExpired | badIdentity},
		"not yet valid, wrong name":    {ca.leaf(t, notYetValid), other, ca, notActivated | badIdentity},
		"expired, unknown":             {stranger.leaf(t, expired), testIdentity, ca, isExpired | unknownCA},
		"expired, unknown, wrong name": {stranger.leaf(t, expired), other, ca, isExpired | unknownCA | badIdentity},
		// Two deliberate differences: the real Gio does not look at the
		// purpose.
		"client's purpose":           {ca.leaf(t, withUsages(x509.ExtKeyUsageClientAuth)), testIdentity, ca, generic},
		"other purpose":              {ca.leaf(t, withUsages(x509.ExtKeyUsageCodeSigning)), testIdentity, ca, generic},
		"both purposes":              {ca.leaf(t, withUsages(x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth)), testIdentity, ca, 0},
		"any purpose":                {ca.leaf(t, withUsages(x509.ExtKeyUsageAny)), testIdentity, ca, 0},
		"trusted, not a CA":          {ca.leaf(t), testIdentity, self, unknownCA},
		"purpose and expired":        {ca.leaf(t, expired, withUsages(x509.ExtKeyUsageClientAuth)), testIdentity, ca, generic | isExpired},
		"self-signed, expired":       {newTestSelfSigned(t, expired), testIdentity, ca, unknownCA | isExpired},
		"weak curve":                 {ca.leafWithKey(t, testECDSAKeyOn(t, elliptic.P224())), testIdentity, ca, insecure},
		"RSA-1024":                   {ca.leafWithKey(t, testRSA1024()), testIdentity, ca, insecure},
		"RSA-1024, unknown":          {stranger.leafWithKey(t, testRSA1024()), testIdentity, ca, insecure | unknownCA},
		"RSA-2048":                   {ca.leafWithKey(t, testRSA2048()), testIdentity, ca, 0},
		"Ed25519":                    {ca.leafWithKey(t, testEd25519Key(t)), testIdentity, ca, 0},
		"unknown critical extension": {ca.leaf(t, withUnknownCritical), testIdentity, ca, generic},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verifyAt(t, test.leaf.chain(), PurposeAuthenticateServer, test.identity, test.trusted); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func withUnknownCritical(c *x509.Certificate) {
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
}

// TestVerifyBrokenHashes covers signatures over SHA-1: a weak one on the way
// to the authority is INSECURE, the authority's own does not matter.
func TestVerifyBrokenHashes(t *testing.T) {
	sha1RSA, sha1ECDSA := withAlgorithm(x509.SHA1WithRSA), withAlgorithm(x509.ECDSAWithSHA1)
	rsaCA := newTestCAWithKey(t, "RSA", testRSA2048(), sha1RSA)
	ecCA := newTestCA(t, "EC", sha1ECDSA)
	weakIntermediate := ecCA.intermediate(t, "weak intermediate", sha1ECDSA)
	weakCA := newTestCAWithKey(t, "RSA-1024", testRSA1024())
	for name, test := range map[string]struct {
		chain   [][]byte
		trusted []*testAuthority
		want    TlsCertificateFlags
	}{
		"root's own, RSA":      {rsaCA.leaf(t).chain(rsaCA), []*testAuthority{rsaCA}, 0},
		"root's own, ECDSA":    {ecCA.leaf(t).chain(), []*testAuthority{ecCA}, 0},
		"leaf, RSA":            {rsaCA.leaf(t, sha1RSA).chain(), []*testAuthority{rsaCA}, insecure},
		"leaf, ECDSA":          {ecCA.leaf(t, sha1ECDSA).chain(), []*testAuthority{ecCA}, insecure},
		"leaf, expired":        {ecCA.leaf(t, sha1ECDSA, expired).chain(), []*testAuthority{ecCA}, insecure | isExpired},
		"leaf, unknown":        {ecCA.leaf(t, sha1ECDSA).chain(), []*testAuthority{rsaCA}, insecure | unknownCA},
		"root's own, unknown":  {ecCA.leaf(t).chain(ecCA), nil, unknownCA},
		"intermediate":         {weakIntermediate.leaf(t).chain(weakIntermediate), []*testAuthority{ecCA}, insecure},
		"trusted intermediate": {weakIntermediate.leaf(t).chain(), []*testAuthority{weakIntermediate}, 0},
		"weak authority":       {weakCA.leaf(t).chain(), []*testAuthority{weakCA}, insecure},
		"leaf, MD5":            {signedOverMD5(t, rsaCA).chain(), []*testAuthority{rsaCA}, insecure},
		"leaf, MD5, impostor":  {signedOverMD5(t, rsaCA).chain(), []*testAuthority{newTestCA(t, "RSA")}, insecure | unknownCA},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verifyAt(t, test.chain, PurposeAuthenticateServer, testIdentity, test.trusted...); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// signedOverMD5 issues a leaf with a signature that crypto/x509 does not make:
// it changes the object identifiers of another, which differ in one byte, and
// signs again.
func signedOverMD5(tb testing.TB, ca *testAuthority) *testAuthority {
	tb.Helper()
	leaf := ca.leaf(tb, withAlgorithm(x509.SHA256WithRSA))
	rsaEncryption := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1}
	overMD5 := func(der []byte) []byte {
		return bytes.ReplaceAll(der, append(rsaEncryption, 11), append(rsaEncryption, 4))
	}
	digest := md5.Sum(overMD5(leaf.certificate.RawTBSCertificate))
	signature, err := ca.key.Sign(rand.Reader, digest[:], crypto.MD5)
	if err != nil {
		tb.Fatal(err)
	}
	der := overMD5(leaf.certificate.Raw)
	copy(der[len(der)-len(signature):], signature)
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return &testAuthority{certificate, leaf.key}
}

// TestVerifyChains has the shapes of chains of G217, and more.
func TestVerifyChains(t *testing.T) {
	root := newTestCA(t, "root")
	upper := root.intermediate(t, "upper")
	lower := upper.intermediate(t, "lower")
	leaf := lower.leaf(t)
	otherRoot := newTestCA(t, "other root")
	upperByOther := otherRoot.crossSign(t, "upper", upper.key)
	expiredUpper := root.crossSign(t, "upper", upper.key, expired)
	noCA := root.leaf(t)
	oldRoot := newTestCA(t, "old root", expired)

	// Two authorities that issued each other.
	a := newTestCA(t, "A")
	b := a.intermediate(t, "B")
	aByB := b.crossSign(t, "A", a.key)

	limited := root.intermediate(t, "limited", func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"inside.example"}, true
	})
	short := root.intermediate(t, "short", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	belowShort := short.intermediate(t, "below short")
	// The name and key identifier of upper, but another key.
	impostor := root.intermediate(t, "upper", func(c *x509.Certificate) { c.SubjectKeyId = upper.certificate.SubjectKeyId })
	upperForClients := root.crossSign(t, "upper", upper.key, withUsages(x509.ExtKeyUsageClientAuth))
	clientsOnly := root.intermediate(t, "clients only", withUsages(x509.ExtKeyUsageClientAuth))

	authorities := func(list ...*testAuthority) []*testAuthority { return list }
	for name, test := range map[string]struct {
		chain   [][]byte
		trusted []*testAuthority
		want    TlsCertificateFlags
	}{
		"chain":                                     {leaf.chain(lower, upper), authorities(root), 0},
		"redundant root":                            {leaf.chain(lower, upper, root), authorities(root), 0},
		"duplicate leaf":                            {leaf.chain(leaf, lower, upper), authorities(root), 0},
		"unordered":                                 {leaf.chain(root, upper, lower), authorities(root), 0},
		"alternative authority":                     {leaf.chain(lower, upper, root), authorities(otherRoot, upperByOther), 0},
		"second path sent":                          {leaf.chain(lower, upper, upperByOther), authorities(otherRoot), 0},
		"second path sent, first":                   {leaf.chain(lower, upperByOther, upper), authorities(otherRoot), 0},
		"expired path and good path":                {leaf.chain(lower, expiredUpper, upper), authorities(root), 0},
		"trusted intermediate":                      {leaf.chain(), authorities(lower), 0},
		"trusted leaf":                              {leaf.chain(), authorities(leaf), 0},
		"missing intermediate":                      {leaf.chain(upper, root), authorities(root), unknownCA},
		"invalid, alternative":                      {leaf.chain(lower), authorities(otherRoot), unknownCA},
		"nothing trusted":                           {leaf.chain(lower, upper, root), nil, unknownCA},
		"path for another purpose and good path":    {leaf.chain(lower, upperForClients, upper), authorities(root), 0},
		"expired path and path for another purpose": {leaf.chain(lower, expiredUpper, upperForClients), authorities(root), generic},
		"impostor":                                  {leaf.chain(lower, impostor), authorities(root), unknownCA},
		"impostor and good path":                    {leaf.chain(lower, impostor, upper), authorities(root), 0},
		"expired intermediate":                      {leaf.chain(lower, expiredUpper), authorities(root), isExpired},
		"expired intermediate, unknown":             {leaf.chain(lower, expiredUpper), nil, isExpired | unknownCA},
		"cyclic":                                    {b.leaf(t).chain(b, aByB), authorities(root), unknownCA},
		"cyclic, trusted":                           {b.leaf(t).chain(b, aByB), authorities(a), 0},
		"name constraint":                           {limited.leaf(t).chain(limited), authorities(root), generic},
		"name constraint kept":                      {limited.leaf(t, withNames([]string{"inside.example"})).chain(limited), authorities(root), badIdentity},
		"path length":                               {belowShort.leaf(t).chain(belowShort, short), authorities(root), generic},
		"authority for another purpose":             {clientsOnly.leaf(t).chain(clientsOnly), authorities(root), generic},
		"issuer is no authority":                    {issuedByLeaf(t, noCA).chain(noCA), authorities(root), unknownCA},
		"expired root":                              {oldRoot.leaf(t).chain(), authorities(oldRoot), isExpired},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verifyAt(t, test.chain, PurposeAuthenticateServer, testIdentity, test.trusted...); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// issuedBy signs a leaf with a certificate that is no authority.
func issuedByLeaf(tb testing.TB, issuer *testAuthority) *testAuthority {
	tb.Helper()
	return issuer.leaf(tb, func(c *x509.Certificate) { c.Subject.CommonName = "below a leaf" })
}

// TestVerifyEndsOnHostileChains gives the search many paths that lead nowhere:
// sixteen authorities of one name that all signed each other.
func TestVerifyEndsOnHostileChains(t *testing.T) {
	key := testECDSAKey(t)
	ca := newTestCAWithKey(t, "hydra", key)
	leaf := ca.leaf(t)
	var heads []*testAuthority
	for range maxChainCertificates - 1 {
		head := ca.crossSign(t, "hydra", key, func(c *x509.Certificate) { c.SubjectKeyId, c.AuthorityKeyId = nil, nil })
		heads = append(heads, head)
	}
	start := time.Now()
	if got := verifyAt(t, leaf.chain(heads...), PurposeAuthenticateServer, testIdentity, newTestCA(t, "root")); got != unknownCA {
		t.Errorf("got %v, want %v", got, unknownCA)
	}
	// There are 15! paths; at most 200 signatures are checked.
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the search took %v", took)
	}
}

func TestVerifyCertificate(t *testing.T) { // G121, G122, G218
	ca, stranger := newTestCA(t, "CA"), newTestCA(t, "stranger")
	other := NetworkAddress{Hostname: "other.example"}
	trusted, untrusted := ca.with(t), stranger.with(t)
	good, old, future := ca.leaf(t).with(t), ca.leaf(t, expired).with(t), ca.leaf(t, notYetValid).with(t)
	intermediate := ca.intermediate(t, "intermediate")
	deep := intermediate.leaf(t).with(t, intermediate)
	for name, test := range map[string]struct {
		certificate *TlsCertificate
		identity    SocketConnectable
		trusted     *TlsCertificate
		want        TlsCertificateFlags
	}{
		"good":                    {good, testIdentity, trusted, 0},
		"good, no identity":       {good, nil, trusted, 0},
		"good, no authority":      {good, testIdentity, nil, 0},
		"good, neither":           {good, nil, nil, 0},
		"by an intermediate":      {deep, testIdentity, trusted, 0},
		"by one, no authority":    {deep, testIdentity, nil, 0},
		"bad identity":            {good, other, trusted, badIdentity},
		"bad identity alone":      {good, other, nil, badIdentity},
		"bad authority":           {good, testIdentity, untrusted, unknownCA},
		"before":                  {future, nil, nil, notActivated},
		"expired":                 {old, nil, nil, isExpired},
		"combined":                {old, other, untrusted, isExpired | badIdentity | unknownCA},
		"authority by itself":     {trusted, nil, trusted, 0},
		"purpose does not matter": {ca.leaf(t, withUsages(x509.ExtKeyUsageCodeSigning)).with(t), testIdentity, trusted, 0},
	} {
		if got := test.certificate.Verify(test.identity, test.trusted); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestVerifyWithoutDatabase(t *testing.T) { // G062, G194, no-database of G217
	ca := newTestCA(t, "CA")
	old := ca.leaf(t, expired).with(t)
	other := NetworkAddress{Hostname: "other.example"}
	for _, test := range []struct {
		identity SocketConnectable
		want     TlsCertificateFlags
	}{
		{testIdentity, unknownCA}, // not EXPIRED, as observed
		{other, unknownCA | badIdentity},
		{nil, unknownCA | badIdentity},
	} {
		if got, err := verifyServer(t.Context(), nil, old, test.identity, nil); got != test.want || err != nil {
			t.Errorf("server with identity %v: got %v %v, want %v", test.identity, got, err, test.want)
		}
	}
	if got, err := verifyClient(t.Context(), nil, old, nil); got != unknownCA || err != nil {
		t.Errorf("client: got %v %v, want %v", got, err, unknownCA)
	}
}

func TestVerifyPeers(t *testing.T) { // G101, G137, G194
	ca := newTestCA(t, "CA")
	database := NewDatabaseFromCertificates(ca.with(t))
	server := ca.leaf(t, withUsages(x509.ExtKeyUsageServerAuth)).with(t)
	client := ca.leaf(t, withUsages(x509.ExtKeyUsageClientAuth)).with(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	check := func(name string, got TlsCertificateFlags, err error, want TlsCertificateFlags, wantErr error) {
		t.Helper()
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: got %v %v, want %v %v", name, got, err, want, wantErr)
		}
	}
	flags, err := verifyServer(t.Context(), database, server, testIdentity, nil)
	check("server", flags, err, 0, nil)
	flags, err = verifyServer(t.Context(), database, server, nil, nil)
	check("server without identity", flags, err, badIdentity, nil)
	flags, err = verifyServer(t.Context(), database, client, testIdentity, nil)
	check("client as server", flags, err, generic, nil)
	flags, err = verifyServer(cancelled, database, server, testIdentity, nil)
	check("server, cancelled", flags, err, generic, datagram.ErrCancelled)
	flags, err = verifyClient(t.Context(), database, client, nil)
	check("client", flags, err, 0, nil)
	flags, err = verifyClient(t.Context(), database, server, nil)
	check("server as client", flags, err, generic, nil)
	flags, err = verifyClient(cancelled, database, client, nil)
	check("client, cancelled", flags, err, generic, context.Canceled)
}

func BenchmarkVerifyChain(b *testing.B) {
	ca := newTestCA(b, "CA")
	intermediate := ca.intermediate(b, "intermediate")
	leaf := intermediate.leaf(b).with(b, intermediate)
	roots := newAnchors([]*x509.Certificate{ca.certificate})
	b.ReportAllocs()
	for b.Loop() {
		if flags := verifyChain(leaf, roots, PurposeAuthenticateServer, testIdentity, testNow); flags != 0 {
			b.Fatal(flags)
		}
	}
}
