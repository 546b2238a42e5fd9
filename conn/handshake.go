package conn

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// begin claims a read or a write, after the handshake that it may need (G192).
func (c *DtlsConnection) begin(ctx context.Context, op operation, timeout time.Duration, deadline time.Time) (context.Context, error) {
	for {
		inner, err := c.claims.claim(ctx, op, timeout, deadline)
		if err != errNeedsHandshake {
			return inner, err
		}
		if timeout == 0 {
			return nil, c.handshakeInBackground()
		}
		if err := c.handshake(ctx, timeout, deadline); err != nil {
			return nil, err
		}
	}
}

// Handshake makes the handshake, if it has not been made
// (g_dtls_connection_handshake, G072, G073). It is never required, since the first
// read or write does it, but gives its errors where they belong. It ends with ctx;
// a peer that does not answer is given up after 62 s.
//
// Errors are TLS errors for what the peer or its certificate did, IO errors for
// the base's, CANCELLED when ctx ends and TIMED_OUT for a silent peer. Once
// something was sent, a failure stays: every later operation but Close returns it
// (G189). The peer is told by an alert.
func (c *DtlsConnection) Handshake(ctx context.Context) error {
	return c.handshake(ctx, -1, time.Time{})
}

func (c *DtlsConnection) handshake(ctx context.Context, timeout time.Duration, deadline time.Time) error {
	inner, err := c.claims.claim(ctx, opHandshake, timeout, deadline)
	if err != nil {
		return err
	}
	return c.runHandshake(ctx, inner, deadline)
}

// handshakeInBackground starts a handshake for a call that must not block.
func (c *DtlsConnection) handshakeInBackground() error {
	ctx := context.Background()
	inner, err := c.claims.claim(ctx, opHandshake, 0, time.Time{})
	if err != nil {
		return err
	}
	go func() { _ = c.runHandshake(ctx, inner, time.Time{}) }() // the error stays for the next call
	return datagram.ErrWouldBlock
}

// runHandshake makes the handshake under the claim opHandshake, which it releases.
func (c *DtlsConnection) runHandshake(ctx, inner context.Context, deadline time.Time) error {
	if c.claims.endHandshake() {
		return nil
	}
	d := driver{c: c, ctx: inner, deadline: deadline}
	err := d.run()
	if err != nil {
		err = c.explain(ctx, opHandshake, err)
	}
	if err == nil || d.machine != nil && d.machine.Started() {
		c.claims.settle(err)
	}
	c.claims.release(opHandshake)
	if err == nil {
		c.notifyNegotiated()
	}
	return err
}

// notifyNegotiated tells what the handshake has changed, in the order of the real Gio.
func (c *DtlsConnection) notifyNegotiated() {
	if c.NegotiatedProtocol() != "" {
		c.Notify(PropertyNegotiatedProtocol)
	}
	c.Notify(PropertyProtocolVersion, PropertyCiphersuiteName)
}

// driver runs a machine over the base.
type driver struct {
	c        *DtlsConnection
	ctx      context.Context
	deadline time.Time // zero: none
	machine  *handshake.Machine
	config   *handshake.Config
	foreign  int // datagrams that were not DTLS, before there was a machine
}

// cookies serves all servers of the process that have no listener.
var cookies = sync.OnceValue(func() *handshake.Cookies { return handshake.NewCookies(time.Now()) })

func (d *driver) run() error {
	if err := d.configure(); err != nil {
		return err
	}
	now := time.Now()
	var err error
	switch hello := d.c.role.Hello(); {
	case !d.c.role.IsServer():
		if d.machine, err = handshake.NewClient(d.config, now); err != nil {
			return newTlsError(TlsErrorMisc, err, "cannot begin the handshake")
		}
	case hello != nil:
		d.machine = handshake.NewServer(d.config, hello, now)
	}
	in := takeInbox(1)
	defer in.put()
	for {
		if done, err := d.settle(); done || err != nil {
			return err
		}
		if err := d.receive(in); err != nil {
			return d.giveUp(err)
		}
	}
}

// configure gathers the settings.
func (d *driver) configure() error {
	c := d.c
	c.mu.Lock()
	s := c.settings
	mtu := c.mtu()
	c.mu.Unlock()
	d.config = &handshake.Config{
		Suites:    s.suites,
		ALPN:      s.advertised,
		MTU:       mtu,
		PSK:       len(snapshot(&c.signals, &c.signals.psk)) > 0,
		ParsePeer: func(chain [][]byte) (*x509.Certificate, error) { return parsePeer(chain) },
	}
	if c.role.IsServer() && s.certificate != nil {
		own, err := ownCertificate(s.certificate)
		if err != nil {
			return err
		}
		d.config.Certificates = []*handshake.Certificate{own}
	}
	c.role.Configure(d.config)
	return nil
}

func parsePeer(chain [][]byte) (*x509.Certificate, error) {
	certificate, err := newPeerCertificate(chain)
	if err != nil {
		return nil, err
	}
	return certificate.X509(), nil
}

func ownCertificate(certificate *TlsCertificate) (*handshake.Certificate, error) {
	if !certificate.HasPrivateKey() {
		return nil, newTlsError(TlsErrorBadCertificate, nil, "certificate has no private key")
	}
	own, err := handshake.NewCertificate(certificate.chainDER(), certificate.signer())
	if err != nil {
		return nil, newTlsError(TlsErrorBadCertificate, err, "own certificate cannot be used")
	}
	return own, nil
}

// settle sends what the machine has, answers what it asks, and tells whether it is
// done.
func (d *driver) settle() (bool, error) {
	m := d.machine
	if m == nil {
		return false, nil
	}
	for {
		err := d.flush()
		if failure := m.Err(); failure != nil {
			return false, d.c.failure(failure) // whether or not its alert could be sent
		}
		if err != nil {
			return false, err
		}
		if m.Done() {
			d.c.establish(m.Session())
			return true, nil
		}
		switch m.Question() {
		case handshake.NoQuestion:
			return false, nil
		case handshake.AskCertificate:
			refusal, err := d.judge()
			if err != nil {
				m.Abort(handshake.NewError(handshake.KindInternal, alert.InternalError, "cannot verify"))
				_ = d.flush()
				return false, err
			}
			m.AnswerCertificate(refusal, time.Now())
		case handshake.AskPSK:
			identity, key := d.presharedKey()
			m.AnswerPSK(identity, key, time.Now())
		case handshake.AskClientCertificate:
			m.AnswerClientCertificate(d.clientCertificate(), time.Now())
		}
	}
}

// flush sends the machine's datagrams as one batch.
func (d *driver) flush() error {
	datagrams := d.machine.Output()
	if len(datagrams) == 0 {
		return nil
	}
	messages := make([]datagram.OutputMessage, len(datagrams))
	for i := range datagrams {
		messages[i].Vectors = datagrams[i : i+1]
	}
	for len(messages) > 0 {
		wait := remaining(d.deadline)
		if wait == 0 {
			return datagram.ErrTimedOut
		}
		n, err := d.c.base.SendMessages(d.ctx, messages, 0, wait)
		if err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// receive waits for datagrams of the peer, or for the machine's timer.
func (d *driver) receive(in *inbox) error {
	timer := d.timer()
	wait := remaining(earlier(d.deadline, timer))
	n := 0
	if wait != 0 {
		var err error
		n, err = d.c.base.ReceiveMessages(d.ctx, in.messages, datagram.MsgWaitForOne, wait)
		switch {
		case errors.Is(err, datagram.ErrTimedOut):
		case err != nil:
			return err
		case n == 0:
			return newTlsError(TlsErrorEOF, nil, "peer closed the connection during the handshake")
		}
	}
	now := time.Now()
	if !d.deadline.IsZero() && !now.Before(d.deadline) && n == 0 {
		return datagram.ErrTimedOut
	}
	if n == 0 {
		if d.machine != nil {
			d.machine.Expire(now)
		}
		return nil
	}
	bytes := in.datagram(0)
	if d.machine != nil {
		d.machine.Receive(bytes, now)
		return nil
	}
	return d.firstDatagram(bytes, in.messages[0].Address, now)
}

func (d *driver) timer() time.Time {
	if d.machine == nil {
		return time.Time{}
	}
	return d.machine.Deadline()
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// firstDatagram answers a peer of which nothing is known yet: by a
// HelloVerifyRequest, or, if its cookie is right, by a machine.
func (d *driver) firstDatagram(bytes []byte, from datagram.Address, now time.Time) error {
	verified, reply := cookies().VerifyHello(bytes, []byte(from.String()), nil, now)
	switch {
	case verified != nil:
		d.machine = handshake.NewServer(d.config, verified, now)
	case len(reply) > 0:
		messages := [1]datagram.OutputMessage{{Vectors: [][]byte{reply}}}
		if _, err := d.c.base.SendMessages(d.ctx, messages[:], 0, remaining(d.deadline)); err != nil {
			return err
		}
	default:
		d.foreign++
	}
	return nil
}

// giveUp ends a handshake that the driver could not go on with, and tells the peer.
func (d *driver) giveUp(err error) error {
	m := d.machine
	foreign := d.foreign
	heard := false
	if m != nil {
		stats := m.Stats()
		foreign += int(stats.NotDTLS)
		heard = stats.Records > 0
		if m.Err() == nil {
			m.Abort(handshake.NewError(handshake.KindInternal, alert.UserCanceled, "given up"))
			d.deadline = time.Time{}
			d.ctx = context.WithoutCancel(d.ctx)
			for _, bytes := range m.Output() {
				d.c.sendRecord(bytes)
			}
		}
	}
	var e *datagram.IOError
	if !errors.As(err, &e) || e.Code != datagram.CodeTimedOut && e.Code != datagram.CodeCancelled {
		return err
	}
	switch {
	case !heard && foreign > 0:
		return newTlsError(TlsErrorNotTLS, err, "peer does not speak DTLS: %d datagrams were something else", foreign)
	case !heard && e.Code == datagram.CodeTimedOut:
		return datagram.NewError(e.Code, "peer has not answered: %w", err)
	}
	return err
}

// judge verifies the peer's certificate and asks the handlers of
// accept-certificate if they are to decide. The properties are set and notified
// before the handshake goes on (G196).
func (d *driver) judge() (*handshake.Error, error) {
	c := d.c
	chain, err := newPeerCertificate(d.machine.PeerChain())
	if err != nil {
		return nil, err
	}
	var flags TlsCertificateFlags
	if c.role.IsServer() {
		flags, err = verifyClient(d.ctx, c.Database(), chain)
	} else {
		flags, err = verifyServer(d.ctx, c.Database(), chain, c.role.Identity())
	}
	if err != nil {
		return nil, err
	}
	accepted := c.role.Acceptable(flags)
	end := c.emitting()
	defer end()
	if !accepted {
		accepted = c.EmitAcceptCertificate(chain, flags)
	}
	c.mu.Lock()
	c.negotiated.peerCertificate, c.negotiated.errors = chain, flags
	c.mu.Unlock()
	c.Notify(PropertyPeerCertificate, PropertyPeerCertificateErrors)
	if accepted {
		return nil, nil
	}
	return handshake.NewError(handshake.KindBadCertificate, refusalAlert(flags), "unacceptable TLS certificate: %s", describe(flags, c.role.IsServer())), nil
}

// refusalAlert is the alert that says best what was wrong (RFC 5246 7.2.2).
func refusalAlert(flags TlsCertificateFlags) alert.Description {
	switch {
	case flags&CertificateUnknownCA != 0:
		return alert.UnknownCA
	case flags&CertificateRevoked != 0:
		return alert.CertificateRevoked
	case flags&(CertificateExpired|CertificateNotActivated) != 0:
		return alert.CertificateExpired
	case flags&CertificateInsecure != 0:
		return alert.BadCertificate
	case flags == 0:
		return alert.AccessDenied
	}
	return alert.CertificateUnknown
}

func describe(flags TlsCertificateFlags, server bool) string {
	if flags == 0 && server {
		return "verification found no fault, but no handler of accept-certificate accepted it"
	}
	return fmt.Sprint(flags)
}

// presharedKey asks the handlers of psk-required.
func (d *driver) presharedKey() (identity, key []byte) {
	a := &PreSharedKeyAuthenticator{}
	if d.c.role.IsServer() {
		a.identity = d.machine.PSKIdentity()
	} else {
		a.hint = d.machine.PSKHint()
	}
	end := d.c.emitting()
	defer end()
	d.c.emitPskRequired(a)
	return a.identity, a.key
}

// clientCertificate chooses what a client that was asked shows.
func (d *driver) clientCertificate() *handshake.Certificate {
	c := d.c
	end := c.emitting()
	c.role.CertificateRequested(d.machine.Session().Authorities)
	end()
	c.mu.Lock()
	defer c.mu.Unlock()
	if certificate := c.settings.certificate; certificate != nil && certificate.HasPrivateKey() {
		if own, err := ownCertificate(certificate); err == nil {
			return own
		}
	}
	c.settings.certificateMissing = true
	return nil
}

// establish takes over what the handshake agreed on.
func (c *DtlsConnection) establish(s *handshake.Session) {
	c.rx.opener, c.rx.early = s.Opener, s.Early
	c.tx.sealer, c.tx.last = s.Sealer, s.LastFlight
	c.rx.ready.Store(len(s.Early) > 0)
	s.Opener, s.Early, s.Sealer, s.LastFlight, s.PeerChain = nil, nil, nil, nil, nil
	c.mu.Lock()
	c.negotiated.session = s
	log := c.settings.keyLog
	c.mu.Unlock()
	if log != nil {
		fmt.Fprintf(log, "CLIENT_RANDOM %x %x\n", s.ClientRandom, s.MasterSecret)
	}
}

// failure turns the machine's error into Gio's (G211).
func (c *DtlsConnection) failure(e *handshake.Error) error {
	switch e.Kind {
	case handshake.KindTimeout:
		return datagram.NewError(datagram.CodeTimedOut, "%w", e)
	case handshake.KindNotDTLS, handshake.KindVersion:
		return &TlsError{Code: TlsErrorNotTLS, Message: e.Error(), Err: e}
	case handshake.KindBadCertificate:
		return &TlsError{Code: TlsErrorBadCertificate, Message: e.Error(), Err: e}
	case handshake.KindCertificateRequired:
		return &TlsError{Code: TlsErrorCertificateRequired, Message: e.Error(), Err: e}
	case handshake.KindFallback:
		return &TlsError{Code: TlsErrorInappropriateFallback, Message: e.Error(), Err: e}
	case handshake.KindPeerAlert:
		if c.certificateMissing() {
			// G064: the server's alert can only mean this.
			return newTlsError(TlsErrorCertificateRequired, e, "server required a certificate and none was set")
		}
	}
	return &TlsError{Code: TlsErrorMisc, Message: e.Error(), Err: e}
}
