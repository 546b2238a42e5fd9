package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"gdtls/datagram"
)

// An end sends and receives the datagrams of one side. One goroutine at a time uses
// it; interrupt may be called by others.
type end interface {
	// send sends n datagrams, at most a batch.
	send(n int) error
	// receive waits for a datagram, takes what else is there up to a batch, and
	// tells how many came. After interrupt it is 0.
	receive() (int, error)
	// begin makes receive wait, after an interrupt and in the beginning.
	begin()
	interrupt()
	close() error
}

// messageEnd sends and receives by vectors of messages.
type messageEnd struct {
	object  datagram.DatagramBased
	closing func() error
	size    int // of a datagram
	in      []datagram.InputMessage
	out     []datagram.OutputMessage // from the same buffers, so that send answers what receive got

	ctx  context.Context
	stop atomic.Pointer[context.CancelFunc]
}

func newMessageEnd(object datagram.DatagramBased, size, batch int, closing func() error) *messageEnd {
	e := &messageEnd{
		object: object, closing: closing, size: size,
		in: make([]datagram.InputMessage, batch), out: make([]datagram.OutputMessage, batch),
	}
	for i := range batch {
		vectors := [][]byte{make([]byte, size)}
		e.in[i].Vectors, e.out[i].Vectors = vectors, vectors
	}
	e.begin()
	return e
}

func (e *messageEnd) send(n int) error {
	for sent := 0; sent < n; {
		count, err := e.object.SendMessages(context.Background(), e.out[sent:n], 0, -1)
		if err != nil {
			return err
		}
		sent += count
	}
	return nil
}

func (e *messageEnd) receive() (int, error) {
	n, err := e.object.ReceiveMessages(e.ctx, e.in, datagram.MsgWaitForOne, -1)
	switch {
	case err != nil && e.ctx.Err() != nil:
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, errors.New("the other side has closed")
	}
	for i := range n {
		if e.in[i].BytesReceived != e.size || e.in[i].Flags&datagram.MsgTrunc != 0 {
			return 0, wrongSize(e.in[i].BytesReceived, e.size)
		}
	}
	return n, nil
}

func (e *messageEnd) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	if previous := e.stop.Swap(&cancel); previous != nil {
		(*previous)()
	}
	e.ctx = ctx
}

func (e *messageEnd) interrupt() { (*e.stop.Load())() }

func (e *messageEnd) close() error {
	e.interrupt()
	return e.closing()
}

// netEnd sends and receives one datagram a call.
type netEnd struct {
	conn    net.Conn
	closing func() error
	out, in []byte // in has room for one byte more than a datagram has
}

func newNetEnd(conn net.Conn, size int, closing func() error) *netEnd {
	return &netEnd{conn: conn, closing: closing, out: make([]byte, size), in: make([]byte, size+1)}
}

func (e *netEnd) send(n int) error {
	for range n {
		if _, err := e.conn.Write(e.out); err != nil {
			return err
		}
	}
	return nil
}

func (e *netEnd) receive() (int, error) {
	n, err := e.conn.Read(e.in)
	switch {
	case err != nil:
		return 0, unlessTimeout(err)
	case n != len(e.out):
		return 0, wrongSize(n, len(e.out))
	}
	return 1, nil
}

// unlessTimeout gives the error if it is not that of a deadline.
func unlessTimeout(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	return err
}

func (e *netEnd) begin()     { _ = e.conn.SetReadDeadline(time.Time{}) }
func (e *netEnd) interrupt() { _ = e.conn.SetReadDeadline(time.Unix(1, 0)) }

func (e *netEnd) close() error { return e.closing() }

func wrongSize(got, want int) error {
	return fmt.Errorf("received a datagram of %d bytes where all have %d", got, want)
}
