package conn

import (
	"context"
	"time"

	"gdtls/datagram"
)

// engineBase is what an engine's connection runs over: one datagram in at a time, and
// those that go out.
type engineBase struct {
	address datagram.Address // of the peer; may be zero
	in      []byte           // what is to be received; nil: nothing
	out     [][]byte         // of which the first n wait to be taken; the rest is for reuse
	n       int
}

var errEngineWaits = datagram.NewError(datagram.CodeNotSupported, "the connection of an engine cannot wait: give what arrives to the engine")

// take gives the datagrams that wait, valid until the next one is sent.
func (b *engineBase) take() [][]byte {
	out := b.out[:b.n]
	b.n = 0
	return out
}

// RemoteAddress is the peer's address, zero if it was not set.
func (b *engineBase) RemoteAddress() datagram.Address { return b.address }

func (b *engineBase) ReceiveMessages(_ context.Context, messages []datagram.InputMessage, _ datagram.MsgFlags, timeout time.Duration) (int, error) {
	switch {
	case len(messages) == 0:
		return 0, nil
	case b.in == nil && timeout == 0:
		return 0, datagram.ErrWouldBlock
	case b.in == nil:
		return 0, errEngineWaits
	}
	scatter(&messages[0], b.in)
	messages[0].Address = b.address
	b.in = nil
	return 1, nil
}

func (b *engineBase) SendMessages(_ context.Context, messages []datagram.OutputMessage, _ datagram.MsgFlags, _ time.Duration) (int, error) {
	for i := range messages {
		if b.n == len(b.out) {
			b.out = append(b.out, nil)
		}
		d := b.out[b.n][:0]
		for _, v := range messages[i].Vectors {
			d = append(d, v...)
		}
		b.out[b.n] = d
		b.n++
		messages[i].BytesSent = len(d)
	}
	return len(messages), nil
}

func (b *engineBase) CreateSource(ctx context.Context, condition datagram.IOCondition) *datagram.Source {
	return datagram.NewSource(b, ctx, condition)
}

func (b *engineBase) ConditionCheck(condition datagram.IOCondition) datagram.IOCondition {
	now := datagram.Out
	if b.in != nil {
		now |= datagram.In
	}
	return condition & now
}

func (b *engineBase) ConditionWait(_ context.Context, condition datagram.IOCondition, _ time.Duration) error {
	if b.ConditionCheck(condition) != 0 {
		return nil
	}
	return errEngineWaits
}
