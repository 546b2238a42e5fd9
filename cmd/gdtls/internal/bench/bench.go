// Package bench measures DTLS connections beside what else moves datagrams: pion's
// and OpenSSL's connections, bare sockets, and bare encryption.
//
// All peers of a measurement take turns in one run, so that whatever else the
// machine does meanwhile meets them alike. Both ends are in this process, or for
// OpenSSL in one other, and talk over loopback. All use AES-128-GCM and an ECDSA
// certificate on P-256.
package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"gdtls/cmd/gdtls/internal/pki"
	"gdtls/conn"
	"gdtls/datagram"
)

// The peers that can be measured.
const (
	GDTLS   = "gdtls"   // the connections of this module
	Pion    = "pion"    // those of pion/dtls v2
	OpenSSL = "openssl" // those of OpenSSL, in a C program that is built when it is wanted
	UDP     = "udp"     // a bare net.UDPConn, one datagram a call
	UDPGSO  = "udp-gso" // a datagram.Socket that moves as many bytes as gdtls's does
	AEAD    = "aead"    // sealing on one processor, opening on another
)

const (
	serverName = "bench.gdtls.example"
	suite      = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"

	// overhead is by how much a record is longer than its payload: header, explicit
	// nonce and tag.
	overhead = 13 + 8 + 16

	// handshakePatience is how long a handshake over loopback may take.
	handshakePatience = 10 * time.Second
)

// Bench has what peers need for their connections. Its methods must not be called
// at the same time: they would measure one another.
type Bench struct {
	observer Observer

	authority *pki.Pair
	leaf      *pki.Pair
	database  conn.TlsDatabase     // trusts the authority
	server    *conn.TlsCertificate // the leaf, as gdtls wants it

	files   string // a temporary directory, empty before it is needed
	program string // the OpenSSL program in it
}

// Observer is told how a measurement goes on. Its fields must be set.
type Observer struct {
	// Step is told how much of the measurement is done, from 0 to 1, and what comes
	// now.
	Step func(done float64, what string)
	// LeftOut is told why a peer is not measured.
	LeftOut func(peer string, reason error)
}

// New makes a Bench with new certificates.
func New(observer Observer) (*Bench, error) {
	b := &Bench{observer: observer}
	var err error
	if b.authority, err = pki.NewAuthority("gdtls bench", false, 1); err != nil {
		return nil, err
	}
	if b.leaf, err = b.authority.Issue(pki.Request{Names: []string{serverName}}); err != nil {
		return nil, err
	}
	trusted, err := conn.NewCertificate(tls.Certificate{Certificate: [][]byte{b.authority.Certificate.Raw}})
	if err != nil {
		return nil, err
	}
	b.database = conn.NewDatabaseFromCertificates(trusted)
	b.server, err = conn.NewCertificate(b.leaf.TLS())
	return b, err
}

// Close removes what the Bench has put on disk.
func (b *Bench) Close() error {
	if b.files == "" {
		return nil
	}
	return os.RemoveAll(b.files)
}

// roots are the authorities that pion's clients trust.
func (b *Bench) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(b.authority.Certificate)
	return pool
}

// median gives the middle one, or the mean of the middle two; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// round keeps so many decimals.
func round(value float64, decimals int) float64 {
	scale := math.Pow10(decimals)
	return math.Round(value*scale) / scale
}

// ended gives the error of a measurement that was broken off.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("broken off: %w", datagram.ErrorFromContext(ctx))
}
