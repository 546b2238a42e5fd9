package handshake

import (
	"bytes"
	"crypto/hmac"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

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
func (m *Machine) addFinished() {
	data := m.finishedOf(m.side.isClient())
	*data = m.suite.verifyData(m.master, m.transcript, m.side.isClient())
	m.out.addChangeCipherSpec()
	m.addMessage(handshake.TypeFinished, 1, bytes.Clone(data[:])) // a last flight must not keep the machine
	m.out.usesEpoch1 = true
}

// checkFinished verifies the peer's Finished (RFC 5246 7.4.9) and adds it to the
// transcript.
func (m *Machine) checkFinished(msg *message) error {
	want := m.suite.verifyData(m.master, m.transcript, !m.side.isClient())
	if len(msg.body) != finishedSize {
		return errDecode("Finished")
	}
	if !hmac.Equal(want[:], msg.body) {
		return NewError(KindKeyMismatch, alert.DecryptError, "peer's Finished is wrong: the handshake was changed on its way")
	}
	*m.finishedOf(!m.side.isClient()) = want
	m.addToTranscript(msg)
	return nil
}

func (m *Machine) finishedOf(client bool) *[finishedSize]byte {
	if client {
		return &m.session.ClientFinished
	}
	return &m.session.ServerFinished
}

// newMaster derives the master secret from the premaster secret, and the keys.
func (m *Machine) newMaster(premaster []byte, now time.Time) error {
	s := &m.session
	s.MasterSecret = m.suite.masterSecret(premaster, s.ExtendedMaster, m.transcript, &s.ClientRandom, &s.ServerRandom)
	return m.installKeys(now)
}

// installKeys derives the keys of epoch 1 from the master secret and takes up the
// records that waited for them.
func (m *Machine) installKeys(now time.Time) error {
	s := &m.session
	m.master = newPRF(m.suite.hash, s.MasterSecret[:])
	own, peers := m.suite.keys(m.master, &s.ClientRandom, &s.ServerRandom)
	if !m.side.isClient() {
		own, peers = peers, own
	}
	var err error
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
	if m.err != nil {
		return m.err
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
	s.Early, s.Closed = m.early.data, m.early.closed
	m.finished = true
	m.out.deadline = time.Time{}
	m.transcript, m.ephemeral, m.master = nil, nil, nil
	if m.observed() {
		m.observe(Event{Kind: EventDone, Resumed: s.Resumed})
	}
}
