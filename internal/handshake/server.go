package handshake

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"slices"
	"time"

	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// server is the state of a server between messages.
type server struct {
	awaits      serverState
	certificate *Certificate
	scheme      tls.SignatureScheme
	named       bool // server_name chose the certificate
	group       elliptic.Curve
	key         crypto.PublicKey  // of the client's certificate, nil without one
	params      serverKeyExchange // ours
	exchange    clientKeyExchange // the client's
	psk         []byte

	offer    *ClientHello
	host     []byte        // of the client; empty: not known
	opened   *SavedSession // what is in the ticket of the hello, if it has been looked at
	resuming *SavedSession // the session that is resumed, or is asked about; nil for a full handshake
	tickets  bool          // a ticket was promised
}

type serverState uint8

const (
	awaitClientCertificate serverState = iota
	awaitResumption
	awaitSignature
	awaitClientKeyExchange
	awaitPSK
	awaitCertificateVerify
	awaitVerdict
	awaitClientFinished
)

func (s serverState) String() string {
	return [...]string{"Certificate", "a decision", "a signature", "ClientKeyExchange", "a pre-shared key", "CertificateVerify", "a decision", "Finished"}[s]
}

// NewServer answers a hello whose cookie was right, or whose ticket did for one. The machine exists even if
// the hello cannot be served: then Err tells why and Output holds the alert.
func NewServer(cfg *Config, verified *VerifiedHello, now time.Time) *Machine {
	s := &server{offer: verified.Hello, host: verified.host}
	if verified.sessions == cfg.Sessions {
		s.opened = verified.saved
	}
	m := newMachine(cfg, s, now)
	m.out.plain.next = verified.sequence // RFC 6347 4.2.1
	m.out.messageSeq = verified.seq
	m.in.next = verified.seq + 1
	m.stats.Records++
	m.transcript = append(make([]byte, 0, max(resumedTranscript, len(verified.message))), verified.message...)
	if cfg.ClientAuth == NoClientCertificate {
		m.in.limit = maxShortMessage
	}
	if verified.malformed {
		m.fail(errDecode("ClientHello"))
	} else if err := s.hello(m, verified.Hello, now); err != nil {
		m.fail(err)
	}
	return m
}

func (s *server) isClient() bool  { return false }
func (s *server) copied() side    { other := *s; return &other }
func (s *server) awaited() string { return s.awaits.String() }

func (s *server) outOfOrder(*Machine, *fragment, time.Time) (bool, error) { return false, nil }

// hello checks a hello and answers it: by resuming a session or by a new one.
func (s *server) hello(m *Machine, h *ClientHello, now time.Time) error {
	if err := m.cfg.check(); err != nil {
		return err
	}
	// DTLS versions count down: 1.2 is fefd, 1.0 is feff.
	if h.Version>>8 != 0xfe || h.Version > record.VersionDTLS12 {
		if slices.Contains(h.Suites, scsvFallback) {
			return NewError(KindFallback, alertInappropriateFallback, "client fell back to protocol version %04x though DTLS 1.2 is supported", h.Version)
		}
		return NewError(KindVersion, alert.ProtocolVersion, "client offers protocol version %04x, only DTLS 1.2 is supported", h.Version)
	}
	if !slices.Contains(h.Compressions, 0) {
		return errIllegal("client does not offer the null compression")
	}
	if h.renegotiates {
		return errRenegotiates("client")
	}
	session := &m.session
	session.ClientRandom = h.Random
	session.ServerRandom = newRandom()
	session.ServerName = h.ServerName
	session.ExtendedMaster = h.ExtendedMaster
	session.ALPN = chooseALPN(h.ALPN, m.cfg.ALPN) // anew, also for a session that is resumed
	saved, err := s.findSession(m, h, now)
	switch {
	case err != nil:
		return err
	case saved != nil:
		return s.tryResumption(m, saved, now)
	}
	return s.fullHandshake(m, h, now)
}

// reply begins a ServerHello with what is the same for new and resumed sessions.
func (s *server) reply(m *Machine, h *ClientHello) serverHello {
	return serverHello{
		version:           record.VersionDTLS12,
		random:            m.session.ServerRandom,
		sessionID:         m.session.SessionID,
		suite:             m.suite.ID,
		alpn:              m.session.ALPN,
		extendedMaster:    h.ExtendedMaster,
		secureRenegotiate: h.SecureRenegotiate,
	}
}

// fullHandshake makes the flight from ServerHello to ServerHelloDone.
func (s *server) fullHandshake(m *Machine, h *ClientHello, now time.Time) error {
	if err := s.choose(m, h); err != nil {
		return err
	}
	reply := s.reply(m, h)
	reply.pointFormats = m.suite.ecdhe && h.hasPointFormats
	reply.serverName = s.named
	s.promiseSession(m, h, &reply)
	m.out.start(handshake.TypeClientHello)
	m.transcript = slices.Grow(m.transcript, fullTranscript-resumedTranscript)
	m.addMessage(handshake.TypeServerHello, 0, reply.marshal())
	if s.certificate != nil {
		m.addMessage(handshake.TypeCertificate, 0, s.certificate.message)
	}
	if m.suite.ecdhe {
		var err error
		if m.ephemeral, err = newEphemeral(s.group); err != nil {
			return err
		}
		s.params.group, s.params.publicKey = s.group, m.ephemeral.PublicKey().Bytes()
	}
	if s.certificate != nil {
		s.awaits = awaitSignature
		err := m.sign(s.certificate, s.scheme, m.session.ClientRandom[:], m.session.ServerRandom[:], s.params.params())
		if err != nil || m.question != NoQuestion {
			return err
		}
	}
	return s.endFlight(m, now)
}

// endFlight ends the flight with ServerKeyExchange, CertificateRequest and
// ServerHelloDone, and sends it.
func (s *server) endFlight(m *Machine, now time.Time) error {
	if m.suite.PSK() {
		s.params.hint = m.cfg.PSKHint
	}
	if m.suite.ecdhe || len(s.params.hint) > 0 {
		s.params.signed = signed{s.scheme, m.signature}
		m.addMessage(handshake.TypeServerKeyExchange, 0, s.params.marshal(m.suite))
	}
	s.awaits = awaitClientKeyExchange
	if m.cfg.ClientAuth != NoClientCertificate && !m.suite.PSK() {
		request := certificateRequest{
			types:       []byte{typeECDSASign, typeRSASign},
			schemes:     supportedSchemes,
			authorities: m.cfg.authorities(),
		}
		m.addMessage(handshake.TypeCertificateRequest, 0, request.marshal())
		s.awaits = awaitClientCertificate
	}
	m.addMessage(handshake.TypeServerHelloDone, 0, nil)
	m.mark()
	return m.send(now)
}

func (s *server) handle(m *Machine, msg *message, now time.Time) error {
	switch {
	case s.awaits == awaitClientCertificate && msg.typ == handshake.TypeCertificate:
		return s.clientCertificate(m, msg)
	case s.awaits == awaitClientKeyExchange && msg.typ == handshake.TypeClientKeyExchange:
		return s.clientKeyExchange(m, msg, now)
	case s.awaits == awaitCertificateVerify && msg.typ == handshake.TypeCertificateVerify:
		return s.certificateVerify(m, msg)
	case s.awaits == awaitClientFinished && msg.typ == handshake.TypeFinished:
		return s.finished(m, msg, now)
	}
	return errUnexpected(msg, s.awaits.String())
}

func (s *server) clientCertificate(m *Machine, msg *message) error {
	chain, err := parseCertificate(msg.body)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		if m.cfg.ClientAuth == RequireClientCertificate {
			return NewError(KindCertificateRequired, alert.HandshakeFailure, "client did not send a certificate")
		}
	} else {
		key, err := m.takeChain(chain, 0)
		if err != nil {
			return err
		}
		s.key = key
	}
	m.addToTranscript(msg)
	s.awaits = awaitClientKeyExchange
	return nil
}

func (s *server) clientKeyExchange(m *Machine, msg *message, now time.Time) error {
	if !s.exchange.unmarshal(m.suite, msg.body) {
		return errDecode("ClientKeyExchange")
	}
	m.addToTranscript(msg)
	if m.suite.PSK() {
		if len(s.exchange.identity) > MaxPSKIdentity {
			return NewError(KindUnknownIdentity, alertUnknownPSKIdentity, "client's identity has %d bytes, at most %d are accepted", len(s.exchange.identity), MaxPSKIdentity)
		}
		m.session.PSKIdentity = append([]byte(nil), s.exchange.identity...)
		if psk := m.repairs.psk; psk != nil && bytes.Equal(m.repairs.identity, m.session.PSKIdentity) {
			return s.keyKnown(m, psk, now)
		}
		s.awaits = awaitPSK
		m.ask(AskPSK)
		return nil
	}
	return s.keysKnown(m, nil, now)
}

// keyKnown goes on with a pre-shared key.
func (s *server) keyKnown(m *Machine, psk []byte, now time.Time) error {
	err := s.keysKnown(m, psk, now)
	m.keyProof = keyProof(&m.session.MasterSecret, psk)
	return err
}

// keysKnown derives the keys, with a pre-shared one where the suite has it. What
// waited for them may already hold the Finished, so the state comes first.
func (s *server) keysKnown(m *Machine, psk []byte, now time.Time) error {
	var premaster []byte
	if m.suite.ecdhe {
		var err error
		if premaster, err = agree(m.ephemeral, s.exchange.publicKey); err != nil {
			return err
		}
	}
	if m.suite.PSK() {
		premaster = m.suite.pskPremaster(premaster, psk)
	}
	s.awaits = awaitClientFinished
	if s.key != nil {
		s.awaits = awaitCertificateVerify
	}
	return m.newMaster(premaster, now)
}

// certificateVerify checks that the client has the key of its certificate
// (RFC 5246 7.4.8), and then asks whether it is welcome.
func (s *server) certificateVerify(m *Machine, msg *message) error {
	var v signed
	if !v.unmarshal(msg.body) {
		return errDecode("CertificateVerify")
	}
	if err := verify(s.key, v.scheme, v.signature, m.transcript); err != nil {
		return err
	}
	m.addToTranscript(msg)
	s.awaits = awaitVerdict
	m.ask(AskCertificate)
	return nil
}

func (s *server) answered(m *Machine, q Question, now time.Time) error {
	switch {
	case s.awaits == awaitResumption && s.resuming != nil:
		return s.resume(m, now)
	case s.awaits == awaitResumption:
		return s.fullHandshake(m, s.offer, now)
	}
	switch q {
	case AskSignature:
		return s.endFlight(m, now)
	case AskPSK:
		psk := s.psk
		s.psk = nil
		if m.cfg.Repairs > 0 {
			m.repairs.identity, m.repairs.psk = m.session.PSKIdentity, psk
		}
		return s.keyKnown(m, psk, now)
	case AskCertificate:
		s.awaits = awaitClientFinished
	}
	return nil
}

func (s *server) finished(m *Machine, msg *message, now time.Time) error {
	if err := m.checkFinished(msg); err != nil {
		return err
	}
	if s.resuming != nil { // the client has all of ours
		m.session.Own = m.cfg.certificateOf(s.resuming.Own)
		m.finish(nil)
		return nil
	}
	m.session.Own = s.certificate
	m.repairs = repairs{}
	m.out.start(noRepetition)
	s.keepSession(m, now)
	m.addFinished()
	if err := m.send(now); err != nil {
		return err
	}
	m.finish(m.out.last())
	return nil
}
