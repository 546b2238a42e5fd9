package conn

import (
	"context"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/datagram"
	"gdtls/internal/handshake"
	"gdtls/internal/record"
)

// farewellPatience is how long a base is waited for that does not take the last
// record of a handshake or of a connection.
const farewellPatience = time.Second

// maxRepairs is how often a handshake puts a failure down to a damaged message.
const maxRepairs = 8

// driver runs a machine over the base.
type driver struct {
	c        *DtlsConnection
	ctx      context.Context
	deadline time.Time // zero: none
	machine  *handshake.Machine
	config   *handshake.Config
	foreign  int   // datagrams that were not DTLS, before there was a machine
	useless  int   // those that were, but held no whole ClientHello
	refusal  error // of the base to carry a datagram of this length; nil: none

	again      again
	resumption resumption
	sending    []datagram.OutputMessage // scratch of flush
	decision   *decision                // of which the answer is looked for; nil: none
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
		d.again.listener = true
		d.serve(hello, now)
	}
	in := takeInbox(1)
	defer in.put()
	defer d.dismiss()
	for {
		done, err := d.settle()
		if err != nil && d.beginAgain() {
			continue
		}
		if err == nil && !done {
			err = d.receive(in)
		}
		if done || err != nil {
			return d.giveUp(err)
		}
	}
}

// configure gathers the settings.
func (d *driver) configure() error {
	c := d.c
	c.mu.Lock()
	s := c.settings
	c.mu.Unlock()
	d.config = &handshake.Config{
		Suites:   s.rarely().suites,
		ALPN:     s.rarely().advertised,
		Observe:  observer(s.rarely().observe),
		MTU:      c.MTU(),
		Patience: c.HandshakePatience(),

		DecisionPatience: c.HandshakePatience(),
		Repairs:          maxRepairs,

		PSK:       len(snapshot(&c.signals, &c.signals.psk)) > 0,
		ParsePeer: func(chain [][]byte) (*x509.Certificate, error) { return parsePeer(chain) },
	}
	if c.role.IsServer() {
		for _, certificate := range s.certificates() {
			own, err := certificate.prepared()
			if err != nil {
				return err
			}
			d.config.Certificates = append(d.config.Certificates, own)
		}
	}
	c.role.Configure(d.config)
	switch {
	case s.fullHandshakes:
		d.config.Sessions = nil
	case !c.role.IsServer():
		d.offerSession(s.certificates())
	}
	return nil
}

func parsePeer(chain [][]byte) (*x509.Certificate, error) {
	certificate, err := newPeerCertificate(chain)
	if err != nil {
		return nil, err
	}
	return certificate.X509(), nil
}

// prepared gives the certificate as handshakes show it.
func (c *TlsCertificate) prepared() (*handshake.Certificate, error) {
	if own := c.own.Load(); own != nil {
		return own, nil
	}
	if !c.HasPrivateKey() {
		return nil, newTlsError(TlsErrorBadCertificate, nil, "certificate has no private key")
	}
	own, err := handshake.NewCertificate(c.chainDER(), c.signer())
	if err != nil {
		return nil, newTlsError(TlsErrorBadCertificate, err, "own certificate cannot be used")
	}
	c.own.Store(own)
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
			d.keepSession()
			return false, d.c.failure(failure) // whether or not its alert could be sent
		}
		if err != nil {
			return false, err
		}
		if m.Done() {
			d.keepSession()
			d.c.establish(m.Session())
			return true, nil
		}
		if m.Question() == handshake.NoQuestion {
			return false, nil
		}
		if answered, err := d.decide(); !answered || err != nil {
			return false, err
		}
	}
}

// flush sends the machine's datagrams as one batch. What a base does not take in
// time, or not at all for its size, is left to the machine's timer, like what the
// network loses: flights that do not get through are repeated in smaller datagrams.
func (d *driver) flush() error {
	datagrams := d.machine.Output()
	if len(datagrams) == 0 {
		return nil
	}
	if d.machine.Err() != nil {
		d.again.alert = datagrams[len(datagrams)-1]
	}
	d.sending = d.sending[:0]
	for i := range datagrams {
		d.sending = append(d.sending, datagram.OutputMessage{Vectors: datagrams[i : i+1]})
	}
	messages := d.sending
	patience := d.machine.Deadline()
	if patience.IsZero() {
		patience = time.Now().Add(farewellPatience)
	}
	for len(messages) > 0 {
		wait := remaining(earlier(d.deadline, patience))
		if wait == 0 {
			return nil
		}
		n, err := d.c.base.SendMessages(d.ctx, messages, 0, wait)
		switch {
		case isTooLarge(err):
			d.refusal, n = err, 1
		case err != nil && !errors.Is(err, datagram.ErrTimedOut):
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
		ctx := d.ctx
		if d.decision != nil {
			ctx = d.decision.ctx
		}
		var err error
		n, err = d.c.base.ReceiveMessages(ctx, in.messages, datagram.MsgWaitForOne, wait)
		switch {
		case err != nil && ctx != d.ctx && ctx.Err() != nil && d.ctx.Err() == nil:
			return nil // the answer is there
		case err != nil && d.ctx.Err() != nil:
			return datagram.ErrorFromContext(d.ctx) // whatever its cause is
		case errors.Is(err, datagram.ErrTimedOut):
		case err != nil:
			return err
		case n == 0:
			return newTlsError(TlsErrorNotTLS, nil, "peer closed the connection during the handshake") // G211
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
	bytes, from := in.datagram(0), in.messages[0].Address
	if d.machine != nil {
		if !d.peerBeginsAgain(bytes, from, now) {
			d.machine.Receive(bytes, now)
		}
		return nil
	}
	return d.firstDatagram(bytes, from, now)
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
	verified, reply := d.verifyHello(bytes, from, now)
	switch {
	case verified != nil:
		d.serve(verified, now)
	case len(reply) > 0:
		messages := [1]datagram.OutputMessage{{Vectors: [][]byte{reply}}}
		if _, err := d.c.base.SendMessages(d.ctx, messages[:], 0, remaining(d.deadline)); err != nil {
			return err
		}
	case record.LooksLikeDTLS(bytes):
		d.useless++
		d.repeatAlert(now)
	default:
		d.foreign++
	}
	return nil
}

// giveUp ends a handshake that the driver could not go on with, and tells the peer.
func (d *driver) giveUp(err error) error {
	m := d.machine
	if err == nil {
		return nil
	}
	if d.refusal != nil && isTimeout(err) && (m == nil || m.Stats().Records == 0) {
		err = datagram.NewError(datagram.CodeMessageTooLarge, "the base does not carry a datagram of the handshake: %w", d.refusal)
	}
	if m != nil && m.Err() != nil {
		return err
	}
	foreign, heard := d.foreign, false
	if m != nil {
		foreign += int(m.Stats().NotDTLS)
		heard = m.Stats().Records > 0
		m.Abort(handshake.NewError(handshake.KindInternal, alert.UserCanceled, "given up"))
		for _, bytes := range m.Output() {
			d.c.sendRecord(bytes)
		}
	}
	var e *datagram.IOError
	if !errors.As(err, &e) || !e.Timeout() {
		return err
	}
	switch {
	case heard:
		return datagram.NewError(e.Code, "handshake was not finished in time: the peer's %s is missing%s: %w", m.Awaited(), d.hint(), err)
	case d.useless > 0:
		return datagram.NewError(e.Code, "peer has not sent a ClientHello in one datagram, which a server that keeps nothing before the cookie needs: %w", err)
	case foreign > 0:
		return newTlsError(TlsErrorNotTLS, err, "peer does not speak DTLS: %d datagrams were something else", foreign)
	}
	return datagram.NewError(e.Code, "peer has not answered: %w", err)
}

// hint says what a peer that does not send its Finished most often means: with
// other keys it cannot read ours, and many keep silent about that.
func (d *driver) hint() string {
	if d.machine.Awaited() == "Finished" && d.config.PSK {
		return " (do the pre-shared keys differ?)"
	}
	return ""
}

func isTimeout(err error) bool {
	var e *datagram.IOError
	return errors.As(err, &e) && e.Timeout()
}
