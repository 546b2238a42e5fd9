package conn

import (
	"context"
	"errors"
	"time"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// HandshakeState is where an engine stands with its handshake (Q017).
type HandshakeState uint8

// The states.
const (
	HandshakeNotStarted HandshakeState = iota
	HandshakeInProgress
	PeerVerificationFailed
	HandshakeComplete
)

// String gives the name of Qt's member.
func (s HandshakeState) String() string {
	return [...]string{"HandshakeNotStarted", "HandshakeInProgress", "PeerVerificationFailed", "HandshakeComplete"}[s]
}

// DtlsEngine is a DTLS connection for programs that own their socket loop (QDtls,
// Q010-Q038): datagrams that arrive go in, datagrams to send come out of Output, and
// a deadline tells when to call HandleTimeout. It has no goroutine and no timer. It is
// made by the packages clientconn and serverconn.
//
// What it has in common with other connections stands in its Connection: certificates,
// the handlers of psk-required and accept-certificate, ALPN, cipher suites, what was
// negotiated, counters. Calls of the Connection that would have to wait for the peer
// fail with IO error NOT_SUPPORTED.
//
// All methods return an [*EngineError] or nil. An engine is not safe for concurrent use.
type DtlsEngine struct {
	c     *DtlsConnection
	base  *engineBase
	state HandshakeState

	driver  *driver             // nil unless a handshake goes on
	ignored TlsCertificateFlags // by IgnoreVerificationErrors
	refusal *handshake.Error    // in PeerVerificationFailed: what the peer would be told

	// Scratch, so that messages allocate nothing.
	plain    []byte   // messages of the last datagram
	messages [][]byte // where they lie in it
	in       [1]datagram.InputMessage
	out      [1]datagram.OutputMessage
	vectors  [2][1][]byte // of in and out
}

// NewDtlsEngine makes an engine around a connection that connect makes over the base
// that it is given; the packages clientconn and serverconn call it.
func NewDtlsEngine(connect func(base datagram.DatagramBased) (*DtlsConnection, error)) (*DtlsEngine, error) {
	e := &DtlsEngine{base: &engineBase{}}
	e.in[0].Vectors, e.out[0].Vectors = e.vectors[0][:], e.vectors[1][:]
	var err error
	if e.c, err = connect(e.base); err != nil {
		return nil, err
	}
	return e, nil
}

// Output takes the datagrams that are to be sent to the peer, in order. They are valid
// until the next call of another method. It should be called after every one, also
// after an error, which the peer may have to be told.
func (e *DtlsEngine) Output() [][]byte { return e.base.take() }

// SetPeer sets the peer's address (Q011), to which the cookies of a server belong that
// begins without a verified hello. An address that is none is InvalidInputParameters,
// a call after the start InvalidOperation.
func (e *DtlsEngine) SetPeer(address datagram.Address) error {
	switch {
	case !address.IsValid() || address.AddrPort().Addr().IsMulticast():
		return newEngineError(EngineInvalidInputParameters, nil, "peer's address %v is not one of a host", address)
	case e.state != HandshakeNotStarted:
		return e.misplaced("set the peer")
	}
	e.base.address = address
	return nil
}

// PeerAddress is the address of SetPeer, zero without one (Q013).
func (e *DtlsEngine) PeerAddress() datagram.Address { return e.base.address }

// SetMtuHint sets the size of datagrams in bytes, as SetMTU of the connection does;
// other than QDtls's it holds for messages, too (Q014).
func (e *DtlsEngine) SetMtuHint(bytes int) error {
	if err := e.c.SetMTU(bytes); err != nil {
		return newEngineError(EngineInvalidInputParameters, err, "MTU hint is not possible")
	}
	return nil
}

// MtuHint is the size of datagrams in bytes.
func (e *DtlsEngine) MtuHint() int { return e.c.MTU() }

// HandshakeState tells where the handshake stands (Q018).
func (e *DtlsEngine) HandshakeState() HandshakeState { return e.state }

// IsConnectionEncrypted tells whether the handshake is complete and neither side has
// ended the association since (Q030).
func (e *DtlsEngine) IsConnectionEncrypted() bool { return e.state == HandshakeComplete }

func (e *DtlsEngine) misplaced(what string) *EngineError {
	return newEngineError(EngineInvalidOperation, nil, "cannot %s in state %v", what, e.state)
}

// DoHandshake starts the handshake or goes on with it (Q019). A client starts without
// a datagram, a server with a verified hello too; else it is what came from the peer,
// and may be overwritten. nil says that nothing is wrong so far: HandshakeState tells
// whether it is complete.
//
// A server without a verified hello answers one whose cookie is not right and is not
// started by it (Q020). Trouble with the peer's certificate is PeerVerification (Q022);
// while it is not settled by ResumeHandshake or AbortHandshake the peer waits. Any
// other failure is TlsFatal and ends the engine, in state HandshakeNotStarted (Q021):
// for another try make a new one. A private key or a handler that takes its time holds
// up the call.
func (e *DtlsEngine) DoHandshake(data []byte) error {
	switch e.state {
	case HandshakeNotStarted:
		if e.driver == nil {
			if err := e.start(); err != nil {
				return err
			}
		}
	case HandshakeInProgress:
		if len(data) == 0 {
			return newEngineError(EngineInvalidInputParameters, nil, "no datagram to go on with")
		}
	default:
		return e.misplaced("make a handshake")
	}
	switch err := e.feed(data).(type) {
	case nil:
		return e.advance()
	case *EngineError:
		return err
	default:
		return e.fail(err)
	}
}

// start begins a handshake, as far as no datagram is needed for that.
func (e *DtlsEngine) start() error {
	ctx := context.Background()
	if err := e.c.claims.claim(ctx, opHandshake, 0, time.Time{}); err != nil {
		return newEngineError(EngineTlsFatal, err, "no handshake is possible")
	}
	if e.c.claims.endHandshake() {
		return newEngineError(EngineInvalidOperation, nil, "the handshake was made before")
	}
	d := &driver{c: e.c, ctx: ctx}
	if err := d.configure(); err != nil {
		e.c.claims.release(opHandshake)
		return newEngineError(EngineTlsInitialization, err, "cannot begin the handshake")
	}
	e.driver = d
	return nil
}

// feed gives a datagram to the machine, which it makes if there is none.
func (e *DtlsEngine) feed(data []byte) error {
	d, now := e.driver, time.Now()
	if d.machine == nil {
		switch hello := e.c.role.Hello(); {
		case !e.c.role.IsServer():
			var err error
			if d.machine, err = handshake.NewClient(d.config, now); err != nil {
				return newTlsError(TlsErrorMisc, err, "cannot begin the handshake")
			}
		case hello != nil:
			d.machine = handshake.NewServer(d.config, hello, now)
		case len(data) == 0:
			return nil
		case !e.base.address.IsValid():
			return e.misplaced("verify a peer without its address: set the peer first, then make the handshake")
		default:
			return d.firstDatagram(data, e.base.address, now)
		}
	}
	if len(data) > 0 {
		d.machine.Receive(data, now)
	}
	return nil
}

// advance does what the machine wants, until it waits for the peer or is done.
func (e *DtlsEngine) advance() error {
	d := e.driver
	if d.machine == nil {
		return nil // the hello has to come again, with a cookie
	}
	e.state = HandshakeInProgress
	for {
		if d.machine.Question() == handshake.AskCertificate {
			refusal, err := d.judge()
			switch {
			case err != nil:
				return e.fail(err)
			case refusal != nil && d.machine.Resuming() == nil && e.unsettled() != 0:
				e.state, e.refusal = PeerVerificationFailed, refusal
				return newEngineError(EnginePeerVerification, nil, "peer's certificate is not acceptable: %v", e.unsettled())
			case refusal != nil && d.machine.Resuming() == nil && len(snapshot(&e.c.signals, &e.c.signals.accept)) == 0:
				refusal = nil // nobody else has to accept what is in order
			}
			d.machine.AnswerCertificate(refusal, time.Now())
		}
		done, err := d.settle()
		switch {
		case err != nil:
			return e.fail(err)
		case done:
			e.complete()
			return nil
		case d.decision != nil:
			<-d.decision.found
		case d.machine.Question() != handshake.AskCertificate:
			return nil
		}
	}
}

// unsettled is what is wrong with the peer's certificate and not to be ignored.
func (e *DtlsEngine) unsettled() TlsCertificateFlags {
	return e.c.PeerCertificateErrors() &^ e.ignored
}

func (e *DtlsEngine) complete() {
	e.c.claims.settle(nil)
	e.c.claims.release(opHandshake)
	e.driver.notifyResumed()
	e.c.notifyNegotiated()
	e.driver, e.state = nil, HandshakeComplete
}

// fail ends a handshake that has failed, and tells the peer.
func (e *DtlsEngine) fail(err error) error {
	d := e.driver
	err = d.giveUp(err)
	e.c.claims.settle(err)
	e.c.claims.release(opHandshake)
	e.driver, e.refusal, e.state = nil, nil, HandshakeNotStarted
	return newEngineError(EngineTlsFatal, err, "handshake has failed")
}

// Deadline is when HandleTimeout has to be called if nothing has arrived (Q027), zero
// for never.
func (e *DtlsEngine) Deadline() time.Time {
	if e.driver == nil {
		return time.Time{}
	}
	return e.driver.timer()
}

// HandleTimeout repeats what the peer has not answered, or gives up a peer that has
// been silent for too long, which is TlsFatal (Q028). Before the deadline it does
// nothing.
func (e *DtlsEngine) HandleTimeout() error {
	deadline := e.Deadline()
	now := time.Now()
	switch {
	case e.driver == nil:
		return e.misplaced("handle a time-out")
	case deadline.IsZero() || now.Before(deadline):
		return nil
	}
	e.driver.machine.Expire(now)
	if e.state == PeerVerificationFailed && e.driver.machine.Err() == nil {
		return nil
	}
	return e.advance()
}

// PeerVerificationErrors tells, in state PeerVerificationFailed, what is wrong with
// the peer's certificate (Q023).
func (e *DtlsEngine) PeerVerificationErrors() TlsCertificateFlags {
	if e.state != PeerVerificationFailed {
		return 0
	}
	return e.c.PeerCertificateErrors()
}

// IgnoreVerificationErrors sets which of them do not matter, in place of those of an
// earlier call (Q024). It may be called at any time.
func (e *DtlsEngine) IgnoreVerificationErrors(errors TlsCertificateFlags) { e.ignored = errors }

// ResumeHandshake goes on after PeerVerificationFailed, if all errors are ignored now
// (Q025); otherwise it is PeerVerification once more.
func (e *DtlsEngine) ResumeHandshake() error {
	if e.state != PeerVerificationFailed {
		return e.misplaced("resume the handshake")
	}
	if errors := e.unsettled(); errors != 0 {
		return newEngineError(EnginePeerVerification, nil, "peer's certificate is not acceptable: %v", errors)
	}
	e.refusal = nil
	e.driver.machine.AnswerCertificate(nil, time.Now())
	return e.advance()
}

// AbortHandshake gives up a handshake that goes on or has failed to verify the peer,
// who is told (Q026).
func (e *DtlsEngine) AbortHandshake() error {
	switch e.state {
	case HandshakeInProgress:
		_ = e.fail(datagram.NewError(datagram.CodeCancelled, "handshake was aborted"))
	case PeerVerificationFailed:
		e.driver.machine.AnswerCertificate(e.refusal, time.Now())
		_ = e.advance() // the refusal
	default:
		return e.misplaced("abort the handshake")
	}
	return nil
}

// WriteDatagramEncrypted protects a message, which is then in Output (Q032). One that
// is too long is InvalidInputParameters, and the engine remains usable.
func (e *DtlsEngine) WriteDatagramEncrypted(message []byte) error {
	if e.state != HandshakeComplete {
		return e.misplaced("write")
	}
	e.vectors[1][0] = message
	_, err := e.c.SendMessages(context.Background(), e.out[:], 0, 0)
	e.vectors[1][0] = nil
	switch {
	case err == nil:
		return nil
	case errors.Is(err, datagram.ErrMessageTooLarge):
		return newEngineError(EngineInvalidInputParameters, err, "cannot write")
	}
	return newEngineError(EngineTlsFatal, err, "cannot write")
}

// DecryptDatagram gives the messages in a datagram of the peer, most often one; they
// are valid until the next call. The datagram may be nil, for messages that came
// before the end of the handshake. None and no error is possible, such as for a
// repetition; Output may hold an answer to it (Q033).
//
// The peer's end is RemoteClosedConnection, what does not decrypt TlsNonFatal, and
// what ends the association TlsFatal. With messages there is no error: it comes with
// the next datagram.
func (e *DtlsEngine) DecryptDatagram(data []byte) (messages [][]byte, err error) {
	if e.state != HandshakeComplete {
		return nil, e.misplaced("decrypt")
	}
	before := e.c.Stats().Unauthenticated
	if e.base.in = data; len(data) == 0 {
		e.base.in = nil
	}
	room := len(data)
	for _, early := range e.c.rx.early {
		room += len(early)
	}
	if cap(e.plain) < room {
		e.plain = make([]byte, room)
	}
	rest := e.plain[:room]
	messages = e.messages[:0]
	for {
		e.vectors[0][0] = rest
		n, err := e.c.ReceiveMessages(context.Background(), e.in[:], datagram.MsgWaitForOne, 0)
		switch {
		case n > 0:
			k := e.in[0].BytesReceived
			messages, rest = append(messages, rest[:k:k]), rest[k:]
			e.messages = messages
			continue
		case len(messages) > 0:
			return messages, nil
		case isWouldBlock(err) && e.c.Stats().Unauthenticated > before:
			return nil, newEngineError(EngineTlsNonFatal, nil, "datagram does not decrypt")
		case isWouldBlock(err):
			return nil, nil
		case err == nil:
			return nil, newEngineError(EngineRemoteClosedConnection, nil, "peer has closed the connection")
		}
		e.state = HandshakeNotStarted
		return nil, newEngineError(EngineTlsFatal, err, "association is over")
	}
}

// Shutdown ends the association: Output holds the close_notify for the peer (Q034).
func (e *DtlsEngine) Shutdown() error {
	if e.state != HandshakeComplete {
		return e.misplaced("shut down")
	}
	e.state = HandshakeNotStarted
	if err := e.c.Close(context.Background()); err != nil {
		return newEngineError(EngineTlsFatal, err, "cannot shut down")
	}
	return nil
}
