package handshake

import (
	"crypto/tls"
	"slices"

	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
	"github.com/pion/dtls/v2/pkg/protocol/alert"
)

// choose picks the cipher suite and what goes with it. Between certificates and
// pre-shared keys the client's order decides, since only the client knows for
// which of them it has what it needs; within each, ours.
func (s *server) choose(m *Machine, h *ClientHello) error {
	enabled := m.cfg.enabled()
	group, hasGroup := chooseGroup(h)
	certificates, named := m.cfg.usable(h)
	type candidate struct {
		suite       *Suite
		certificate *Certificate
		scheme      tls.SignatureScheme
	}
	var best candidate
	bestFamily := len(h.Suites)
	for _, suite := range enabled {
		if !slices.Contains(h.Suites, suite.ID) || suite.ecdhe && !hasGroup {
			continue
		}
		c := candidate{suite: suite}
		if !suite.PSK() {
			if c.certificate, c.scheme = forSuite(certificates, suite, h.SignatureSchemes); c.certificate == nil {
				continue
			}
		}
		family := slices.IndexFunc(h.Suites, func(id uint16) bool {
			other := SuiteByID(id)
			return other != nil && other.PSK() == suite.PSK()
		})
		if family < bestFamily {
			best, bestFamily = c, family
		}
	}
	if best.suite == nil {
		return s.nothingInCommon(m, h, enabled, hasGroup)
	}
	if best.suite.ecdhe && h.hasPointFormats && !slices.Contains(h.PointFormats, 0) {
		return errIllegal("client does not take uncompressed points, the only ones that are left")
	}
	m.suite, s.certificate, s.scheme, s.group = best.suite, best.certificate, best.scheme, group
	s.named = named && best.certificate != nil
	return nil
}

// nothingInCommon names what the two sides do not share, as each of them has it.
func (s *server) nothingInCommon(m *Machine, h *ClientHello, enabled []*Suite, hasGroup bool) error {
	var ours []uint16 // for which we have what it takes
	common := false
	for _, suite := range enabled {
		if suite.PSK() || slices.ContainsFunc(m.cfg.Certificates, func(c *Certificate) bool { return c.auth == suite.auth }) {
			ours = append(ours, suite.ID)
			common = common || slices.Contains(h.Suites, suite.ID)
		}
	}
	fail := func(format string, args ...any) error {
		return NewError(KindNoCommon, alert.HandshakeFailure, format, args...)
	}
	switch {
	case len(ours) == 0:
		return fail("server has neither a certificate nor a pre-shared key for a cipher suite that it may use")
	case !common:
		return fail("no cipher suite in common: client offers %s; server has %s", suiteNames(h.Suites), suiteNames(ours))
	case !hasGroup:
		return fail("no key exchange group in common: client offers %s; server has %s", listed(h.Groups), listed(groups))
	case !h.hasSignatureScheme:
		return fail("client names no signature algorithms, which means SHA-1 (RFC 5246 7.4.1.4.1), and that is not supported")
	}
	return fail("no signature algorithm in common for the server's certificate: client verifies %s", listed(h.SignatureSchemes))
}

// chooseGroup takes our best group among the client's; a client that names none
// takes any (RFC 8422 4).
func chooseGroup(h *ClientHello) (elliptic.Curve, bool) {
	if !h.hasGroups {
		return elliptic.P256, true
	}
	for _, g := range groups {
		if slices.Contains(h.Groups, g) {
			return g, true
		}
	}
	return 0, false
}
