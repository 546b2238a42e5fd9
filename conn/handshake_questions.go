package conn

import (
	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/internal/handshake"
)

// errNotAgain has a server make a full handshake, in which the client's certificate
// is judged as any other.
var errNotAgain = handshake.NewError(handshake.KindBadCertificate, alert.BadCertificate, "the client's session is not resumed")

// judge verifies the peer's certificate and asks the handlers of
// accept-certificate if they are to decide. The properties are set and notified
// before the handshake goes on (G196).
func (d *driver) judge() (*handshake.Error, error) {
	c := d.c
	if saved := d.machine.Resuming(); saved != nil {
		if !d.acceptableAgain(saved) {
			return errNotAgain, nil
		}
		return nil, nil
	}
	chain, err := newPeerCertificate(d.machine.PeerChain())
	if err != nil {
		return nil, err
	}
	var flags TlsCertificateFlags
	if c.role.IsServer() {
		flags, err = verifyClient(d.ctx, c.Database(), chain)
	} else {
		flags, err = verifyServer(d.ctx, c.Database(), chain, c.role.Identity())
	}
	if err != nil {
		return nil, err
	}
	accepted := c.role.Acceptable(flags)
	end := c.emitting()
	defer end()
	if !accepted {
		accepted = c.EmitAcceptCertificate(chain, flags)
	}
	c.mu.Lock()
	c.negotiated.peerCertificate, c.negotiated.errors = chain, flags
	c.mu.Unlock()
	c.Notify(PropertyPeerCertificate, PropertyPeerCertificateErrors)
	d.machine.Session().PeerErrors = uint32(flags)
	if accepted {
		return nil, nil
	}
	return handshake.NewError(handshake.KindBadCertificate, refusalAlert(flags), "unacceptable TLS certificate: %s", describe(flags, c.role.IsServer())), nil
}

// presharedKey asks the handlers of psk-required.
func (d *driver) presharedKey() (identity, key []byte) {
	a := &PreSharedKeyAuthenticator{}
	if d.c.role.IsServer() {
		a.identity = d.machine.PSKIdentity()
	} else {
		a.hint = d.machine.PSKHint()
	}
	end := d.c.emitting()
	defer end()
	d.c.emitPskRequired(a)
	return a.identity, a.key
}

// clientCertificate chooses what a client that was asked shows: the first that the
// server could accept, else the first.
func (d *driver) clientCertificate() *handshake.Certificate {
	c := d.c
	end := c.emitting()
	c.role.CertificateRequested(d.machine.Session().Authorities)
	end()
	c.mu.Lock()
	defer c.mu.Unlock()
	var first *handshake.Certificate
	for _, certificate := range c.settings.certificates() {
		own, err := certificate.prepared()
		switch {
		case err != nil:
		case d.machine.Wants(own):
			return own
		case first == nil:
			first = own
		}
	}
	c.settings.certificateMissing = first == nil
	return first
}
