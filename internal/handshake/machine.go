package handshake

import (
	"crypto"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// Question names a decision for which a machine waits.
type Question uint8

// The questions.
const (
	NoQuestion Question = iota
	// AskCertificate: is the peer's chain acceptable? Its key has been proven.
	// Answered by AnswerCertificate.
	AskCertificate
	// AskPSK: which key? On a client with the server's hint, on a server with the
	// client's identity. Answered by AnswerPSK.
	AskPSK
	// AskClientCertificate: which certificate does the client show, if any?
	// Answered by AnswerClientCertificate.
	AskClientCertificate
)

// Stats counts what a machine met.
type Stats struct {
	Records       uint64 // records that looked like DTLS
	NotDTLS       uint64 // datagrams that did not
	Dropped       uint64 // records and fragments that were dropped in silence
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
	stats    Stats
	heard    time.Time // when the peer last sent a handshake record; at first, the start
	finished bool
	err      *Error

	transcript    []byte // all messages so far, with headers (RFC 6347 4.2.6)
	suite         *Suite
	ephemeral     *ecdh.PrivateKey
	peer          peer
	opener        *record.Opener // epoch 1; nil until the keys are known
	early         early
	undecryptable int // Finished messages that did not decrypt
	session       Session
}

// side is what a client or a server does.
type side interface {
	// handle takes the next message in order. It may start a flight or ask a question.
	handle(m *Machine, msg *message, now time.Time) error
	// outOfOrder may take a fragment aside before it is put together; true: it did.
	outOfOrder(m *Machine, f *fragment, now time.Time) (bool, error)
	// answered goes on after a question.
	answered(m *Machine, q Question, now time.Time) error
	isClient() bool
}

// early keeps what came before its time.
type early struct {
	records []heldRecord // of epoch 1, before the keys are known
	data    [][]byte     // decrypted application data, before the end of the handshake
	bytes   int
}

type heldRecord []byte

func (e *early) room(n int) bool {
	if len(e.records)+len(e.data) >= maxEarly || e.bytes+n > maxEarlyBytes {
		return false
	}
	e.bytes += n
	return true
}

func newMachine(cfg *Config, s side, now time.Time) *Machine {
	m := &Machine{cfg: cfg, side: s, heard: now}
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
func (m *Machine) PeerChain() [][]byte { return m.peer.chain }

// Stats gives the counters so far.
func (m *Machine) Stats() Stats { return m.stats }

// Started tells whether the machine has sent anything.
func (m *Machine) Started() bool { return m.stats.Flights > 0 }

// Output takes the datagrams that are to be sent, in order.
func (m *Machine) Output() [][]byte {
	q := m.out.queue
	m.out.queue = nil
	return q
}

// Deadline is when Expire wants to be called; zero: never, as long as nothing comes.
func (m *Machine) Deadline() time.Time {
	if m.finished || m.err != nil || m.question != NoQuestion {
		return time.Time{}
	}
	return m.out.deadline
}

// Expire sends the flight again if its time has come, and fails when the peer has
// been silent for too long.
func (m *Machine) Expire(now time.Time) {
	d := m.Deadline()
	if d.IsZero() || now.Before(d) {
		return
	}
	silent := now.Sub(m.heard)
	switch {
	case m.stats.Records == 0 && m.stats.NotDTLS > 0 && m.out.sends >= 3:
		m.fail(NewError(KindNotDTLS, 0, "peer does not speak DTLS: it answered %d times with something else", m.stats.NotDTLS))
		return
	case silent >= m.cfg.patience():
		m.fail(NewError(KindTimeout, 0, "peer has not answered for %v", silent.Round(time.Second)))
		return
	}
	m.out.interval = min(2*m.out.interval, maximumTimeout)
	if err := m.send(now); err != nil {
		m.fail(err)
		return
	}
	// Wake up in time to give up, not a long interval later.
	if giveUp := m.heard.Add(m.cfg.patience()); giveUp.After(now) && giveUp.Before(m.out.deadline) {
		m.out.deadline = giveUp
	}
}

// send puts the current flight out and counts it.
func (m *Machine) send(now time.Time) error {
	before := m.out.sends
	if err := m.out.send(now); err != nil {
		return errInternal(err, "cannot seal a flight")
	}
	m.stats.Flights++
	if before > 0 {
		m.stats.Repeated++
	}
	return nil
}

// Receive takes a datagram of the peer. Its bytes may be changed (records are
// opened in place) but are not kept.
func (m *Machine) Receive(datagram []byte, now time.Time) {
	if m.finished || m.err != nil {
		return
	}
	if !record.LooksLikeDTLS(datagram) {
		m.stats.NotDTLS++
		return
	}
	for len(datagram) > 0 && m.err == nil {
		rec, rest, ok := record.Next(datagram)
		if !ok {
			m.stats.Dropped++
			break
		}
		datagram = rest
		m.receiveRecord(&rec, now)
	}
	m.advance(now)
}

// receiveRecord takes one record; what is wrong with it is dropped in silence
// (RFC 6347 4.1.2.7).
func (m *Machine) receiveRecord(rec *record.Record, now time.Time) {
	m.stats.Records++
	switch {
	case rec.Epoch == 0:
		m.receiveContent(rec.Type, 0, rec.Fragment(), now)
	case rec.Epoch > 1:
		m.stats.Dropped++
	case m.opener == nil:
		// Reordered, or ahead of an answer that is awaited.
		if !m.early.room(len(rec.Raw)) {
			m.stats.Dropped++
			return
		}
		m.early.records = append(m.early.records, append(heldRecord(nil), rec.Raw...))
	default:
		typ := rec.Type
		content, err := m.opener.Open(rec)
		switch {
		case err == nil:
			m.receiveContent(typ, 1, content, now)
		case errors.Is(err, record.ErrForgeryLimit):
			m.fail(errInternal(err, "too many forged records"))
		default:
			m.stats.Dropped++
			if errors.Is(err, record.ErrAuthentication) {
				m.stats.Undecryptable++
				if typ == record.TypeHandshake {
					m.mismatch()
				}
			}
		}
	}
}

// mismatch counts Finished messages that do not decrypt. One may be forged or
// damaged; when the peer's repetitions do not decrypt either, its keys are others.
func (m *Machine) mismatch() {
	if m.undecryptable++; m.undecryptable < maxUndecryptable {
		return
	}
	why := "the handshake was changed on its way"
	if m.suite.PSK() {
		why = "the pre-shared keys differ, or " + why
	}
	m.fail(NewError(KindKeyMismatch, alert.DecryptError, "cannot decrypt the peer's Finished: %s", why))
}

func (m *Machine) receiveContent(typ record.ContentType, epoch uint16, content []byte, now time.Time) {
	switch typ {
	case record.TypeHandshake:
		for len(content) > 0 && m.err == nil {
			f, rest, ok := nextFragment(content)
			if !ok {
				m.stats.Dropped++
				return
			}
			content = rest
			m.receiveFragment(&f, epoch, now)
		}
	case record.TypeAlert:
		m.receiveAlert(content)
	case record.TypeChangeCipherSpec:
		// The epoch of a record tells by which keys it is protected.
	case record.TypeApplicationData:
		if epoch == 0 || len(content) > 0 && !m.early.room(len(content)) {
			m.stats.Dropped++
			return
		}
		m.early.data = append(m.early.data, append([]byte{}, content...))
	default:
		m.stats.Dropped++
	}
}

func (m *Machine) receiveFragment(f *fragment, epoch uint16, now time.Time) {
	if f.Type == handshake.TypeHelloRequest {
		return // RFC 5246 7.4.1.1: ignored during a handshake
	}
	m.heard = now
	taken, err := m.side.outOfOrder(m, f, now)
	if err != nil {
		m.fail(err)
	}
	if taken || err != nil {
		return
	}
	switch m.in.add(f, epoch) {
	case fateKept:
		m.out.interval = initialTimeout
	case fateDropped:
		m.stats.Dropped++
	case fateOld:
		if f.Type == m.out.repeatedBy && f.FragmentOffset == 0 && m.question == NoQuestion {
			before := m.out.sends
			if err := m.out.repeat(now); err != nil {
				m.fail(errInternal(err, "cannot seal a flight"))
			} else if m.out.sends > before {
				m.stats.Flights++
				m.stats.Repeated++
			}
		}
	}
}

// receiveAlert ends the handshake on a fatal alert and on close_notify. Warnings
// are ignored.
func (m *Machine) receiveAlert(content []byte) {
	var a alert.Alert
	if a.Unmarshal(content) != nil {
		m.stats.Dropped++
		return
	}
	if a.Level != alert.Fatal && a.Description != alert.CloseNotify {
		m.stats.Dropped++
		return
	}
	msg := "peer sent fatal TLS alert: " + AlertName(a.Description)
	if a.Description == alert.CloseNotify {
		msg = "peer closed the connection during the handshake"
	}
	m.fail(&Error{Kind: KindPeerAlert, Alert: a.Description, msg: msg})
}

// advance handles the messages that are complete and in order.
func (m *Machine) advance(now time.Time) {
	for m.err == nil && !m.finished && m.question == NoQuestion {
		msg, ok := m.in.pop()
		if !ok {
			return
		}
		if want := epochOf(msg.typ); msg.epoch != want {
			m.fail(NewError(KindProtocol, alert.UnexpectedMessage, "peer sent %s in epoch %d", typeName(msg.typ), msg.epoch))
			return
		}
		if err := m.side.handle(m, &msg, now); err != nil {
			m.fail(err)
		}
	}
}

// epochOf is the epoch in which a message has to come.
func epochOf(t handshake.Type) uint16 {
	if t == handshake.TypeFinished {
		return 1
	}
	return 0
}

// ask pauses the machine.
func (m *Machine) ask(q Question) { m.question = q }

// answer ends a pause.
func (m *Machine) answer(q Question, now time.Time) {
	m.question = NoQuestion
	if err := m.side.answered(m, q, now); err != nil {
		m.fail(err)
		return
	}
	m.advance(now)
}

// AnswerCertificate accepts the peer's certificate, or refuses it with an error
// whose alert is sent.
func (m *Machine) AnswerCertificate(refusal *Error, now time.Time) {
	if m.Question() != AskCertificate {
		return
	}
	if refusal != nil {
		m.question = NoQuestion
		m.fail(refusal)
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
	m.out.flight = nil
	m.out.deadline = time.Time{}
	m.in = inbound{}
	if e.Silent() {
		return
	}
	m.sendAlert(e.Alert)
}

// Abort gives up: the peer gets the reason's alert.
func (m *Machine) Abort(reason *Error) { m.fail(reason) }

func (m *Machine) sendAlert(d alert.Description) {
	body := []byte{byte(alert.Fatal), byte(d)}
	if m.out.usesEpoch1 {
		if datagram, err := m.out.sealer.SealBytes(nil, record.TypeAlert, body); err == nil {
			m.out.queue = append(m.out.queue, datagram)
		}
		return
	}
	m.out.queue = append(m.out.queue, m.out.plain.append(nil, record.TypeAlert, m.out.version, body))
}

// addToTranscript appends a received message as if it had come in one fragment.
func (m *Machine) addToTranscript(msg *message) {
	m.transcript = appendHeader(m.transcript, msg.typ, len(msg.body), msg.seq, 0, len(msg.body))
	m.transcript = append(m.transcript, msg.body...)
}

// addMessage adds a message to the flight and to the transcript.
func (m *Machine) addMessage(typ handshake.Type, epoch uint16, body []byte) {
	out := m.out.add(typ, epoch, body)
	m.transcript = appendHeader(m.transcript, typ, len(body), out.seq, 0, len(body))
	m.transcript = append(m.transcript, body...)
}

// addFinished ends a flight with ChangeCipherSpec and Finished.
func (m *Machine) addFinished() error {
	data, err := m.suite.verifyData(m.session.MasterSecret[:], m.transcript, m.side.isClient())
	if err != nil {
		return errInternal(err, "cannot compute Finished")
	}
	copy(m.finishedOf(m.side.isClient())[:], data)
	m.out.addChangeCipherSpec()
	m.addMessage(handshake.TypeFinished, 1, data)
	m.out.usesEpoch1 = true
	return nil
}

// checkFinished verifies the peer's Finished (RFC 5246 7.4.9) and adds it to the
// transcript.
func (m *Machine) checkFinished(msg *message) error {
	want, err := m.suite.verifyData(m.session.MasterSecret[:], m.transcript, !m.side.isClient())
	if err != nil {
		return errInternal(err, "cannot compute Finished")
	}
	if !hmac.Equal(want, msg.body) {
		return NewError(KindKeyMismatch, alert.DecryptError, "peer's Finished is wrong: the handshake was changed on its way")
	}
	copy(m.finishedOf(!m.side.isClient())[:], want)
	m.addToTranscript(msg)
	return nil
}

func (m *Machine) finishedOf(client bool) *[finishedSize]byte {
	if client {
		return &m.session.ClientFinished
	}
	return &m.session.ServerFinished
}

// installKeys derives the keys of epoch 1 from the premaster secret and takes up
// the records that waited for them.
func (m *Machine) installKeys(premaster []byte, now time.Time) error {
	s := &m.session
	master, err := m.suite.masterSecret(premaster, s.ExtendedMaster, m.transcript, &s.ClientRandom, &s.ServerRandom)
	if err != nil {
		return errInternal(err, "cannot derive the master secret")
	}
	copy(s.MasterSecret[:], master)
	own, peers, err := m.suite.keys(master, &s.ClientRandom, &s.ServerRandom)
	if err != nil {
		return err
	}
	if !m.side.isClient() {
		own, peers = peers, own
	}
	if m.out.sealer, err = record.NewSealer(m.suite.aead, own, 1); err != nil {
		return errInternal(err, "cannot use the keys")
	}
	if m.opener, err = record.NewOpener(m.suite.aead, peers, 1); err != nil {
		return errInternal(err, "cannot use the keys")
	}
	held := m.early.records
	m.early.records = nil
	for _, raw := range held {
		m.early.bytes -= len(raw)
		if rec, _, ok := record.Next(raw); ok && m.err == nil {
			m.receiveRecord(&rec, now)
		}
	}
	return nil
}

// finish completes the session.
func (m *Machine) finish(last *LastFlight) {
	s := &m.session
	s.Version = record.VersionDTLS12
	s.Suite = m.suite
	s.PeerChain = m.peer.chain
	s.Sealer, s.Opener = m.out.sealer, m.opener
	s.LastFlight = last
	s.Early = m.early.data
	m.finished = true
	m.out.deadline = time.Time{}
	m.transcript, m.ephemeral = nil, nil
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
	case name != "":
		return name
	}
	return fmt.Sprintf("handshake message %d", uint8(t))
}
