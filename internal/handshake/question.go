package handshake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
)

// Question names a decision for which a machine waits. While it does, it takes what
// the peer sends and keeps that within its bounds, and the peer's repetitions change
// nothing: it has had an answer to the flight before, and the answer to this one
// depends on the decision. Config.DecisionPatience bounds the wait, and Abort ends it.
//
// In the terms of Qt's QDtls a machine that asks AskCertificate is in
// PeerVerificationFailed if the driver has found something wrong (Q022):
// AnswerCertificate(nil) is resumeHandshake with all errors ignored (Q024, Q025), and
// Abort is abortHandshake (Q026). Here the handshake is not complete by then, so that
// a refused peer never holds a key.
type Question uint8

// The questions.
const (
	NoQuestion Question = iota
	// AskCertificate: is the peer's chain acceptable? Its key has been proven,
	// unless Resuming. Answered by AnswerCertificate.
	AskCertificate
	// AskPSK: which key? On a client with the server's hint, on a server with the
	// client's identity. Answered by AnswerPSK.
	AskPSK
	// AskClientCertificate: which certificate does the client show, if any?
	// Answered by AnswerClientCertificate.
	AskClientCertificate
	// AskSignature: a signature by a key that may take its time, such as one in an
	// HSM; keys in memory sign without a question. Answered by AnswerSignature.
	AskSignature
)

// String names what is decided.
func (q Question) String() string {
	switch q {
	case AskCertificate:
		return "verdict on the peer's certificate"
	case AskPSK:
		return "pre-shared key"
	case AskClientCertificate:
		return "choice of a client certificate"
	case AskSignature:
		return "signature"
	}
	return "none"
}

// SignatureRequest is what AskSignature wants signed, as crypto.Signer.Sign takes it.
type SignatureRequest struct {
	Signer  crypto.Signer
	Digest  []byte
	Options crypto.SignerOpts
}

// SignatureRequest tells, while the machine asks AskSignature, what is to be signed.
func (m *Machine) SignatureRequest() *SignatureRequest { return m.signing }

// AnswerSignature gives the signature, or the error for which there is none.
func (m *Machine) AnswerSignature(signature []byte, err error, now time.Time) {
	if m.Question() != AskSignature {
		return
	}
	m.signing = nil
	if err != nil {
		m.refuse(errCannotSign(err), now)
		return
	}
	m.signature = signature
	m.answer(AskSignature, now)
}

// sign signs at once with a key in memory; with any other it asks AskSignature, and
// the signature is in m.signature when that is answered.
func (m *Machine) sign(own *Certificate, scheme tls.SignatureScheme, data ...[]byte) error {
	if own.slow {
		digest, options := signingInput(scheme, data)
		m.signing = &SignatureRequest{own.Signer, digest, options}
		m.ask(AskSignature)
		return nil
	}
	var err error
	if m.signature, err = sign(own.Signer, scheme, data...); err != nil {
		return errCannotSign(err)
	}
	return nil
}

// isSlow tells whether a key may take longer than its computation.
func isSlow(signer crypto.Signer) bool {
	switch signer.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey, *rsa.PrivateKey:
		return false
	}
	return true
}

func errCannotSign(err error) *Error {
	return errInternal(err, "private key of the certificate cannot sign")
}

// ask pauses the machine.
func (m *Machine) ask(q Question) {
	m.question = q
	if m.observed() {
		m.observe(Event{Kind: EventQuestion, Question: q})
	}
}

// decided ends a pause.
func (m *Machine) decided(now time.Time) {
	m.now = now
	if m.observed() {
		m.observe(Event{Kind: EventAnswer, Question: m.question})
	}
	m.question = NoQuestion
}

// refuse ends a pause and the handshake.
func (m *Machine) refuse(reason *Error, now time.Time) {
	m.decided(now)
	m.fail(reason)
}

// answer ends a pause and goes on.
func (m *Machine) answer(q Question, now time.Time) {
	m.decided(now)
	m.resume(now)
	if err := m.side.answered(m, q, now); err != nil {
		m.fail(err)
		return
	}
	m.advance(now)
}

// undecided is when a question has been open for too long; zero: never.
func (m *Machine) undecided() time.Time {
	if m.question == NoQuestion || m.cfg.DecisionPatience <= 0 {
		return time.Time{}
	}
	return m.clock.progress.Add(m.cfg.DecisionPatience)
}

func (m *Machine) errUndecided() *Error {
	return NewError(KindUndecided, alert.UserCanceled, "nothing was decided within %v: the %v is missing", m.cfg.DecisionPatience, m.question)
}
