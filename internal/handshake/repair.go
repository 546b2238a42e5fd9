package handshake

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
)

// checkpoint is where a side stood when it had sent a flight and waited for the
// peer's next. Until keys are in use nothing that comes is authenticated, so that a
// message which makes no sense may be damaged or forged. Then the side goes back to
// here and takes the peer's repetition instead, up to Config.Repairs times. A failure
// is real, and final, when it comes again from the same messages.
//
// There is none once a side has sealed anything: its keys must not be derived a
// second time, since they would be used from the first nonce on again.
type checkpoint struct {
	side       side
	transcript int // bytes
	next       uint16
	suite      *Suite
	peer       peer
	session    Session
}

// repairs is how often a machine went back, and why.
type repairs struct {
	from   checkpoint // side is nil without one
	failed []failedAt

	// A server's answer to AskPSK, which need not be asked again.
	identity, psk []byte
}

// failedAt is a failure that was put down to damage.
type failedAt struct {
	sum [sha256.Size]byte // of the messages up to the one that failed
	at  time.Time
}

// mark makes the present the checkpoint.
func (m *Machine) mark() {
	if m.cfg.Repairs > 0 {
		m.repairs.from = checkpoint{m.side.copied(), len(m.transcript), m.in.next, m.suite, m.peer, m.session}
	}
}

// repair goes back to the checkpoint, unless the failure with a message is final.
func (m *Machine) repair(failure *Error, msg *message, now time.Time) bool {
	r := &m.repairs
	if r.from.side == nil || failure.Kind != KindProtocol && failure.Kind != KindBadCertificate || len(r.failed) >= m.cfg.Repairs {
		return false
	}
	hash := sha256.New()
	hash.Write(m.transcript)
	hash.Write(appendHeader(nil, msg.typ, len(msg.body), msg.seq, 0, int(msg.epoch)))
	hash.Write(msg.body)
	sum := [sha256.Size]byte(hash.Sum(nil))
	// The network may double what it has damaged: only what comes later is a repetition.
	if slices.ContainsFunc(r.failed, func(f failedAt) bool { return f.sum == sum && now.Sub(f.at) >= repetitionPause }) {
		return false
	}
	r.failed = append(r.failed, failedAt{sum, now})
	m.goBack(now)
	return true
}

// goBack returns to the checkpoint, if there is one, and asks the peer to repeat
// itself by a repetition of ours.
func (m *Machine) goBack(now time.Time) {
	c := &m.repairs.from
	if c.side == nil || m.question != NoQuestion { // a question is about what has come
		return
	}
	m.side, m.suite, m.peer, m.session = c.side.copied(), c.suite, c.peer, c.session
	m.transcript = m.transcript[:c.transcript]
	m.in.restart(c.next)
	m.early = early{}
	m.opener, m.out.sealer, m.master, m.signature = nil, nil, nil, nil
	if err := m.put(m.out.repeat, now); err != nil {
		m.fail(err)
	}
}

// MayBeDamage tells whether the failure may come from a datagram that was damaged or
// forged on its way, so that another handshake is worth a try: nothing of this one was
// authenticated. Wrong pre-shared keys look like damage, and are taken for what they
// are.
func (m *Machine) MayBeDamage() bool {
	e := m.err
	if e == nil || m.finished {
		return false
	}
	psk := m.suite != nil && m.suite.PSK()
	switch e.Kind {
	case KindProtocol, KindVersion, KindBadCertificate:
		return true
	case KindKeyMismatch:
		return !psk
	case KindPeerAlert:
		switch e.Alert {
		case alert.DecodeError, alert.IllegalParameter, alert.UnexpectedMessage, alert.UnsupportedExtension, alert.ProtocolVersion:
			return true
		case alert.DecryptError, alert.BadRecordMac:
			return !psk
		}
	}
	return false
}
