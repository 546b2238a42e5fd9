package conn

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/internal/handshake"
)

// errNotAgain has a server make a full handshake, in which the client's certificate
// is judged as any other.
var errNotAgain = handshake.NewError(handshake.KindBadCertificate, alert.BadCertificate, "the client's session is not resumed")

// question gives what answers the machine's question, or else what looks for that.
func (d *driver) question() (answer, search) {
	switch d.machine.Question() {
	case handshake.AskCertificate:
		return d.certificateVerdict()
	case handshake.AskPSK:
		return nil, d.presharedKey()
	case handshake.AskClientCertificate:
		return d.clientCertificate()
	}
	return nil, d.signature()
}

// judgement is what is found out about the peer's certificate.
type judgement struct {
	d        *driver
	saved    *handshake.SavedSession // that is to be resumed; nil: the peer has shown its certificate
	chain    *TlsCertificate
	flags    TlsCertificateFlags
	accepted bool
	err      error // of the database
}

// newJudgement begins one, or gives nil if the certificate has been accepted before.
func (d *driver) newJudgement() (*judgement, error) {
	chain, err := newPeerCertificate(d.machine.PeerChain())
	if err != nil {
		return nil, err
	}
	saved := d.machine.Resuming()
	if saved == nil && chain == d.again.accepted {
		return nil, nil
	}
	return &judgement{d: d, saved: saved, chain: chain}, nil
}

func (j *judgement) verify(ctx context.Context) {
	c := j.d.c
	j.flags, j.err = c.verifyPeer(ctx, j.chain)
	j.accepted = j.saved == nil && j.err == nil && c.role.Acceptable(j.flags)
}

// asks tells whether the handlers of accept-certificate are to decide.
func (j *judgement) asks() bool {
	c := j.d.c
	return j.saved == nil && j.err == nil && !j.accepted && len(snapshot(&c.signals, &c.signals.accept)) > 0
}

func (j *judgement) ask() {
	c := j.d.c
	end := c.emitting()
	defer end()
	j.accepted = c.EmitAcceptCertificate(j.chain, j.flags)
}

// conclude gives the refusal, nil for none. The properties are set and notified before
// the handshake goes on (G196).
func (j *judgement) conclude() (*handshake.Error, error) {
	d, c := j.d, j.d.c
	switch {
	case j.saved != nil && (j.err != nil || !d.stillAcceptable(j.saved, j.chain, j.flags)):
		return errNotAgain, nil
	case j.saved != nil:
		return nil, nil
	case j.err != nil:
		return nil, j.err
	}
	end := c.emitting()
	defer end()
	c.mu.Lock()
	c.negotiated.peerCertificate, c.negotiated.errors = j.chain, j.flags
	c.mu.Unlock()
	c.Notify(PropertyPeerCertificate, PropertyPeerCertificateErrors)
	d.machine.Session().PeerErrors = uint32(j.flags)
	if j.accepted {
		d.again.accepted = j.chain
		return nil, nil
	}
	d.again.refused = true
	return handshake.NewError(handshake.KindBadCertificate, refusalAlert(j.flags), "unacceptable TLS certificate: %s", describe(j.flags, c.role.IsServer())), nil
}

func (j *judgement) answer() error {
	refusal, err := j.conclude()
	if err == nil {
		j.d.machine.AnswerCertificate(refusal, time.Now())
	}
	return err
}

// certificateVerdict verifies the peer's certificate and asks the handlers of
// accept-certificate if they are to decide.
func (d *driver) certificateVerdict() (answer, search) {
	j, err := d.newJudgement()
	switch {
	case err != nil && d.machine.Resuming() != nil:
		return func() error { d.machine.AnswerCertificate(errNotAgain, time.Now()); return nil }, nil
	case err != nil:
		return func() error { return err }, nil
	case j == nil:
		return func() error { d.machine.AnswerCertificate(nil, time.Now()); return nil }, nil
	}
	quick := isQuick(d.c.Database())
	if quick {
		if j.verify(d.ctx); !j.asks() {
			return j.answer, nil
		}
	}
	return nil, func(ctx context.Context) answer {
		if !quick {
			j.verify(ctx)
		}
		if j.asks() {
			j.ask()
		}
		return j.answer
	}
}

// judge is certificateVerdict for a driver that waits for the handlers.
func (d *driver) judge() (*handshake.Error, error) {
	j, err := d.newJudgement()
	switch {
	case err != nil && d.machine.Resuming() != nil:
		return errNotAgain, nil
	case j == nil:
		return nil, err
	}
	if j.verify(d.ctx); j.asks() {
		j.ask()
	}
	return j.conclude()
}

// isQuick tells of the databases here, which only compute, from others, which may ask
// somebody.
func isQuick(database TlsDatabase) bool {
	switch database.(type) {
	case nil, *anchorDatabase, *TlsFileDatabase:
		return true
	}
	return false
}

// presharedKey asks the handlers of psk-required.
func (d *driver) presharedKey() search {
	a := &PreSharedKeyAuthenticator{}
	if d.c.role.IsServer() {
		a.identity = d.machine.PSKIdentity()
	} else {
		a.hint = d.machine.PSKHint()
	}
	return func(context.Context) answer {
		end := d.c.emitting()
		defer end()
		d.c.emitPskRequired(a)
		return func() error { d.machine.AnswerPSK(a.identity, a.key, time.Now()); return nil }
	}
}

// signature has a key outside of this process sign. Nothing can interrupt a
// crypto.Signer: one that never comes back keeps its goroutine.
func (d *driver) signature() search {
	r := d.machine.SignatureRequest()
	return func(context.Context) answer {
		signature, err := r.Signer.Sign(rand.Reader, r.Digest, r.Options)
		return func() error { d.machine.AnswerSignature(signature, err, time.Now()); return nil }
	}
}

// clientCertificate gives what a client that was asked shows, nil for nothing: of the
// certificates that were set or, if none can be used, that the interaction sets (G157).
func (d *driver) clientCertificate() (answer, search) {
	c := d.c
	end := c.emitting()
	c.role.CertificateRequested(d.machine.Session().Authorities)
	end()
	interaction := c.Interaction()
	if own := d.bestCertificate(); own != nil || interaction == nil {
		return func() error { d.show(own); return nil }, nil
	}
	return nil, func(ctx context.Context) answer {
		end := c.emitting()
		defer end()
		_, refusal := InvokeRequestCertificate(ctx, interaction, c, CertificateRequestNone)
		return func() error {
			if refusal != nil {
				c.set(func(s *rareSettings) { s.refusal = refusal })
			}
			d.show(d.bestCertificate())
			return nil
		}
	}
}

// show answers the question for a client's certificate.
func (d *driver) show(own *handshake.Certificate) {
	c := d.c
	c.mu.Lock()
	c.settings.certificateMissing = own == nil
	c.mu.Unlock()
	d.machine.AnswerClientCertificate(own, time.Now())
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
