package conn_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/datagram"
)

// A base that carries less than the default limits the handshake, the MTU and the
// messages, and setting more does not help.
func TestBaseLimitsMTU(t *testing.T) {
	a, b := datagram.NewPipe(datagram.WithMaxDatagram(600))
	p := newPairOver(t, a, b)
	mustHandshake(t, p) // in datagrams that the pipe takes
	for _, c := range p.both() {
		for _, wanted := range []int{1400, 9000, 500} {
			if err := c.SetMTU(wanted); err != nil {
				t.Fatal(err)
			}
			mtu := min(wanted, 600)
			if c.MTU() != mtu || c.MaximumMessageSize() != mtu-37 {
				t.Errorf("MTU %d was set: it is %d, for messages of %d", wanted, c.MTU(), c.MaximumMessageSize())
			}
			_, err := c.SendMessages(background, []datagram.OutputMessage{message(strings.Repeat("x", mtu-36))}, 0, -1)
			wantIO(t, err, datagram.CodeMessageTooLarge)
		}
	}
	long := strings.Repeat("x", 463)
	send(t, p.client, long)
	receive(t, p.server, long)
}

// A connection upon a connection takes that one's longest message for its MTU.
func TestMTUOfConnectionUponConnection(t *testing.T) {
	outer := connected(t)
	p := newPairOver(t, outer.client, outer.server)
	mustHandshake(t, p)
	if got := p.client.MaximumMessageSize(); got != 1400-2*37 {
		t.Error(got)
	}
	converse(t, p)
}

// narrow is a pipe whose path can become narrower.
type narrow struct {
	*datagram.Pipe
	most    atomic.Int64 // bytes that it carries
	asked   atomic.Int64
	pending atomic.Int64 // calls that fail since a network told of an earlier datagram
	silent  bool         // it does not tell what it carries
}

var errPath = datagram.NewError(datagram.CodeMessageTooLarge, "the path is narrow")

func (n *narrow) MaximumMessageSize() int {
	n.asked.Add(1)
	if n.silent {
		return 0
	}
	return int(n.most.Load())
}

func (n *narrow) told() bool {
	for {
		pending := n.pending.Load()
		if pending == 0 {
			return false
		}
		if n.pending.CompareAndSwap(pending, pending-1) {
			return true
		}
	}
}

func (n *narrow) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	if n.told() {
		return 0, errPath
	}
	for i := range messages {
		if int64(len(bytes.Join(messages[i].Vectors, nil))) > n.most.Load() {
			if messages = messages[:i]; i == 0 {
				return 0, errPath
			}
			break
		}
	}
	return n.Pipe.SendMessages(ctx, messages, flags, timeout)
}

func (n *narrow) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	if n.told() {
		return 0, errPath
	}
	return n.Pipe.ReceiveMessages(ctx, messages, flags, timeout)
}

func newNarrow(most int, silent bool) (*narrow, *datagram.Pipe) {
	a, b := datagram.NewPipe()
	n := &narrow{Pipe: a, silent: silent}
	n.most.Store(int64(most))
	return n, b
}

// When a path becomes narrower, the error names the new maximum; what fits goes
// through. The base is not asked for each message.
func TestPathBecomesNarrower(t *testing.T) {
	base, other := newNarrow(9000, false)
	p := newPairOver(t, base, other)
	mustHandshake(t, p)
	asked := base.asked.Load()
	for range 10 {
		send(t, p.client, strings.Repeat("x", 1363))
	}
	if now := base.asked.Load(); now != asked {
		t.Errorf("the base was asked %d times", now-asked)
	}
	base.most.Store(800)
	long := message(strings.Repeat("x", 764))
	n, err := p.client.SendMessages(background, []datagram.OutputMessage{message("a"), long, message("b")}, 0, -1)
	if n != 1 || err != nil {
		t.Errorf("sent %d, %v", n, err)
	}
	n, err = p.client.SendMessages(background, []datagram.OutputMessage{long, message("b")}, 0, -1)
	want := "message of size 764 bytes is too large for DTLS connection (maximum is 763 bytes): the path is narrow"
	if n != 0 || ioCode(err) != datagram.CodeMessageTooLarge || err.Error() != want || !errors.Is(err, errPath) {
		t.Errorf("sent %d, %v", n, err)
	}
	if got := p.client.MaximumMessageSize(); got != 763 {
		t.Errorf("longest message has %d bytes", got)
	}
	send(t, p.client, strings.Repeat("x", 763))

	base.most.Store(9000) // and wider again, which is noticed when somebody asks
	if got := p.client.MaximumMessageSize(); got != 1363 {
		t.Errorf("longest message has %d bytes", got)
	}
	send(t, p.client, strings.Repeat("x", 1363))
}

// A network may tell that a datagram was too large when another one is sent, or
// while the answer is waited for. Neither call has to fail.
func TestPathTellsLater(t *testing.T) {
	base, other := newNarrow(1400, false)
	p := newPairOver(t, base, other)
	mustHandshake(t, p)
	base.most.Store(800)
	base.pending.Store(1)
	send(t, p.client, "x")
	receive(t, p.server, "x")
	send(t, p.server, "y")
	base.pending.Store(1)
	receive(t, p.client, "y")
	if got := p.client.TestMTU(); got != 800 {
		t.Errorf("the connection takes %d for the MTU", got)
	}
	// But not for ever.
	base.pending.Store(2)
	_, _, err := receiveOne(p.client, -1)
	wantIO(t, err, datagram.CodeMessageTooLarge)
	base.pending.Store(2)
	wantIO(t, sendOne(p.client, -1), datagram.CodeMessageTooLarge)
	base.pending.Store(0)
	converse(t, p)
}

// On a path that does not tell how narrow it is, flights shrink when they do not
// get through, and an error says what is known.
func TestPathThatDoesNotTell(t *testing.T) {
	bubble(t, func(t *testing.T) {
		base, other := newNarrow(700, true)
		p := newPairOver(t, other, base) // the server has the long flights
		mustHandshake(t, p)
		_, err := p.server.SendMessages(background, []datagram.OutputMessage{message(strings.Repeat("x", 1000))}, 0, -1)
		want := "message of size 1000 bytes makes a datagram that is too large for the base, which does not tell its maximum: the path is narrow"
		if ioCode(err) != datagram.CodeMessageTooLarge || err.Error() != want {
			t.Error(err)
		}
		converse(t, p)
	})
	bubble(t, func(t *testing.T) {
		base, _ := newNarrow(100, true)
		client := newClient(t, base)
		err := client.Handshake(background)
		wantIO(t, err, datagram.CodeMessageTooLarge)
		if !errors.Is(err, errPath) {
			t.Error(err)
		}
	})
}
