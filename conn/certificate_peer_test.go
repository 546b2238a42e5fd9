package conn

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"
)

func newTestCache(limit int) *certificateCache {
	return &certificateCache{limit: limit, entries: make(map[chainKey]weak.Pointer[TlsCertificate])}
}

func (cache *certificateCache) size() int {
	cache.mu.Lock()
	defer cache.mu.Unlock()
	return len(cache.entries)
}

func cloneChain(chain [][]byte) [][]byte {
	copied := make([][]byte, len(chain))
	for i, der := range chain {
		copied[i] = bytes.Clone(der)
	}
	return copied
}

func TestPeerCertificatesAreShared(t *testing.T) {
	ca := newTestCA(t, "CA")
	intermediate := ca.intermediate(t, "intermediate")
	chain := intermediate.leaf(t).chain(intermediate, ca)
	first, err := newPeerCertificate(cloneChain(chain))
	if err != nil {
		t.Fatal(err)
	}
	buffer := cloneChain(chain)
	second, err := newPeerCertificate(buffer)
	if err != nil || first != second {
		t.Errorf("equal chains give different objects: %v", err)
	}
	sibling, err := newPeerCertificate(intermediate.leaf(t).chain(intermediate, ca))
	if err != nil || sibling == first || sibling.Issuer() != first.Issuer() {
		t.Errorf("two leaves do not share their issuer: %v", err)
	}
	shorter, err := newPeerCertificate(chain[:2])
	if err != nil || shorter == first || shorter.Issuer().Issuer() != nil {
		t.Errorf("a shorter chain got more than was sent: %v", err)
	}
	shuffled, err := newPeerCertificate([][]byte{chain[0], chain[2], chain[1]}) // unordered chain of G217
	if err != nil || shuffled.Issuer() != first.Issuer() || shuffled.HasPrivateKey() {
		t.Errorf("an unordered chain is not linked: %v", err)
	}
	// Nothing refers to the buffers that the chain came in.
	fresh := newTestCache(10)
	buffer = cloneChain(chain)
	kept, err := fresh.chain(buffer)
	if err != nil {
		t.Fatal(err)
	}
	for _, der := range buffer {
		clear(der)
	}
	if !reflect.DeepEqual(kept.chainDER(), chain) {
		t.Error("the certificate lives in the caller's buffer")
	}
}

func TestPeerCertificatesAreSharedConcurrently(t *testing.T) {
	ca := newTestCA(t, "CA")
	chain := ca.leaf(t).chain(ca)
	cache := newTestCache(10)
	got := make([]*TlsCertificate, 8)
	var group sync.WaitGroup
	for i := range got {
		group.Go(func() { got[i], _ = cache.chain(chain) })
	}
	group.Wait()
	for _, c := range got {
		if c == nil || c != got[0] {
			t.Fatal("equal chains give different objects")
		}
	}
}

func TestPeerCertificatesAreCollected(t *testing.T) {
	ca := newTestCA(t, "CA")
	cache := newTestCache(100)
	kept, err := cache.chain(ca.leaf(t).chain(ca))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := cache.chain(ca.leaf(t).chain(ca)); err != nil {
			t.Fatal(err)
		}
	}
	// kept and its issuer stay.
	for deadline := time.Now().Add(5 * time.Second); cache.size() != 2; {
		if time.Now().After(deadline) {
			t.Fatalf("%d entries are left, want 2", cache.size())
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	again, err := cache.chain(kept.chainDER())
	if err != nil || again != kept {
		t.Errorf("a certificate in use was forgotten: %v", err)
	}
	// A cleanup that comes late leaves a successor alone.
	for key, pointer := range cache.entries {
		cache.remove(key, weak.Make(&TlsCertificate{}))
		if cache.entries[key] != pointer {
			t.Error("the cleanup of another certificate removed an entry")
		}
	}
	runtime.KeepAlive(kept)
}

func TestPeerCertificateCacheIsBounded(t *testing.T) {
	ca := newTestCA(t, "CA")
	cache := newTestCache(3)
	var kept []*TlsCertificate
	for range 10 {
		c, err := cache.chain(ca.leaf(t).chain())
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	if size := cache.size(); size != 3 {
		t.Errorf("%d entries, want 3", size)
	}
	if slices.Contains(kept[1:], kept[0]) {
		t.Error("different chains gave one object")
	}
}

func TestPeerCertificateRefuses(t *testing.T) {
	ca := newTestCA(t, "CA")
	leaf := ca.leaf(t)
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8192, 1), E: 65537}
	hugeTemplate := leafTemplate()
	hugeTemplate.SerialNumber = big.NewInt(1)
	hugeDER, err := x509.CreateCertificate(rand.Reader, hugeTemplate, ca.certificate, huge, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		chain [][]byte
		want  string
	}{
		"empty":         {nil, "the peer sent no certificate"},
		"too many":      {slices.Repeat(leaf.chain(), 17), "the peer sent a chain of 17 certificates, at most 16 are allowed"},
		"too large":     {[][]byte{leaf.certificate.Raw, make([]byte, 64<<10)}, "the peer sent a chain of "},
		"garbage":       {[][]byte{leaf.certificate.Raw, {0x30, 0}}, "cannot parse certificate 1 of the peer's chain: "},
		"empty bytes":   {[][]byte{{}}, "cannot parse certificate 0 of the peer's chain: "},
		"trailing data": {[][]byte{append(bytes.Clone(leaf.certificate.Raw), 0)}, "cannot parse certificate 0 of the peer's chain: "},
		"huge RSA key":  {[][]byte{hugeDER}, "certificate 0 of the peer's chain has an RSA key of 8193 bits, at most 8192 are allowed"},
	} {
		if c, err := newPeerCertificate(test.chain); c != nil || !errors.Is(err, ErrBadCertificate) || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v %v, want %q", name, c, err, test.want)
		}
	}
	if _, err := newPeerCertificate(slices.Repeat(leaf.chain(), 16)); err != nil {
		t.Errorf("16 certificates: %v", err)
	}
}

// FuzzNewPeerCertificate feeds chains of up to three certificates, cut out of
// data, and verifies what can be parsed.
func FuzzNewPeerCertificate(f *testing.F) {
	ca := newTestCA(f, "CA")
	leaf := ca.leaf(f)
	roots := newAnchors([]*x509.Certificate{ca.certificate})
	raw := leaf.certificate.Raw
	f.Add(slices.Concat(raw, ca.certificate.Raw), uint16(len(raw)), uint16(0))
	f.Add(slices.Concat(raw, raw), uint16(len(raw)), uint16(len(raw)))
	f.Add(raw, uint16(0), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, first, second uint16) {
		a := min(int(first), len(data))
		b := min(a+int(second), len(data))
		chain := [][]byte{data[:a], data[a:b], data[b:]}
		chain = slices.DeleteFunc(chain, func(der []byte) bool { return len(der) == 0 })
		c, err := newPeerCertificate(chain)
		if err != nil {
			if c != nil || !errors.Is(err, ErrBadCertificate) {
				t.Errorf("got %v and the error %v", c, err)
			}
			return
		}
		flags := verifyChain(c, roots, PurposeAuthenticateServer, testIdentity, testNow)
		if flags == 0 && !bytes.Equal(c.Certificate(), raw) {
			t.Error("a forged certificate is valid")
		}
		if flags&^CertificateValidateAll != 0 {
			t.Errorf("unknown flags %v", flags)
		}
		_, _, _, _ = c.SubjectName(), c.IssuerName(), c.DNSNames(), c.IPAddresses()
		verifyWithoutDatabase(c, testIdentity)
	})
}
