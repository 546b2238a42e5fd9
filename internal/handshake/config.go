package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"gdtls/internal/record"
)

// Limits against a hostile peer.
const (
	// MaxPSKIdentity and MaxPSK bound a pre-shared key's identity and key, in
	// bytes (RFC 4279 5.3 asks for 128 and 64 at least).
	MaxPSKIdentity = 256
	MaxPSK         = 256

	maxMessage       = 1 << 16 // bytes of one handshake message
	maxShortMessage  = 1 << 12 // of one where no certificate is expected
	maxAhead         = 16      // messages that are kept: the awaited one and those behind it
	maxSkips         = 8       // repetitions of what is behind a message that does not come
	maxRanges        = 64      // separate fragments of one message
	maxDiscards      = 64      // messages that are given up for others
	maxEarly         = 16      // records kept that came before their time
	maxEarlyBytes    = 1 << 15 // and their bytes
	maxChain         = 16      // certificates of a peer
	maxHellos        = 5       // HelloVerifyRequests that a client follows
	maxUndecryptable = 3       // times that a Finished does not decrypt
	maxSends         = 16      // of one flight, as far as the peer asks for them
	maxServerName    = 255     // bytes of a server_name
	maxAuthorities   = 1 << 15 // bytes of the CA names in a CertificateRequest
)

// Times of a handshake.
const (
	initialTimeout  = time.Second // RFC 6347 4.2.4.1
	maximumTimeout  = 60 * time.Second
	defaultPatience = 62 * time.Second   // as the real Gio waits for a silent peer
	repetitionPause = initialTimeout / 4 // what comes sooner after the first is its double, not a repetition

	// A peer that speaks but does not go on is waited for so many times as long
	// as a silent one.
	stuckPatience = 3
)

// DefaultMTU is the size of the datagrams in bytes, without IP and UDP headers,
// that a handshake stays below at first (G208), and smallMTU what it falls
// back to when a flight seems not to get through.
const (
	DefaultMTU = 1400
	smallMTU   = 548 // what every IPv4 host must take, less the headers

	sendsUntilSmall  = 3 // of a flight
	foreignAnswers   = 3 // to hellos: a peer that sent so many and nothing else does not speak DTLS; fewer may be damaged
	sendsUntilDouble = 3
)

// ClientAuth says what a server asks of its clients (G108).
type ClientAuth uint8

// The values of ClientAuth.
const (
	NoClientCertificate ClientAuth = iota
	RequestClientCertificate
	RequireClientCertificate
)

// Config is what a machine needs to know. It is not changed while machines use
// it, and many machines may share one.
type Config struct {
	Suites           []uint16      // allowed cipher suites in order of preference; empty: all of ours
	ALPN             []string      // application protocols; empty: the extension is not used
	MTU              int           // bytes of a datagram during the handshake, at most 16384; 0: DefaultMTU
	Patience         time.Duration // how long a silent peer is waited for; one that speaks but does not go on, three times as long; 0: 62 s
	DecisionPatience time.Duration // how long a question may be open; 0: as long as it takes
	PSK              bool          // pre-shared keys may be used: the machine asks for them

	// Repairs is how often a failure is put down to a damaged or forged message, of
	// which the peer's repetition is awaited; 0: never.
	Repairs int

	// Observe is told of what happens, by the calls that let it happen; nil: nobody is.
	Observe func(Event)

	// ParsePeer gives the leaf of a peer's chain; nil: x509.ParseCertificate.
	// It serves those who keep parsed certificates.
	ParsePeer func(chain [][]byte) (*x509.Certificate, error)

	ServerName string        // client: name for the server_name extension; empty: none
	Resumable  bool          // client: a session is wanted that can be resumed
	Resume     *SavedSession // client: the session to resume if the server agrees; nil: none

	Certificates           []*Certificate // server: chosen among by server_name, signature schemes and key
	ClientAuth             ClientAuth     // server
	CertificateAuthorities [][]byte       // server: DER names for the CertificateRequest; more than 32 KB of them are not sent
	Sessions               *Sessions      // server: resumes sessions, and keeps them; nil: no
	PSKHint                []byte         // server: identity hint, at most MaxPSKIdentity bytes; empty: none
}

// check refuses what does not fit the wire.
func (c *Config) check() error {
	switch {
	case len(c.ServerName) > maxServerName:
		return errInternal(nil, "server name has %d bytes: at most %d are possible", len(c.ServerName), maxServerName)
	case len(c.PSKHint) > MaxPSKIdentity:
		return errInternal(nil, "pre-shared key identity hint has %d bytes: at most %d are supported", len(c.PSKHint), MaxPSKIdentity)
	}
	return checkALPN(c.ALPN)
}

// authorities are the CA names for a CertificateRequest. No name means that any
// CA will do (RFC 5246 7.4.4), so that too many of them are better left out than
// cut off.
func (c *Config) authorities() [][]byte {
	size := 0
	for _, name := range c.CertificateAuthorities {
		if size += 2 + len(name); len(name) == 0 || size > maxAuthorities {
			return nil
		}
	}
	return c.CertificateAuthorities
}

func (c *Config) mtu() int {
	if c.MTU > 0 {
		return min(c.MTU, record.MaxPlaintext) // so that no record holds more
	}
	return DefaultMTU
}

func (c *Config) patience() time.Duration {
	if c.Patience > 0 {
		return c.Patience
	}
	return defaultPatience
}

// supportedSchemes are the signature schemes that we verify and make, best first.
var supportedSchemes = []tls.SignatureScheme{
	tls.ECDSAWithP256AndSHA256,
	tls.Ed25519,
	tls.PSSWithSHA256,
	tls.PKCS1WithSHA256,
	tls.ECDSAWithP384AndSHA384,
	tls.PSSWithSHA384,
	tls.PKCS1WithSHA384,
	tls.ECDSAWithP521AndSHA512,
	tls.PSSWithSHA512,
	tls.PKCS1WithSHA512,
}
