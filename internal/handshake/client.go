package handshake

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"slices"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/extension"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// client is the state of a client between messages.
type client struct {
	awaits clientState
	hello  ClientHello
	hellos int // HelloVerifyRequests that were followed

	key       crypto.PublicKey // of the server's certificate
	exchange  serverKeyExchange
	own       *Certificate // the client certificate to show, nil for none
	ownScheme tls.SignatureScheme
	psk       []byte
	premaster []byte // between the key exchange and the Finished
	keyed     int    // bytes of the transcript from which the keys come

	resuming *SavedSession // offered in the hello; nil: none
	ticket   newSessionTicket
	tickets  bool // a NewSessionTicket will come before the server's Finished
}

type clientState uint8

const (
	awaitServerHello clientState = iota
	awaitServerCertificate
	awaitServerKeyExchange
	awaitServerHelloDone // or CertificateRequest
	awaitAnswers
	awaitSessionTicket
	awaitServerFinished
)

func (s clientState) String() string {
	return [...]string{"ServerHello", "Certificate", "ServerKeyExchange", "ServerHelloDone", "a decision", "NewSessionTicket", "Finished"}[s]
}

// NewClient starts a handshake: the machine's first Output is a ClientHello.
func NewClient(cfg *Config, now time.Time) (*Machine, error) {
	offered := cfg.enabled()
	if len(offered) == 0 {
		return nil, errInternal(nil, "no cipher suite is enabled: pre-shared key suites need a key")
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &client{hello: ClientHello{
		Version:           record.VersionDTLS12,
		Random:            newRandom(),
		Compressions:      nullCompression,
		ServerName:        cfg.ServerName,
		ExtendedMaster:    true,
		SecureRenegotiate: true,
		ALPN:              cfg.ALPN,
	}}
	c.hello.Suites = make([]uint16, 0, len(offered))
	// A client that has a pre-shared key means to use it.
	for _, s := range offered {
		if s.PSK() {
			c.hello.Suites = append(c.hello.Suites, s.ID)
		}
	}
	for _, s := range offered {
		if !s.PSK() {
			c.hello.Suites = append(c.hello.Suites, s.ID)
			c.hello.SignatureSchemes = supportedSchemes
		}
		if s.ecdhe {
			c.hello.Groups = groups
			c.hello.PointFormats = uncompressedOnly
		}
	}
	c.offerSession(cfg)
	m := newMachine(cfg, c, now)
	transcript := fullTranscript
	if c.resuming != nil {
		transcript = resumedTranscript
	}
	m.transcript = make([]byte, 0, transcript)
	m.out.version = record.VersionDTLS10 // RFC 6347 4.2.1: what old servers expect in the first record
	m.session.ClientRandom = c.hello.Random
	if err := c.sendHello(m, now); err != nil {
		return nil, err
	}
	return m, nil
}

func (c *client) isClient() bool  { return true }
func (c *client) copied() side    { other := *c; return &other }
func (c *client) awaited() string { return c.awaits.String() }

func (c *client) sendHello(m *Machine, now time.Time) error {
	m.transcript = m.transcript[:0] // RFC 6347 4.2.1: only the last hello counts
	m.out.start(noRepetition)
	m.addMessage(handshake.TypeClientHello, 0, c.hello.marshal())
	m.mark()
	return m.send(now)
}

// outOfOrder takes HelloVerifyRequests, whose message_seq tells nothing since the
// server that sent it kept nothing. What number its ServerHello has then is left to
// the server: the next after its request, or that of the hello that it answers,
// which is another if a request was lost or forged.
func (c *client) outOfOrder(m *Machine, f *fragment, now time.Time) (bool, error) {
	switch {
	case f.Type == handshake.TypeServerHello && c.awaits == awaitServerHello:
		if own := m.out.messageSeq - 1; f.MessageSequence == own && own != m.in.next {
			m.in.restart(own)
		}
		return false, nil
	case f.Type != handshake.TypeHelloVerifyRequest:
		return false, nil
	}
	if c.awaits != awaitServerHello || f.FragmentLength != f.Length {
		m.stats.Dropped++
		return true, nil
	}
	cookie, ok := parseHelloVerifyRequest(f.data)
	if !ok {
		return true, errDecode("HelloVerifyRequest")
	}
	if bytes.Equal(cookie, c.hello.Cookie) || c.hellos == maxHellos {
		m.stats.Dropped++ // a repetition, or a server that never has enough
		return true, nil
	}
	c.hellos++
	if m.observed() {
		m.observe(Event{Kind: EventMessage, Messages: []string{typeName(f.Type)}, Bytes: len(f.data)})
	}
	c.hello.Cookie = append([]byte(nil), cookie...)
	m.in.restart(f.MessageSequence + 1)
	m.clock.progress = now
	return true, c.sendHello(m, now)
}

func (c *client) handle(m *Machine, msg *message, now time.Time) error {
	switch {
	case c.awaits == awaitServerHello && msg.typ == handshake.TypeServerHello:
		return c.serverHello(m, msg, now)
	case c.awaits == awaitServerCertificate && msg.typ == handshake.TypeCertificate:
		return c.certificate(m, msg)
	case c.awaits == awaitServerKeyExchange && msg.typ == handshake.TypeServerKeyExchange:
		return c.serverKeyExchange(m, msg)
	case c.awaits == awaitServerKeyExchange && !m.suite.ecdhe && msg.typ == handshake.TypeServerHelloDone:
		// RFC 4279 2: without a hint the message is not sent.
		return c.serverHelloDone(m, msg, now)
	case c.awaits == awaitServerHelloDone && msg.typ == handshake.TypeCertificateRequest:
		return c.certificateRequest(m, msg)
	case c.awaits == awaitServerHelloDone && msg.typ == handshake.TypeServerHelloDone:
		return c.serverHelloDone(m, msg, now)
	case c.awaits == awaitSessionTicket && msg.typ == typeNewSessionTicket:
		return c.sessionTicket(m, msg)
	case c.awaits == awaitServerFinished && msg.typ == handshake.TypeFinished:
		return c.finished(m, msg, now)
	}
	return errUnexpected(msg, c.awaits.String())
}

func (c *client) serverHello(m *Machine, msg *message, now time.Time) error {
	var h serverHello
	if !h.unmarshal(msg.body) {
		return errDecode("ServerHello")
	}
	if h.version != record.VersionDTLS12 {
		return NewError(KindVersion, alert.ProtocolVersion, "server chose protocol version %04x, only DTLS 1.2 is supported", h.version)
	}
	suite := SuiteByID(h.suite)
	if suite == nil || !slices.Contains(c.hello.Suites, h.suite) {
		return errIllegal("server chose cipher suite %04x, which was not offered", h.suite)
	}
	if h.compression != 0 {
		return errIllegal("server chose compression, which was not offered")
	}
	if h.renegotiates {
		return errRenegotiates("server")
	}
	if h.compressedOnly {
		return errIllegal("server does not take uncompressed points, the only ones that are left")
	}
	for _, t := range h.extensions {
		if !c.offered(t) {
			return NewError(KindProtocol, alert.UnsupportedExtension, "server answered with extension %d, which was not offered", uint16(t))
		}
	}
	if h.alpn != "" && !slices.Contains(c.hello.ALPN, h.alpn) {
		return errIllegal("server chose application protocol %q, which was not offered", h.alpn)
	}
	m.suite = suite
	m.out.version = record.VersionDTLS12
	m.session.ServerRandom = h.random
	m.session.SessionID = h.sessionID
	m.session.ALPN = h.alpn
	m.session.ExtendedMaster = h.extendedMaster
	m.addToTranscript(msg)
	c.tickets = h.sessionTicket
	if c.resuming != nil && bytes.Equal(h.sessionID, c.hello.SessionID) {
		return c.resume(m, &h, now)
	}
	c.awaits = awaitServerCertificate
	if suite.PSK() {
		c.awaits = awaitServerKeyExchange
	}
	return nil
}

// offered tells whether the hello had an extension.
func (c *client) offered(t extension.TypeValue) bool {
	switch t {
	case extension.ServerNameTypeValue:
		return c.hello.ServerName != ""
	case extension.ALPNTypeValue:
		return len(c.hello.ALPN) > 0
	case extension.SupportedPointFormatsTypeValue:
		return len(c.hello.PointFormats) > 0
	case extensionSessionTicket:
		return c.hello.hasTicket
	case extension.UseExtendedMasterSecretTypeValue, extension.RenegotiationInfoTypeValue:
		return true
	}
	return false
}

func (c *client) certificate(m *Machine, msg *message) error {
	chain, err := parseCertificate(msg.body)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return NewError(KindBadCertificate, alert.DecodeError, "server sent no certificate")
	}
	key, err := m.takeChain(chain, m.suite.auth)
	if err != nil {
		return err
	}
	c.key = key
	m.addToTranscript(msg)
	c.awaits = awaitServerKeyExchange
	return nil
}

func (c *client) serverKeyExchange(m *Machine, msg *message) error {
	x := &c.exchange
	if !x.unmarshal(m.suite, msg.body) {
		return errDecode("ServerKeyExchange")
	}
	m.addToTranscript(msg)
	c.awaits = awaitServerHelloDone
	if m.suite.PSK() {
		m.session.PSKHint = append([]byte(nil), x.hint...)
	}
	if !m.suite.ecdhe {
		return nil
	}
	if !slices.Contains(c.hello.Groups, x.group) {
		return errIllegal("server chose group %#04x, which was not offered", uint16(x.group))
	}
	if m.suite.PSK() {
		return nil // the key proves itself by the Finished
	}
	return verify(c.key, x.signed.scheme, x.signed.signature,
		m.session.ClientRandom[:], m.session.ServerRandom[:], x.params())
}

func (c *client) certificateRequest(m *Machine, msg *message) error {
	if m.suite.PSK() {
		return NewError(KindProtocol, alert.HandshakeFailure, "server asked for a certificate with a pre-shared key")
	}
	if m.peer.request != nil {
		return errUnexpected(msg, "ServerHelloDone")
	}
	r := &certificateRequest{}
	if !r.unmarshal(msg.body) {
		return errDecode("CertificateRequest")
	}
	m.peer.request = r
	m.session.CertificateRequested = true
	m.session.Authorities = r.authorities
	m.addToTranscript(msg)
	return nil
}

// serverHelloDone begins the questions: the verdict on the server's certificate
// or the pre-shared key, then the client's own certificate.
func (c *client) serverHelloDone(m *Machine, msg *message, now time.Time) error {
	if len(msg.body) != 0 {
		return errDecode("ServerHelloDone")
	}
	m.addToTranscript(msg)
	c.awaits = awaitAnswers
	if m.suite.PSK() {
		m.ask(AskPSK)
	} else {
		m.ask(AskCertificate)
	}
	return nil
}

func (c *client) answered(m *Machine, q Question, now time.Time) error {
	switch {
	case q == AskCertificate && m.peer.request != nil:
		m.ask(AskClientCertificate)
		return nil
	case q == AskSignature:
		return c.sendFinished(m, now)
	}
	return c.sendKeys(m, now)
}

// sendKeys makes the flight from Certificate or ClientKeyExchange to Finished.
func (c *client) sendKeys(m *Machine, now time.Time) error {
	m.repairs = repairs{}
	m.out.start(handshake.TypeServerHelloDone)
	if m.peer.request != nil {
		certificate := marshalCertificate(nil)
		if c.own != nil {
			certificate = c.own.message
		}
		m.addMessage(handshake.TypeCertificate, 0, certificate)
	}
	var exchange clientKeyExchange
	var premaster []byte
	if m.suite.ecdhe {
		var err error
		if m.ephemeral, err = newEphemeral(c.exchange.group); err != nil {
			return err
		}
		if premaster, err = agree(m.ephemeral, c.exchange.publicKey); err != nil {
			return err
		}
		exchange.publicKey = m.ephemeral.PublicKey().Bytes()
	}
	if m.suite.PSK() {
		exchange.identity = m.session.PSKIdentity
		premaster = m.suite.pskPremaster(premaster, c.psk)
	}
	m.addMessage(handshake.TypeClientKeyExchange, 0, exchange.marshal(m.suite))
	// The keys come from the transcript up to here (RFC 7627 3).
	c.premaster, c.keyed = premaster, len(m.transcript)
	if c.own != nil {
		if err := m.sign(c.own, c.ownScheme, m.transcript); err != nil || m.question != NoQuestion {
			return err
		}
	}
	return c.sendFinished(m, now)
}

// sendFinished ends the flight and sends it.
func (c *client) sendFinished(m *Machine, now time.Time) error {
	if c.own != nil {
		verify := signed{scheme: c.ownScheme, signature: m.signature}
		m.addMessage(handshake.TypeCertificateVerify, 0, verify.marshal())
	}
	c.awaitsEnd()
	full := m.transcript
	m.transcript = m.transcript[:c.keyed]
	err := m.newMaster(c.premaster, now)
	m.transcript, c.premaster = full, nil
	if m.suite.PSK() {
		m.keyProof = keyProof(&m.session.MasterSecret, c.psk)
		c.psk = nil
	}
	if err != nil {
		return err
	}
	m.addFinished()
	return m.send(now)
}

// AnswerClientCertificate shows a certificate, or none. One that the server could
// not verify by the signature schemes it named is not shown.
func (m *Machine) AnswerClientCertificate(own *Certificate, now time.Time) {
	c, ok := m.side.(*client)
	if !ok || m.Question() != AskClientCertificate {
		return
	}
	if own != nil {
		if scheme, ok := chooseScheme(m.peer.request.schemes, own.key); ok {
			c.own, c.ownScheme = own, scheme
		}
	}
	m.answer(AskClientCertificate, now)
}
