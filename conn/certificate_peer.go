package conn

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
	"weak"
)

// newPeerCertificate makes the certificate of a peer from the chain that it
// sent, leaf first. The bytes are copied where they are kept. Equal chains
// give the same object as long as somebody holds it, so that many connections
// to one server, or with clients of one authority, share what is parsed.
//
// An empty chain, one beyond the bounds, one that cannot be parsed and one
// with an RSA key so large that checking it would cost too much give a
// BAD_CERTIFICATE TlsError.
func newPeerCertificate(chain [][]byte) (*TlsCertificate, error) {
	if len(chain) == 0 {
		return nil, newTlsError(TlsErrorBadCertificate, nil, "the peer sent no certificate")
	}
	if len(chain) > maxChainCertificates {
		return nil, newTlsError(TlsErrorBadCertificate, nil,
			"the peer sent a chain of %d certificates, at most %d are allowed", len(chain), maxChainCertificates)
	}
	total := 0
	for _, der := range chain {
		total += len(der)
	}
	if total > maxChainBytes {
		return nil, newTlsError(TlsErrorBadCertificate, nil,
			"the peer sent a chain of %d bytes, at most %d are allowed", total, maxChainBytes)
	}
	return peerCertificates.chain(chain)
}

// chainKey names a chain: the hash of its first certificate and of the key of
// what follows.
type chainKey [sha256.Size]byte

// certificateCache holds peers' certificates weakly: the collector takes an
// entry when no connection refers to it any longer. It needs no goroutine.
type certificateCache struct {
	// limit bounds the number of entries. Above it certificates are made but
	// not shared.
	limit int

	mu      sync.Mutex
	entries map[chainKey]weak.Pointer[TlsCertificate] // guarded by mu
}

var peerCertificates = &certificateCache{limit: 1 << 16, entries: make(map[chainKey]weak.Pointer[TlsCertificate])}

// chain gives the certificate of a chain that is within the bounds.
func (cache *certificateCache) chain(chain [][]byte) (*TlsCertificate, error) {
	key := keyOfChain(chain)
	if certificate := cache.get(key); certificate != nil {
		return certificate, nil
	}
	parsed := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		c, err := x509.ParseCertificate(bytes.Clone(der))
		if err != nil {
			return nil, newTlsError(TlsErrorBadCertificate, err, "cannot parse certificate %d of the peer's chain", i)
		}
		if public, ok := c.PublicKey.(*rsa.PublicKey); ok && public.N.BitLen() > maxRSABits {
			return nil, newTlsError(TlsErrorBadCertificate, nil,
				"certificate %d of the peer's chain has an RSA key of %d bits, at most %d are allowed", i, public.N.BitLen(), maxRSABits)
		}
		parsed[i] = c
	}

	// Issuers are shared one by one, from the top down: two leaves of one
	// intermediate share it.
	path, rest := splitPath(parsed)
	var issuer *TlsCertificate
	var issuerKey chainKey
	for _, c := range slices.Backward(path[1:]) {
		issuerKey = extendKey(issuerKey, c.Raw)
		issuer = cache.add(issuerKey, &TlsCertificate{leaf: c, issuer: issuer})
	}
	return cache.add(key, &TlsCertificate{leaf: path[0], issuer: issuer, unlinked: rest}), nil
}

// get gives the live certificate of the key, or nil.
func (cache *certificateCache) get(key chainKey) *TlsCertificate {
	cache.mu.Lock()
	defer cache.mu.Unlock()
	return cache.entries[key].Value()
}

// add stores the certificate unless the key has a live one already, and gives
// the one that is to be used.
func (cache *certificateCache) add(key chainKey, certificate *TlsCertificate) *TlsCertificate {
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if present := cache.entries[key].Value(); present != nil {
		return present
	}
	if len(cache.entries) >= cache.limit {
		return certificate
	}
	pointer := weak.Make(certificate)
	cache.entries[key] = pointer
	runtime.AddCleanup(certificate, func(pointer weak.Pointer[TlsCertificate]) {
		cache.remove(key, pointer)
	}, pointer)
	return certificate
}

// remove deletes the entry of a collected certificate, unless another one has
// taken its place.
func (cache *certificateCache) remove(key chainKey, pointer weak.Pointer[TlsCertificate]) {
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if cache.entries[key] == pointer {
		delete(cache.entries, key)
	}
}

// keyOfChain names a chain as it was received. No issuer's key equals it,
// because the number of certificates starts it.
func keyOfChain(chain [][]byte) chainKey {
	key := chainKey{0: byte(len(chain))}
	for _, der := range slices.Backward(chain) {
		key = extendKey(key, der)
	}
	return key
}

// extendKey names the chain that has the certificate before the chain of key.
func extendKey(key chainKey, der []byte) chainKey {
	hash := sha256.New()
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(der)))
	hash.Write(length[:])
	hash.Write(der)
	hash.Write(key[:])
	hash.Sum(key[:0])
	return key
}
