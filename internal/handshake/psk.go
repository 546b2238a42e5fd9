package handshake

import (
	"time"

	"github.com/pion/dtls/v2/pkg/crypto/prf"
	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"golang.org/x/crypto/cryptobyte"
)

// pskPremaster is the premaster secret of a pre-shared key: alone (RFC 4279 2), or
// with the secret that the ephemeral keys agreed on (RFC 5489 2).
func (s *Suite) pskPremaster(agreed, key []byte) []byte {
	if !s.ecdhe {
		return prf.PSKPreMasterSecret(key)
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 4+len(agreed)+len(key)))
	addBytes16(b, agreed)
	addBytes16(b, key)
	return b.BytesOrPanic() // MaxPSK bounds the key
}

// PSKIdentity is, on a server that asks AskPSK, the identity that the client gave,
// or, where Resuming, the one of the session. It is the client's claim until Done.
func (m *Machine) PSKIdentity() []byte {
	if saved := m.Resuming(); saved != nil {
		return saved.PSKIdentity
	}
	return m.session.PSKIdentity
}

// PSKHint is, on a client that asks AskPSK, the server's identity hint.
func (m *Machine) PSKHint() []byte { return m.session.PSKHint }

// AnswerPSK gives the pre-shared key, on a client with the identity that goes with
// it. An empty key refuses: on a server the identity is unknown, on a client there
// is nothing for the hint. Where Resuming, a key that is not the session's leads to
// a full handshake instead.
func (m *Machine) AnswerPSK(identity, key []byte, now time.Time) {
	if m.Question() != AskPSK {
		return
	}
	refuse := func(err *Error) { m.refuse(err, now) }
	switch {
	case len(key) > MaxPSK:
		refuse(NewError(KindInternal, alert.InternalError, "pre-shared key has %d bytes, at most %d are supported", len(key), MaxPSK))
		return
	case len(identity) > MaxPSKIdentity:
		refuse(NewError(KindInternal, alert.InternalError, "identity of the pre-shared key has %d bytes, at most %d are supported", len(identity), MaxPSKIdentity))
		return
	}
	if s, ok := m.side.(*server); ok && s.resuming != nil {
		m.answerResumption(s, len(key) > 0 && s.resuming.SameKey(key), now)
		return
	}
	switch s := m.side.(type) {
	case *client:
		if len(key) == 0 {
			refuse(NewError(KindUnknownIdentity, alert.HandshakeFailure, "no pre-shared key was given for the server's hint %q", m.session.PSKHint))
			return
		}
		m.session.PSKIdentity = append([]byte(nil), identity...)
		s.psk = append([]byte(nil), key...)
	case *server:
		if len(key) == 0 {
			refuse(NewError(KindUnknownIdentity, alertUnknownPSKIdentity, "client's pre-shared key identity %q is unknown", m.session.PSKIdentity))
			return
		}
		s.psk = append([]byte(nil), key...)
	}
	m.answer(AskPSK, now)
}
