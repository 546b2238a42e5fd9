package conn

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/datagram"
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
	if chain == d.again.accepted {
		return nil, nil
	}
	flags, err := c.verifyPeer(d.ctx, chain)
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
		d.again.accepted = chain
		return nil, nil
	}
	d.again.refused = true
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

// signing is a signature that a key outside of this process makes.
type signing struct {
	made      <-chan struct{} // closed when it is made
	ctx       context.Context // done then, or with the driver's
	signature []byte          // valid when it is made
	err       error
}

// signed gives the machine the signature that it asks for, if it is made. The key
// may take its time; meanwhile the driver goes on receiving, so that it hears of a
// peer that gives up. Nothing can interrupt a crypto.Signer: one that never comes
// back keeps its goroutine.
func (d *driver) signed() bool {
	s := d.signing
	if s == nil {
		made := make(chan struct{})
		ctx, done := context.WithCancel(d.ctx)
		s = &signing{made: made, ctx: ctx}
		d.signing = s
		r := d.machine.SignatureRequest()
		go func() {
			s.signature, s.err = r.Signer.Sign(rand.Reader, r.Digest, r.Options)
			close(made)
			done()
		}()
		return false
	}
	select {
	case <-s.made:
	default:
		return false
	}
	d.signing = nil
	d.machine.AnswerSignature(s.signature, s.err, time.Now())
	return true
}

// clientCertificate gives what a client that was asked shows, nil for nothing: of the
// certificates that were set or, if none can be used, that the interaction sets (G157).
// The error is that of the driver's context.
func (d *driver) clientCertificate() (*handshake.Certificate, error) {
	c := d.c
	end := c.emitting()
	defer end()
	c.role.CertificateRequested(d.machine.Session().Authorities)
	own := d.bestCertificate()
	var refusal error
	if interaction := c.Interaction(); own == nil && interaction != nil {
		_, refusal = InvokeRequestCertificate(d.ctx, interaction, c, CertificateRequestNone)
		if d.ctx.Err() != nil {
			return nil, datagram.ErrorFromContext(d.ctx)
		}
		own = d.bestCertificate()
	}
	if refusal != nil {
		c.set(func(s *rareSettings) { s.refusal = refusal })
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings.certificateMissing = own == nil
	return own, nil
}

// bestCertificate gives the first own certificate that the server could accept, else
// the first.
func (d *driver) bestCertificate() *handshake.Certificate {
	c := d.c
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
	return first
}
