package handshake

import (
	"time"
)

// clock is what a machine knows of the time while it waits.
type clock struct {
	heard    time.Time // when a handshake message of the peer last came, new or old
	progress time.Time // when one last brought the handshake on
}

// Deadline is when Expire wants to be called; zero: never, as long as nothing comes.
func (m *Machine) Deadline() time.Time {
	if m.finished || m.err != nil {
		return time.Time{}
	}
	if m.question != NoQuestion {
		return m.undecided()
	}
	if giveUp := m.giveUp(); giveUp.Before(m.out.deadline) {
		return giveUp
	}
	return m.out.deadline
}

// Awaited names the peer's message that comes next, such as "ServerHello", for who
// gives up.
func (m *Machine) Awaited() string { return m.side.awaited() }

// giveUp is when the peer has been waited for long enough: a silent one, or one
// that speaks but never goes on.
func (m *Machine) giveUp() time.Time {
	patience := m.cfg.patience()
	silent, stuck := m.clock.heard.Add(patience), m.clock.progress.Add(stuckPatience*patience)
	if stuck.Before(silent) {
		return stuck
	}
	return silent
}

// Expire sends the flight again if its time has come, and fails when the peer has
// been waited for too long. Where that was in vain several times, each datagram goes
// out twice: the timer of the RFC makes the next try so late that it must not be lost
// too, and there are few of them.
func (m *Machine) Expire(now time.Time) {
	d := m.Deadline()
	if d.IsZero() || now.Before(d) {
		return
	}
	m.now = now
	switch {
	case m.question != NoQuestion:
		m.fail(m.errUndecided())
		return
	case m.stats.Records == 0 && m.stats.NotDTLS >= foreignAnswers && m.out.sends >= foreignAnswers:
		m.fail(NewError(KindNotDTLS, 0, "peer does not speak DTLS: it answered %d times with something else", m.stats.NotDTLS))
		return
	case !now.Before(m.giveUp()):
		m.fail(m.errTimeout(now))
		return
	}
	m.out.interval = min(2*m.out.interval, maximumTimeout)
	queued := len(m.out.queue)
	if err := m.send(now); err != nil {
		m.fail(err)
		return
	}
	if m.out.sends > sendsUntilDouble {
		m.out.queue = append(m.out.queue, m.out.queue[queued:]...)
	}
}

func (m *Machine) errTimeout(now time.Time) *Error {
	const precision = 10 * time.Millisecond
	awaits := m.side.awaited()
	if silent := now.Sub(m.clock.heard); silent >= m.cfg.patience() {
		return NewError(KindTimeout, 0, "peer has not answered for %v: its %s is missing", silent.Round(precision), awaits)
	}
	return NewError(KindTimeout, 0, "peer has not gone on for %v, though it repeats itself: its %s is missing",
		now.Sub(m.clock.progress).Round(precision), awaits)
}

// resume starts the clock anew after a decision, however long it took.
func (m *Machine) resume(now time.Time) {
	m.clock = clock{heard: now, progress: now}
	m.out.deadline = now.Add(m.out.interval)
}

// send puts the current flight out and counts it.
func (m *Machine) send(now time.Time) error {
	return m.put(m.out.send, now)
}

// put sends a flight by one of the ways of m.out, and counts it if that sent it.
func (m *Machine) put(send func(time.Time) error, now time.Time) error {
	before, queued := m.out.sends, len(m.out.queue)
	if err := send(now); err != nil {
		return errInternal(err, "cannot seal a flight")
	}
	if m.out.sends == before {
		return nil
	}
	m.stats.Flights++
	if before > 0 {
		m.stats.Repeated++
	}
	if m.observed() {
		m.observeFlight(queued)
	}
	return nil
}
