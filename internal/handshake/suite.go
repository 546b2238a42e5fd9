package handshake

import (
	"crypto"
	_ "crypto/sha256" // the PRF hashes of the suites
	_ "crypto/sha512"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"gdtls/internal/record"
)

// authentication is how the server of a cipher suite proves who it is.
type authentication uint8

const (
	authECDSA authentication = iota + 1 // also Ed25519 (RFC 8422 5.10)
	authRSA
	authPSK
)

// Suite is a cipher suite: AEAD ones with forward secrecy or a pre-shared key.
type Suite struct {
	ID   uint16
	Name string // IANA's

	auth  authentication
	ecdhe bool
	aead  record.Algorithm
	hash  crypto.Hash // of the PRF and of the Finished messages
}

// PSK tells whether the suite authenticates with a pre-shared key.
func (s *Suite) PSK() bool { return s.auth == authPSK }

// AEAD is the record protection of the suite.
func (s *Suite) AEAD() record.Algorithm { return s.aead }

// suites is in our order of preference (RFC 9325 4.2): forward secrecy first; then
// AES-GCM, ChaCha20-Poly1305, CCM, and the short tags of CCM_8 last.
var suites = []*Suite{
	{0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", authECDSA, true, record.AES128GCM, crypto.SHA256},
	{0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", authRSA, true, record.AES128GCM, crypto.SHA256},
	{0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", authECDSA, true, record.AES256GCM, crypto.SHA384},
	{0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", authRSA, true, record.AES256GCM, crypto.SHA384},
	{0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", authECDSA, true, record.ChaCha20Poly1305, crypto.SHA256},
	{0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", authRSA, true, record.ChaCha20Poly1305, crypto.SHA256},
	{0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", authECDSA, true, record.AES128CCM, crypto.SHA256},
	{0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", authECDSA, true, record.AES256CCM, crypto.SHA256},
	{0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", authECDSA, true, record.AES128CCM8, crypto.SHA256},
	{0xc0af, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", authECDSA, true, record.AES256CCM8, crypto.SHA256},
	{0xd001, "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256", authPSK, true, record.AES128GCM, crypto.SHA256},
	{0xd002, "TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384", authPSK, true, record.AES256GCM, crypto.SHA384},
	{0xccac, "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", authPSK, true, record.ChaCha20Poly1305, crypto.SHA256},
	{0xd005, "TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256", authPSK, true, record.AES128CCM, crypto.SHA256},
	{0xd003, "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256", authPSK, true, record.AES128CCM8, crypto.SHA256},
	{0x00a8, "TLS_PSK_WITH_AES_128_GCM_SHA256", authPSK, false, record.AES128GCM, crypto.SHA256},
	{0x00a9, "TLS_PSK_WITH_AES_256_GCM_SHA384", authPSK, false, record.AES256GCM, crypto.SHA384},
	{0xccab, "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256", authPSK, false, record.ChaCha20Poly1305, crypto.SHA256},
	{0xc0a4, "TLS_PSK_WITH_AES_128_CCM", authPSK, false, record.AES128CCM, crypto.SHA256},
	{0xc0a5, "TLS_PSK_WITH_AES_256_CCM", authPSK, false, record.AES256CCM, crypto.SHA256},
	{0xc0a8, "TLS_PSK_WITH_AES_128_CCM_8", authPSK, false, record.AES128CCM8, crypto.SHA256},
	{0xc0a9, "TLS_PSK_WITH_AES_256_CCM_8", authPSK, false, record.AES256CCM8, crypto.SHA256},
}

// Signalling values among the cipher suites.
const (
	scsvRenegotiation = 0x00ff // RFC 5746 3.3
	scsvFallback      = 0x5600 // RFC 7507
)

// SuiteByID finds a suite, nil if it is not one of ours.
func SuiteByID(id uint16) *Suite {
	for _, s := range suites {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// SuiteByName finds a suite by IANA's name, nil if it is not one of ours.
func SuiteByName(name string) *Suite {
	for _, s := range suites {
		if strings.EqualFold(s.Name, name) {
			return s
		}
	}
	return nil
}

// enabled lists the suites that a configuration allows, best first.
func (c *Config) enabled() []*Suite {
	out := make([]*Suite, 0, len(suites))
	for _, s := range suites {
		if len(c.Suites) > 0 && !slices.Contains(c.Suites, s.ID) {
			continue
		}
		if s.PSK() && !c.PSK {
			continue
		}
		out = append(out, s)
	}
	if len(c.Suites) > 0 { // the caller's order wins
		slices.SortStableFunc(out, func(a, b *Suite) int {
			return slices.Index(c.Suites, a.ID) - slices.Index(c.Suites, b.ID)
		})
	}
	return out
}

// suiteNames renders suites for an error message.
func suiteNames(ids []uint16) string {
	var names []string
	for _, id := range ids {
		switch suite := SuiteByID(id); {
		case id == scsvRenegotiation || id == scsvFallback:
		case suite != nil:
			names = append(names, suite.Name)
		default:
			names = append(names, tls.CipherSuiteName(id))
		}
	}
	return listed(names)
}

// listed renders a list for an error message, a long one by its beginning.
func listed[T any](list []T) string {
	const most = 4
	if len(list) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, v := range list {
		if i == most && len(list) > most+1 {
			fmt.Fprintf(&b, " and %d more", len(list)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, v)
	}
	return b.String()
}
