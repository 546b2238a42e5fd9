package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gdtls/datagram"
)

// A source gives the messages to send, one at each call, and io.EOF after the last
// one. When ctx ends it gives the error of that.
type source func(ctx context.Context) ([]byte, error)

// texts gives texts.
func texts(list []string) source {
	return func(ctx context.Context) ([]byte, error) {
		if len(list) == 0 {
			return nil, io.EOF
		}
		text := list[0]
		list = list[1:]
		return []byte(text), ctx.Err()
	}
}

// typed gives lines of standard input.
func typed(in *lines) source {
	return func(ctx context.Context) ([]byte, error) {
		text, err := in.line(ctx)
		return []byte(text), err
	}
}

// pings gives count numbered pings, one every interval. Those with a size are the
// sentence, filled up or cut.
func pings(name string, count, size int, interval time.Duration) source {
	sent := 0
	return func(ctx context.Context) ([]byte, error) {
		if sent == count {
			return nil, io.EOF
		}
		if sent > 0 && interval > 0 {
			timer := time.NewTimer(interval)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		sent++
		text := fmt.Sprintf("I am %s, please, accept our ping %d", name, sent)
		if size > 0 {
			text = (text + strings.Repeat(".", size))[:size]
		}
		return []byte(text), ctx.Err()
	}
}

// talk is the conversation of a client after its handshake.
type talk struct {
	client        *client
	out           *output
	source        source
	wait          time.Duration // for replies, once all is sent
	shutdownWrite bool
	openEnded     bool // the server may end it at any time
	person        bool // somebody reads along: the end of the input is the end

	sent    int
	replies int           // owned by the receiver until it ends; told by arrived
	arrived chan int      // how many replies there are, the latest only
	ended   chan struct{} // closed when nothing will be received any more
	failure error         // why, nil for the server's close_notify; set before ended
}

// run sends what the source gives, receives what comes, and closes. The error is
// nil if all was sent and the connection ended well.
func (t *talk) run(ctx context.Context) error {
	began := time.Now()
	t.arrived = make(chan int, 1)
	t.ended = make(chan struct{})
	go t.receive()
	if t.person {
		t.out.emit(note{"each line you type is sent; Ctrl-D ends"})
	}
	complete, sendErr := t.send(ctx)
	if complete && sendErr == nil {
		sendErr = t.drain(ctx)
	}
	serverClosed := t.isEnded()
	t.client.close()
	<-t.ended
	e := closed{Peer: t.client.PeerAddress().String(), Clean: true, Reason: "closed by this side with close_notify"}
	err := sendErr
	switch {
	case serverClosed && t.failure != nil:
		e.Clean, e.Reason = false, t.failure.Error()
		err = t.failure
	case serverClosed:
		e.Reason = "closed by the server with close_notify"
		if !complete && !t.openEnded && err == nil {
			err = datagram.NewError(datagram.CodeConnectionClosed, "the server closed the connection after %d messages, before all were sent", t.sent)
		}
	case ctx.Err() != nil && !t.person:
		e.Reason = "interrupted"
		err = datagram.NewError(datagram.CodeCancelled, "interrupted after %d messages", t.sent)
	}
	if err == nil && complete && !t.person && t.replies < t.sent && t.wait > 0 {
		t.out.emit(warning{Message: fmt.Sprintf("%d of %d messages were answered within %v (--wait)", t.replies, t.sent, t.wait)})
	}
	t.out.emit(e)
	if err == nil && t.sent > 1 {
		t.out.emit(note{fmt.Sprintf("%d sent, %d received in %v", t.sent, t.replies, time.Since(began).Round(100*time.Microsecond))})
	}
	return err
}

// receive tells of what comes until the connection ends.
func (t *talk) receive() {
	defer close(t.ended)
	peer := t.client.PeerAddress().String()
	buf := make([]byte, maxMessage)
	for {
		n, _, err := datagram.ReceiveOne(context.Background(), t.client, buf, -1)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, datagram.ErrClosed):
			return
		case err != nil:
			t.failure = err
			return
		}
		t.out.emit(newReceived(peer, buf[:n]))
		t.replies++
		select {
		case <-t.arrived:
		default:
		}
		t.arrived <- t.replies
	}
}

func (t *talk) isEnded() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// send sends what the source gives; complete tells that it came to its end.
func (t *talk) send(ctx context.Context) (complete bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // nothing more is sent once the server has closed
		select {
		case <-t.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		message, err := t.source(ctx)
		switch {
		case err == io.EOF:
			return true, nil
		case ctx.Err() != nil:
			return false, nil
		case err != nil:
			return false, fmt.Errorf("cannot read what to send: %w", err)
		}
		if !t.person { // who has just typed it
			t.out.emit(sent{string(message)}) // before, so that it stands above its reply
		}
		err = datagram.SendOne(ctx, t.client, message, datagram.Address{}, sendTime)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return false, nil
		case t.openEnded && errors.Is(err, datagram.ErrMessageTooLarge):
			t.out.emit(warning{Message: "not sent: " + err.Error()})
			continue
		default:
			return false, fmt.Errorf("cannot send: %w", err)
		}
		t.sent++
	}
}

// drain waits for what the server still has to say.
func (t *talk) drain(ctx context.Context) error {
	if t.shutdownWrite {
		if err := t.client.Shutdown(ctx, false, true); err != nil {
			return err
		}
		t.out.emit(note{"sending side closed, reading on"})
	} else if t.person {
		return nil
	}
	timer := time.NewTimer(t.wait)
	defer timer.Stop()
	replies := 0
	for t.shutdownWrite || replies < t.sent {
		select {
		case replies = <-t.arrived:
		case <-t.ended:
			return nil
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
