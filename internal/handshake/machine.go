package handshake

import (
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// Stats counts what a machine met.
type Stats struct {
	Records       uint64 // records that looked like DTLS
	NotDTLS       uint64 // datagrams that did not
	Dropped       uint64 // records, fragments and incomplete messages that were dropped in silence
	Undecryptable uint64 // of these, records that did not authenticate
	Flights       uint64 // flights sent, repetitions included
	Repeated      uint64 // of these, repetitions
}

// Machine is one side of a handshake. See the package's documentation for how
// it is driven.
type Machine struct {
	cfg  *Config
	side side

	in       inbound
	out      outbound
	question Question
	signing  *SignatureRequest // what AskSignature is about
	stats    Stats
	reading  message // the newest that was complete, for the side to handle
	clock    clock
	now      time.Time // of the call that is under way, for Observe
	finished bool
	err      *Error

	transcript []byte // all messages so far, with headers (RFC 6347 4.2.6)
	suite      *Suite
	ephemeral  *ecdh.PrivateKey
	peer       peer
	opener     *record.Opener // epoch 1; nil until the keys are known
	early      early
	mismatches mismatches
	repairs    repairs
	session    Session
	signature  []byte            // the newest of ours
	master     *keyedPRF         // under the master secret
	keyProof   [sha256.Size]byte // of the pre-shared key; zero for none
}

// side is what a client or a server does.
type side interface {
	// handle takes the next message in order. It may start a flight or ask a question.
	handle(m *Machine, msg *message, now time.Time) error
	// outOfOrder may take a fragment aside before it is put together; true: it did.
	outOfOrder(m *Machine, f *fragment, now time.Time) (bool, error)
	// answered goes on after a question.
	answered(m *Machine, q Question, now time.Time) error
	// awaited names the message that is awaited.
	awaited() string
	isClient() bool
	// copied is the side as it is now.
	copied() side
}

// Bytes of the transcripts of most handshakes.
const (
	fullTranscript    = 1 << 11
	resumedTranscript = 3 << 8
)

func newMachine(cfg *Config, s side, now time.Time) *Machine {
	m := &Machine{cfg: cfg, side: s, clock: clock{heard: now, progress: now}, now: now}
	m.in.limit = maxMessage
	m.out.mtu = cfg.mtu()
	m.out.version = record.VersionDTLS12
	return m
}

// Question is what the machine waits for.
func (m *Machine) Question() Question {
	if m.err != nil {
		return NoQuestion
	}
	return m.question
}

// Done tells whether the handshake has succeeded; what Output still holds must
// be sent all the same.
func (m *Machine) Done() bool { return m.finished && m.err == nil }

// Err is why the handshake has failed, nil if it has not. What Output still holds,
// such as an alert, should be sent.
func (m *Machine) Err() *Error { return m.err }

// Session is the result; it is complete once Done.
func (m *Machine) Session() *Session { return &m.session }

// PeerChain is the chain that AskCertificate is about: DER, leaf first.
func (m *Machine) PeerChain() [][]byte {
	if saved := m.Resuming(); saved != nil {
		return saved.PeerChain
	}
	return m.peer.chain
}

// Stats gives the counters so far.
func (m *Machine) Stats() Stats {
	s := m.stats
	s.Dropped += m.in.discarded
	return s
}

// Started tells whether the machine has sent anything.
func (m *Machine) Started() bool { return m.stats.Flights > 0 }

// Output takes the datagrams that are to be sent, in order.
func (m *Machine) Output() [][]byte {
	q := m.out.queue
	m.out.queue = nil
	return q
}

// AnswerCertificate accepts the peer's certificate, or refuses it with an error
// whose alert is sent. Where Resuming, a refusal leads to a full handshake instead.
func (m *Machine) AnswerCertificate(refusal *Error, now time.Time) {
	if m.Question() != AskCertificate {
		return
	}
	if s, ok := m.side.(*server); ok && s.resuming != nil {
		m.answerResumption(s, refusal == nil, now)
		return
	}
	if refusal != nil {
		m.refuse(refusal, now)
		return
	}
	m.answer(AskCertificate, now)
}

// fail ends the handshake and tells the peer why, unless it would not listen.
func (m *Machine) fail(err error) {
	if m.err != nil {
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		e = errInternal(err, "handshake failed")
	}
	m.err = e
	if m.observed() {
		defer func() { m.observe(Event{Kind: EventFailed, Err: e}) }()
	}
	m.question = NoQuestion
	if s, ok := m.side.(*server); ok {
		s.forgetSession(m)
	}
	m.out.flight = nil
	m.out.deadline = time.Time{}
	m.in.restart(m.in.next)
	m.early, m.repairs = early{}, repairs{}
	m.transcript, m.ephemeral, m.signing, m.master = nil, nil, nil, nil
	if e.Silent() {
		return
	}
	m.sendAlert(e.Alert)
}

// Abort gives up: the peer gets the reason's alert.
func (m *Machine) Abort(reason *Error) { m.fail(reason) }

func (m *Machine) sendAlert(d alert.Description) {
	if m.observed() {
		m.observe(Event{Kind: EventAlert, Alert: d, Fatal: true})
	}
	body := []byte{byte(alert.Fatal), byte(d)}
	if m.out.usesEpoch1 {
		if datagram, err := m.out.sealer.SealBytes(nil, record.TypeAlert, body); err == nil {
			m.out.queue = append(m.out.queue, datagram)
		}
		return
	}
	m.out.queue = append(m.out.queue, m.out.plain.append(nil, record.TypeAlert, m.out.version, body))
}

// takeChain stores the peer's chain and gives the key of its leaf, which has to
// fit the suites of want; zero: any of ours.
func (m *Machine) takeChain(chain [][]byte, want authentication) (crypto.PublicKey, error) {
	parse := m.cfg.ParsePeer
	if parse == nil {
		parse = parseLeaf
	}
	leaf, err := parse(chain)
	if err != nil {
		e := NewError(KindBadCertificate, alert.BadCertificate, "cannot parse the peer's certificate")
		e.cause = err
		return nil, e
	}
	auth, err := keyAuthentication(leaf.PublicKey)
	if err != nil || want != 0 && auth != want {
		e := NewError(KindBadCertificate, alert.UnsupportedCertificate, "peer's certificate has a key that does not fit %s", m.suite.Name)
		e.cause = err
		return nil, e
	}
	m.peer.chain, m.peer.leaf = chain, leaf
	return leaf.PublicKey, nil
}

func newRandom() (r [32]byte) {
	rand.Read(r[:])
	return r
}

func errUnexpected(msg *message, state string) *Error {
	return NewError(KindProtocol, alert.UnexpectedMessage, "peer sent %s while %s was awaited", typeName(msg.typ), state)
}

func parseLeaf(chain [][]byte) (*x509.Certificate, error) { return x509.ParseCertificate(chain[0]) }

// typeName is the name of a message in the RFCs.
func typeName(t handshake.Type) string {
	switch name := t.String(); {
	case t == handshake.TypeCertificate:
		return "Certificate"
	case t == typeNewSessionTicket:
		return "NewSessionTicket"
	case name != "":
		return name
	}
	return fmt.Sprintf("handshake message %d", uint8(t))
}
