package handshake

import (
	"errors"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// early keeps what came before its time.
type early struct {
	records [][]byte // of epoch 1, before the keys are known
	data    [][]byte // decrypted application data, before the end of the handshake
	bytes   int
	closed  bool // close_notify, before the end of the handshake
}

func (e *early) room(n int) bool {
	if len(e.records)+len(e.data) >= maxEarly || e.bytes+n > maxEarlyBytes {
		return false
	}
	e.bytes += n
	return true
}

// Receive takes a datagram of the peer. Its bytes may be changed (records are
// opened in place) but are not kept.
func (m *Machine) Receive(datagram []byte, now time.Time) {
	if m.finished || m.err != nil {
		return
	}
	m.now = now
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
		m.early.records = append(m.early.records, append([]byte(nil), rec.Raw...))
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
					m.mismatch(now)
				}
			}
		}
	}
}

// mismatches counts how often a Finished did not decrypt.
type mismatches struct {
	n    int
	last time.Time
}

// mismatch takes note that a Finished does not decrypt. One may be forged or
// damaged, and what comes at the same time counts once; when the peer's
// repetitions do not decrypt either, its keys are others.
func (m *Machine) mismatch(now time.Time) {
	seen := &m.mismatches
	if seen.n > 0 && now.Sub(seen.last) < repetitionPause {
		return
	}
	seen.last = now
	if seen.n++; seen.n < maxUndecryptable {
		m.goBack(now) // a message before it may have been damaged
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
		if len(content) == 0 {
			m.stats.Dropped++ // RFC 5246 6.2.1: no empty fragments
		}
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
		m.receiveAlert(content, epoch)
	case record.TypeChangeCipherSpec:
		// The epoch of a record tells by which keys it is protected.
	case record.TypeApplicationData:
		if epoch == 0 || !m.early.room(len(content)) {
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
		m.stats.Dropped++ // RFC 5246 7.4.1.1: ignored during a handshake
		return
	}
	m.clock.heard = now
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
	case fateKnown:
		if m.in.skipped(f.MessageSequence, now) {
			m.fail(NewError(KindProtocol, alert.UnexpectedMessage, "peer goes on behind a message that never came: its %s is missing", m.side.awaited()))
		}
	case fateOld:
		if f.Type == m.out.repeatedBy && f.FragmentOffset == 0 && m.question == NoQuestion {
			if err := m.put(m.out.repeat, now); err != nil {
				m.fail(err)
			}
		}
	case fateTooLong:
		m.fail(errIllegal("peer's %s has %d bytes, at most %d are accepted here", typeName(f.Type), f.Length, m.in.limit))
	}
}

// receiveAlert ends the handshake on a fatal alert and on close_notify, but for an
// authenticated close_notify, which has overtaken the peer's Finished. Warnings
// are ignored.
func (m *Machine) receiveAlert(content []byte, epoch uint16) {
	var a alert.Alert
	if a.Unmarshal(content) != nil {
		m.stats.Dropped++
		return
	}
	if m.observed() {
		m.observe(Event{Kind: EventAlert, Alert: a.Description, Fatal: a.Level == alert.Fatal, Received: true})
	}
	switch {
	case a.Description == alert.CloseNotify && epoch > 0:
		m.early.closed = true
		return
	case a.Level != alert.Fatal && a.Description != alert.CloseNotify,
		!m.out.usesEpoch1 && m.side.isClient() && (a.Description == alert.DecryptError || a.Description == alert.BadRecordMac):
		// The latter is about a Finished, or what comes just before it, and we have
		// sent none: it was for an earlier handshake.
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
		popped, ok := m.in.pop()
		if !ok {
			return
		}
		m.reading = popped
		msg := &m.reading
		m.clock.progress = now
		if m.observed() {
			m.observe(Event{Kind: EventMessage, Messages: []string{typeName(msg.typ)}, Bytes: len(msg.body)})
		}
		if want := epochOf(msg.typ); msg.epoch != want {
			m.failAt(msg, NewError(KindProtocol, alert.UnexpectedMessage, "peer sent %s in epoch %d", typeName(msg.typ), msg.epoch), now)
		} else if err := m.side.handle(m, msg, now); err != nil {
			m.failAt(msg, err, now)
		}
	}
}

// failAt ends the handshake because of a message, unless that can be repaired.
func (m *Machine) failAt(msg *message, err error, now time.Time) {
	var e *Error
	if m.err == nil && errors.As(err, &e) && m.repair(e, msg, now) {
		return
	}
	m.fail(err)
}

// epochOf is the epoch in which a message has to come.
func epochOf(t handshake.Type) uint16 {
	if t == handshake.TypeFinished {
		return 1
	}
	return 0
}
