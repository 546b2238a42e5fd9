package handshake

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"
)

// Resuming is, while a server asks whether a session may be resumed, that session:
// AskCertificate is then about its client's chain, AskPSK about its identity. A
// refusal leads to a full handshake. Otherwise it is nil.
func (m *Machine) Resuming() *SavedSession {
	if s, ok := m.side.(*server); ok && m.question != NoQuestion {
		return s.resuming
	}
	return nil
}

// findSession gives the session that the client wants to resume, if it exists and
// fits both this hello and today's configuration; else nil, and the handshake is a
// full one. A ticket goes before a session id, which then tells nothing.
func (s *server) findSession(m *Machine, h *ClientHello, now time.Time) (*SavedSession, error) {
	sessions := m.cfg.Sessions
	if sessions == nil {
		return nil, nil
	}
	var saved *SavedSession
	switch {
	case s.opened != nil:
		saved = s.opened
	case len(h.Ticket) > 0:
		saved = sessions.open(h.Ticket, now)
	default:
		saved = sessions.load(h.SessionID, now)
	}
	if saved == nil || !slices.Contains(h.Suites, saved.Suite.ID) || !slices.Contains(m.cfg.enabled(), saved.Suite) ||
		saved.ServerName != h.ServerName || // RFC 6066 3
		saved.Own != ([sha256.Size]byte{}) && m.cfg.certificateOf(saved.Own) == nil {
		return nil, nil
	}
	if !saved.Suite.PSK() {
		shown := len(saved.PeerChain) > 0
		if m.cfg.ClientAuth == RequireClientCertificate && !shown || m.cfg.ClientAuth == NoClientCertificate && shown {
			return nil, nil
		}
	}
	if !h.ExtendedMaster { // RFC 7627 5.3
		return nil, NewError(KindProtocol, alert.HandshakeFailure, "client resumes a session without its extended master secret")
	}
	return saved, nil
}

// certificateOf gives the own certificate with a hash, nil if there is none.
func (c *Config) certificateOf(hash [sha256.Size]byte) *Certificate {
	i := slices.IndexFunc(c.Certificates, func(own *Certificate) bool { return own.hash == hash })
	if i < 0 {
		return nil
	}
	return c.Certificates[i]
}

// tryResumption asks what has to be asked before a session is resumed.
func (s *server) tryResumption(m *Machine, saved *SavedSession, now time.Time) error {
	s.resuming = saved
	s.awaits = awaitResumption
	switch {
	case saved.Suite.PSK():
		m.ask(AskPSK)
	case len(saved.PeerChain) > 0:
		m.ask(AskCertificate)
	default:
		return s.resume(m, now)
	}
	return nil
}

// answerResumption goes on after the question of tryResumption.
func (m *Machine) answerResumption(s *server, resume bool, now time.Time) {
	if !resume {
		s.resuming = nil
	}
	m.answer(m.question, now)
}

// resume sends the short flight: ServerHello and Finished. Tickets are not renewed,
// since that would not make the session live longer.
func (s *server) resume(m *Machine, now time.Time) error {
	h := s.offer
	m.restore(s.resuming)
	m.session.Stored = m.cfg.Sessions.stored(s.resuming.ID)
	m.session.SessionID = append([]byte(nil), h.SessionID...)
	reply := s.reply(m, h)
	m.out.start(handshake.TypeClientHello)
	m.addMessage(handshake.TypeServerHello, 0, reply.marshal())
	s.awaits = awaitClientFinished
	if err := m.installKeys(now); err != nil {
		return err
	}
	m.addFinished()
	return m.send(now)
}

// promiseSession makes the session resumable in the ServerHello: by a ticket if the
// client takes one, by an id if it does not, and by both where the ticket may turn
// out too long since it is to hold the client's chain.
func (s *server) promiseSession(m *Machine, h *ClientHello, reply *serverHello) {
	sessions := m.cfg.Sessions
	if sessions == nil || !h.ExtendedMaster {
		return
	}
	s.tickets = h.hasTicket
	reply.sessionTicket = h.hasTicket
	if sessions.store != nil && (!h.hasTicket || m.cfg.ClientAuth != NoClientCertificate) {
		id := newRandom()
		reply.sessionID = id[:]
		m.session.SessionID = reply.sessionID
	}
}

// keepSession keeps what was promised: it gives the client its ticket, or puts the
// session into the store.
func (s *server) keepSession(m *Machine, now time.Time) {
	if !s.tickets && len(m.session.SessionID) == 0 {
		return
	}
	sessions := m.cfg.Sessions
	_, lifetime := sessions.at(now)
	saved := m.save(lifetime, now)
	saved.ID, saved.host = m.session.SessionID, s.host
	if s.certificate != nil {
		saved.Own = s.certificate.hash
	}
	var t newSessionTicket
	if s.tickets {
		t.ticket = sessions.seal(saved, maxTicket, now)
		t.lifetime = uint32(lifetime / time.Second)
		m.addMessage(typeNewSessionTicket, 0, t.marshal())
	}
	if len(t.ticket) == 0 && len(saved.ID) > 0 {
		sessions.save(saved, now)
		m.session.Stored = sessions.stored(saved.ID)
	}
}

// forgetSession makes sure that a session whose resumption failed is not resumed
// again (RFC 5246 7.2.2).
func (s *server) forgetSession(m *Machine) {
	if s.resuming != nil {
		m.cfg.Sessions.stored(s.resuming.ID).Forget()
	}
}
