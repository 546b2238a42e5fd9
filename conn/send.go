package conn

import (
	"context"
	"sync"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/datagram"
	machine "gdtls/internal/handshake"
	"gdtls/internal/record"
)

const (
	sendBatch = 64      // datagrams that are given to the base at once
	slabSize  = 1 << 17 // bytes that they share
)

// sender is the writing side.
type sender struct {
	sealer   *record.Sealer
	last     *lastFlight // for a peer that missed it; nil if it cannot have
	notified bool        // our close_notify is out
}

// lastFlight is the end of a handshake: the server's, or the client's if a session
// was resumed.
type lastFlight struct {
	flight   *machine.LastFlight
	repeated time.Time // when it was last
}

// outbox holds sealed records on their way to the base.
type outbox struct {
	messages [sendBatch]datagram.OutputMessage
	vectors  [sendBatch][1][]byte
	slab     []byte
}

var outboxes = sync.Pool{New: func() any {
	o := &outbox{slab: make([]byte, 0, slabSize)}
	for i := range o.messages {
		o.messages[i].Vectors = o.vectors[i][:]
	}
	return o
}}

var errSendFlags = datagram.NewError(datagram.CodeInvalidArgument, "send flags are not supported by DTLS connections")

// SendMessages sends application messages, each as one record in one datagram
// (g_datagram_based_send_messages, G020-G025, G199). Addresses are ignored. A
// message that does not fit the MTU is IO error MESSAGE_TOO_LARGE, which names the
// maximum (G208); it is returned if it is the first, else the messages before it
// are sent and counted. A connection that has not made its handshake makes it
// first, as ReceiveMessages does.
func (c *DtlsConnection) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	if flags != 0 {
		return 0, errSendFlags
	}
	if len(messages) == 0 {
		return 0, c.idle(ctx, opWrite)
	}
	messages = messages[:min(len(messages), datagram.MaxMessages)]
	deadline := deadlineOf(timeout)
	if err := c.begin(ctx, opWrite, timeout, deadline); err != nil {
		return 0, err
	}
	n, err := c.send(ctx, messages, timeout, deadline)
	c.endWrite(opWrite)
	if err != nil {
		err = c.explain(ctx, opWrite, err)
	}
	return n, err
}

// send seals and sends messages in batches; the caller holds opWrite.
func (c *DtlsConnection) send(ctx context.Context, messages []datagram.OutputMessage, timeout time.Duration, deadline time.Time) (int, error) {
	most := plaintextWithin(c.mtu.size(), c.tx.sealer.Overhead())
	out := outboxes.Get().(*outbox)
	defer outboxes.Put(out)
	sent, bytes := 0, 0
	for sent < len(messages) {
		k, err := c.seal(out, messages[sent:], most)
		if k == 0 {
			if sent > 0 {
				break
			}
			return 0, err
		}
		n, err := c.pass(ctx, out.messages[:k], timeout, deadline)
		for i := range n {
			messages[sent+i].BytesSent = length(messages[sent+i].Vectors)
			bytes += messages[sent+i].BytesSent
		}
		sent += n
		if n < k || err != nil {
			// What was sealed but not sent is lost to nobody: its sequence
			// numbers are never used again.
			if sent == 0 {
				switch {
				case err == nil:
					err = datagram.ErrTimedOut
				case isTooLarge(err):
					err = c.tooLarge(length(messages[0].Vectors), err)
				}
				return 0, err
			}
			break
		}
	}
	c.stats.sent.Add(uint64(sent))
	c.stats.sentBytes.Add(uint64(bytes))
	return sent, nil
}

// pass gives records to the base. A base hardly ever makes one wait, so it is asked
// without at first: then the call need not be one that closing can interrupt.
func (c *DtlsConnection) pass(ctx context.Context, records []datagram.OutputMessage, timeout time.Duration, deadline time.Time) (int, error) {
	n, err := c.base.SendMessages(ctx, records, 0, 0)
	if n == 0 && isTooLarge(err) && c.fits(&records[0]) {
		n, err = c.base.SendMessages(ctx, records, 0, 0)
	}
	if timeout == 0 || n == len(records) || err != nil && !isWouldBlock(err) {
		return n, err
	}
	if timeout > 0 {
		timeout = max(remaining(deadline), 1) // 1: what fits may still go
	}
	inner, err := c.claims.interruptible(ctx, opWrite)
	if err != nil {
		return n, err
	}
	more, err := c.base.SendMessages(inner, records[n:], 0, timeout)
	return n + more, err
}

// seal seals as many messages as fit into the outbox.
func (c *DtlsConnection) seal(out *outbox, messages []datagram.OutputMessage, most int) (int, error) {
	slab := out.slab[:0]
	overhead := c.tx.sealer.Overhead()
	k := 0
	for ; k < len(messages) && k < sendBatch; k++ {
		size := length(messages[k].Vectors)
		if size > most {
			if k > 0 {
				break
			}
			return 0, c.tooLarge(size, nil)
		}
		if len(slab)+size+overhead > cap(slab) {
			break
		}
		start := len(slab)
		sealed, err := c.tx.sealer.Seal(slab, record.TypeApplicationData, messages[k].Vectors)
		if err != nil {
			if k > 0 {
				break
			}
			return 0, newTlsError(TlsErrorMisc, err, "cannot protect the message")
		}
		slab = sealed
		out.vectors[k][0] = slab[start:]
	}
	return k, nil
}

// endWrite ends opWrite or opCloseWrite, after what a reader has asked for meanwhile.
func (c *DtlsConnection) endWrite(op operation) {
	for {
		what := c.claims.takeControl(op)
		if what == 0 {
			return
		}
		c.sendControl(what)
	}
}

// askControl lets a control record be sent: now, or by the writer that is at work.
func (c *DtlsConnection) askControl(what control) {
	if c.claims.askControl(what) {
		c.endWrite(opWrite)
	}
}

// sendControl sends what a reader asked for, if the base takes it at once; the
// peer will ask again. The caller is the writer.
func (c *DtlsConnection) sendControl(what control) {
	if last := c.tx.last; what&controlLastFlight != 0 && last != nil {
		// An authenticated peer, but not one that may have us send for ever.
		if now := time.Now(); now.Sub(last.repeated) >= minimumRepetition {
			last.repeated = now
			if datagrams, err := last.flight.Datagrams(c.tx.sealer); err == nil {
				for _, d := range datagrams {
					c.sendRecord(d)
				}
			}
		}
	}
	if what&controlNoRenegotiation != 0 && !c.tx.notified && c.tx.sealer != nil {
		if d, err := c.tx.sealer.SealBytes(nil, record.TypeAlert, []byte{byte(alert.Warning), byte(alert.NoRenegotiation)}); err == nil {
			c.sendRecord(d)
		}
	}
}

// minimumRepetition is the least time between two repetitions of the last flight.
const minimumRepetition = 100 * time.Millisecond

// sendRecord sends one datagram without waiting, as well as it goes.
func (c *DtlsConnection) sendRecord(d []byte) {
	messages := [1]datagram.OutputMessage{{Vectors: [][]byte{d}}}
	_, _ = c.base.SendMessages(context.Background(), messages[:], 0, 0)
}

func length(vectors [][]byte) int {
	n := 0
	for _, v := range vectors {
		n += len(v)
	}
	return n
}
