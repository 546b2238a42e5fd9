package conn

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/datagram"
	machine "gdtls/internal/handshake"
	"gdtls/internal/record"
)

const (
	// receiveSize holds the largest record with its header (RFC 6347 4.1), and
	// flights of a handshake.
	receiveSize = record.HeaderSize + record.MaxPlaintext + 64
	// receiveBatch is how many datagrams are asked of the base at once.
	receiveBatch = 8
	// fruitless bounds the datagrams that a call which must not block looks at
	// without finding a message.
	fruitless = 256
)

// receiver is the reading side.
type receiver struct {
	opener *record.Opener
	next   uint64   // number after the highest record so far
	early  [][]byte // messages that came before the end of the handshake
	inbox  *inbox   // datagrams that are not used up; nil for none
	ended  bool     // the peer has closed, or the base has ended
	used   bool     // a message has been read (G198)
	ready  atomic.Bool
}

// inbox holds datagrams between the base and the caller. Its buffers are big, so
// it is only held while something is in it.
type inbox struct {
	pool     *sync.Pool
	messages []datagram.InputMessage
	filled   int    // messages with a datagram
	next     int    // the first that is not begun
	rest     []byte // records left of the one before
}

func newInboxPool(n int) *sync.Pool {
	pool := &sync.Pool{}
	pool.New = func() any {
		in := &inbox{pool: pool, messages: make([]datagram.InputMessage, n)}
		vectors := make([][]byte, n)
		for i := range in.messages {
			vectors[i] = make([]byte, receiveSize)
			in.messages[i].Vectors = vectors[i : i+1 : i+1]
		}
		return in
	}
	return pool
}

var (
	singleInbox = newInboxPool(1)
	batchInbox  = newInboxPool(receiveBatch)
)

func takeInbox(messages int) *inbox {
	if messages > 1 {
		return batchInbox.Get().(*inbox)
	}
	return singleInbox.Get().(*inbox)
}

func (in *inbox) put() {
	in.filled, in.next, in.rest = 0, 0, nil
	in.pool.Put(in)
}

// datagram gives the bytes of a message.
func (in *inbox) datagram(i int) []byte {
	m := &in.messages[i]
	return m.Vectors[0][:m.BytesReceived]
}

var errReceiveFlags = datagram.NewError(datagram.CodeInvalidArgument, "receive flags are not supported by DTLS connections, except MsgWaitForOne")

// ReceiveMessages receives application messages, each one that the peer sent as
// one (g_datagram_based_receive_messages, G009-G019, G199-G203). A connection that
// has not made its handshake makes it first: within the timeout, or, if that is 0,
// in the background with WOULD_BLOCK as answer (G192). When the peer has closed,
// the result is 0 and no error (G015). A message longer than its vectors is cut and
// marked with MsgTrunc (G209). Addresses are zero.
func (c *DtlsConnection) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	if flags&^datagram.MsgWaitForOne != 0 {
		return 0, errReceiveFlags
	}
	if len(messages) == 0 {
		return 0, c.idle(ctx, opRead)
	}
	messages = messages[:min(len(messages), datagram.MaxMessages)]
	deadline := deadlineOf(timeout)
	if err := c.begin(ctx, opRead, timeout, deadline); err != nil {
		return 0, err
	}
	needed := len(messages)
	switch {
	case timeout == 0:
		needed = 0
	case flags&datagram.MsgWaitForOne != 0:
		needed = 1
	}
	n, err := c.receive(ctx, messages, needed, deadline)
	c.claims.release(opRead)
	if err != nil {
		err = c.explain(ctx, opRead, err)
	}
	return n, err
}

// receive fills messages; the caller holds opRead. An error that comes after the
// first message is left to the next call (G013).
func (c *DtlsConnection) receive(ctx context.Context, messages []datagram.InputMessage, needed int, deadline time.Time) (n int, err error) {
	defer c.settleInbox()
	told := false
	for looked := 0; ; {
		var got int
		got, err = c.take(messages[n:])
		n += got
		if err != nil || n == len(messages) || c.rx.ended {
			break
		}
		wait := time.Duration(0) // what else is there is taken without waiting
		if n < needed {
			if wait = remaining(deadline); wait == 0 {
				err = datagram.ErrTimedOut
				break
			}
		} else if looked-n >= fruitless {
			err = datagram.ErrWouldBlock
			break
		}
		err = c.fetch(ctx, len(messages)-n, wait)
		if isTooLarge(err) && !told {
			// A network says this of a datagram that was sent; the next one that is
			// too large will be refused. There is no reason to stop reading.
			told = true
			c.mtu.ask(c.base)
			continue
		}
		if err != nil {
			break
		}
		if in := c.rx.inbox; in != nil {
			looked += in.filled
		}
	}
	c.stats.received.Add(uint64(n))
	if n > 0 {
		err = nil
	}
	return n, err
}

// take fills messages with what was fetched.
func (c *DtlsConnection) take(messages []datagram.InputMessage) (int, error) {
	bytes := 0
	defer func() {
		if bytes > 0 {
			c.stats.receivedBytes.Add(uint64(bytes))
		}
	}()
	for n := range messages {
		data, ok, err := c.nextMessage()
		if !ok || err != nil {
			return n, err
		}
		bytes += len(data)
		scatter(&messages[n], data)
	}
	return len(messages), nil
}

// fetch gets datagrams from the base.
//
// A reader that waits on a socket of its connection's own does so with buffers at
// hand, which saves a look at the socket. Of other bases, such as a listener's parts,
// there may be many with a reader each, and buffers are large: there they are taken
// when something has come.
func (c *DtlsConnection) fetch(ctx context.Context, most int, wait time.Duration) error {
	if wait != 0 {
		inner, err := c.claims.interruptible(ctx, opRead)
		if err != nil {
			return err
		}
		ctx = inner
	}
	if _, socket := c.base.(*datagram.Socket); socket || wait == 0 {
		return c.fill(ctx, most, wait)
	}
	if err := c.fill(ctx, most, 0); !isWouldBlock(err) {
		return err
	}
	return c.base.ConditionWait(ctx, datagram.In, wait)
}

// fill fills an inbox from the base.
func (c *DtlsConnection) fill(ctx context.Context, most int, wait time.Duration) error {
	in := takeInbox(most)
	n, err := c.base.ReceiveMessages(ctx, in.messages[:min(most, len(in.messages))], datagram.MsgWaitForOne, wait)
	if n > 0 {
		in.filled = n
		c.rx.inbox = in
		return nil
	}
	in.put()
	if err == nil {
		return c.endOfBase()
	}
	return err
}

func isWouldBlock(err error) bool {
	e, ok := err.(*datagram.IOError)
	return ok && e.Code == datagram.CodeWouldBlock
}

// endOfBase is for a base whose peer has closed without a close_notify (G069, G070).
func (c *DtlsConnection) endOfBase() error {
	if c.RequireCloseNotify() {
		return c.readError(TlsErrorEOF, "peer closed the connection without close_notify")
	}
	c.rx.ended = true
	return nil
}

// settleInbox gives an empty inbox back and notes whether something is left.
func (c *DtlsConnection) settleInbox() {
	in := c.rx.inbox
	if in != nil && (c.rx.ended || len(in.rest) == 0 && in.next == in.filled) {
		in.put()
		c.rx.inbox, in = nil, nil
	}
	c.rx.ready.Store(in != nil || len(c.rx.early) > 0 || c.rx.ended)
}

// nextMessage gives the next application message of what was fetched, valid until
// the next call.
func (c *DtlsConnection) nextMessage() (data []byte, ok bool, err error) {
	if len(c.rx.early) > 0 {
		data, c.rx.early = c.rx.early[0], c.rx.early[1:]
		return data, true, nil
	}
	in := c.rx.inbox
	for in != nil && !c.rx.ended {
		if len(in.rest) == 0 {
			if in.next == in.filled {
				in.put()
				c.rx.inbox = nil
				break
			}
			in.rest = in.datagram(in.next)
			in.next++
		}
		rec, rest, whole := record.Next(in.rest)
		in.rest = rest
		if !whole {
			in.rest = nil
			c.stats.dropped.Add(1)
			continue
		}
		if data, ok, err = c.open(&rec); ok || err != nil {
			return data, ok, err
		}
	}
	return nil, false, nil
}

// open takes one record of an established connection. Only what is authenticated
// counts; the rest is dropped in silence (RFC 6347 4.1.2.7).
func (c *DtlsConnection) open(rec *record.Record) (data []byte, ok bool, err error) {
	typ := rec.Type
	content, err := c.rx.opener.Open(rec)
	switch err {
	case nil:
	case record.ErrReplayed:
		c.stats.replayed.Add(1)
		return nil, false, nil
	case record.ErrAuthentication:
		c.stats.unauthenticated.Add(1)
		return nil, false, nil
	case record.ErrForgeryLimit:
		return nil, false, c.end(newTlsError(TlsErrorMisc, err, "connection ended: too many forged records"))
	default:
		c.stats.dropped.Add(1)
		return nil, false, nil
	}
	c.noteNumber(rec.Sequence)
	switch typ {
	case record.TypeApplicationData:
		c.rx.used = true
		return content, true, nil
	case record.TypeAlert:
		return nil, false, c.receiveAlert(content)
	case record.TypeHandshake:
		c.receiveHandshake(content)
	default:
		c.stats.dropped.Add(1)
	}
	return nil, false, nil
}

// noteNumber counts what is missing, by the number of a record that was the peer's.
func (c *DtlsConnection) noteNumber(number uint64) {
	switch next := c.rx.next; {
	case number == next:
		c.rx.next++
	case number > next:
		c.stats.missing.Add(number - next)
		c.rx.next = number + 1
	case c.stats.missing.Load() > 0: // it was late; only the reader counts
		c.stats.missing.Add(^uint64(0))
	}
}

// receiveAlert takes an authenticated alert: close_notify is the peer's end, a
// fatal one the connection's.
func (c *DtlsConnection) receiveAlert(content []byte) error {
	var a alert.Alert
	switch {
	case a.Unmarshal(content) != nil:
		c.stats.dropped.Add(1)
	case a.Description == alert.CloseNotify:
		c.rx.ended = true
	case a.Level == alert.Fatal:
		c.forgetSession() // RFC 5246 7.2.2
		return c.end(c.readError(TlsErrorMisc, "peer sent fatal TLS alert: %s", machine.AlertName(a.Description)))
	default:
		c.stats.dropped.Add(1)
	}
	return nil
}

// readError is an error in reading: a server that a client owes a certificate, and
// that never sent anything, can only miss that (G198).
func (c *DtlsConnection) readError(code TlsErrorCode, format string, args ...any) error {
	if owed, refusal := c.certificateOwed(); owed && !c.rx.used {
		if refusal != nil {
			return refusal
		}
		code = TlsErrorCertificateRequired
	}
	return newTlsError(code, nil, format, args...)
}

// receiveHandshake takes an authenticated handshake record: the peer repeats its
// Finished if it missed our last flight, or asks for a renegotiation, which is
// refused (RFC 5246 7.4.1.1).
func (c *DtlsConnection) receiveHandshake(content []byte) {
	if len(content) < handshake.HeaderLength {
		c.stats.dropped.Add(1)
		return
	}
	switch handshake.Type(content[0]) {
	case handshake.TypeFinished:
		c.askControl(controlLastFlight)
	case handshake.TypeClientHello, handshake.TypeHelloRequest:
		c.askControl(controlNoRenegotiation)
	default:
		c.stats.dropped.Add(1)
	}
}

// end ends an established connection with an error that stays.
func (c *DtlsConnection) end(failure error) error {
	if c.rx.inbox != nil {
		c.rx.inbox.put()
		c.rx.inbox = nil
	}
	c.claims.fail(failure)
	return failure
}

// certificateOwed tells whether a client was asked for a certificate and had none, and
// why, if its interaction failed.
func (c *DtlsConnection) certificateOwed() (owed bool, refusal error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings.certificateMissing, c.settings.rarely().refusal
}

// explain finds out whether a call of the base was cancelled since the connection
// was closed.
func (c *DtlsConnection) explain(ctx context.Context, op operation, err error) error {
	if errors.Is(err, datagram.ErrCancelled) && ctx.Err() == nil && c.claims.isClosed(op) {
		return errClosed
	}
	return err
}

// idle is for a call with no messages: it only tells what stands against it.
func (c *DtlsConnection) idle(ctx context.Context, op operation) error {
	if ctx.Err() != nil {
		return datagram.ErrorFromContext(ctx)
	}
	if c.claims.isClosed(op) {
		return errClosed
	}
	return nil
}

// scatter puts data into the vectors of a message.
func scatter(m *datagram.InputMessage, data []byte) {
	n := 0
	for _, v := range m.Vectors {
		if n == len(data) {
			break
		}
		n += copy(v, data[n:])
	}
	m.BytesReceived, m.Flags, m.Address = n, datagram.MsgNone, datagram.Address{}
	if n < len(data) {
		m.Flags = datagram.MsgTrunc
	}
}

// deadlineOf is when a call that begins now ends, zero for one without limit.
func deadlineOf(timeout time.Duration) time.Time {
	if timeout <= 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// remaining is the time until a deadline: negative without one, 0 if it is over.
func remaining(deadline time.Time) time.Duration {
	if deadline.IsZero() {
		return -1
	}
	return max(time.Until(deadline), 0)
}
