package handshake

import (
	"slices"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
)

// offerSession puts the session that is to be resumed into the hello, if the
// configuration still allows it, and asks for a ticket. A session with a ticket has
// a session id that only serves to see whether the server resumed it (RFC 5077 3.4).
func (c *client) offerSession(cfg *Config) {
	c.hello.hasTicket = cfg.Resumable
	saved := cfg.Resume
	if saved == nil || !slices.Contains(c.hello.Suites, saved.Suite.ID) || saved.ServerName != cfg.ServerName {
		return
	}
	c.resuming = saved
	c.hello.SessionID = saved.ID
	if len(saved.Ticket) > 0 {
		random := newRandom()
		c.hello.SessionID, c.hello.Ticket, c.hello.hasTicket = random[:], saved.Ticket, true
	}
	if len(c.hello.SessionID) == 0 {
		c.resuming = nil
	}
}

// resume goes on after a ServerHello that resumes the session: what is left are
// the two Finished, the server's first.
func (c *client) resume(m *Machine, h *serverHello, now time.Time) error {
	switch saved := c.resuming; {
	case h.suite != saved.Suite.ID:
		return errIllegal("server resumed a session of %s with %s", saved.Suite.Name, m.suite.Name)
	case !h.extendedMaster: // RFC 7627 5.3
		return NewError(KindProtocol, alert.HandshakeFailure, "server resumed a session without its extended master secret")
	}
	m.repairs = repairs{}
	m.restore(c.resuming)
	c.awaitsEnd()
	return m.installKeys(now)
}

// awaitsEnd awaits the server's last flight.
func (c *client) awaitsEnd() {
	c.awaits = awaitServerFinished
	if c.tickets {
		c.awaits = awaitSessionTicket
	}
}

func (c *client) sessionTicket(m *Machine, msg *message) error {
	if !c.ticket.unmarshal(msg.body) {
		return errDecode("NewSessionTicket")
	}
	if len(c.ticket.ticket) > maxPeerTicket {
		c.ticket.ticket = nil
	}
	m.addToTranscript(msg)
	c.awaits = awaitServerFinished
	return nil
}

// finished ends the handshake; when a session was resumed with our Finished, which
// the server may miss.
func (c *client) finished(m *Machine, msg *message, now time.Time) error {
	if err := m.checkFinished(msg); err != nil {
		return err
	}
	m.session.Saved = c.saved(m, now)
	if !m.session.Resumed {
		m.finish(nil)
		return nil
	}
	m.out.start(noRepetition)
	m.addFinished()
	if err := m.send(now); err != nil {
		return err
	}
	m.finish(m.out.last())
	return nil
}

// saved is what may be resumed later: by the newest ticket, or by the session id.
// Its time is counted from the full handshake (G213).
func (c *client) saved(m *Machine, now time.Time) *SavedSession {
	s := &m.session
	if !m.cfg.Resumable || !s.ExtendedMaster {
		return nil
	}
	var saved *SavedSession
	switch {
	case s.Resumed && len(c.ticket.ticket) == 0:
		return c.resuming
	case s.Resumed:
		again := *c.resuming
		saved = &again
	default:
		lifetime := DefaultSessionLifetime
		if hint := time.Duration(c.ticket.lifetime) * time.Second; hint > 0 {
			lifetime = min(lifetime, hint)
		}
		saved = m.save(lifetime, now)
		saved.ID, saved.ServerName = s.SessionID, m.cfg.ServerName
	}
	if len(c.ticket.ticket) > 0 {
		saved.ID, saved.Ticket = nil, c.ticket.ticket
	}
	if len(saved.ID) == 0 && len(saved.Ticket) == 0 {
		return nil
	}
	return saved
}

// Offered tells whether the hello offered to resume a session.
func (m *Machine) Offered() bool {
	c, ok := m.side.(*client)
	return ok && c.resuming != nil
}
