package jwtproto

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"gdtls/datagram"
)

const (
	sendBatch = 64
	// sendTime is how long a full socket may hold up a batch of replies.
	sendTime = 50 * time.Millisecond
)

// outlet is a datagram object that replies go to: the socket, or a DTLS connection.
type outlet struct {
	to      datagram.DatagramBased
	pending *atomic.Int64 // answers that are still to come, of all outlets of a socket
}

// reply is an answer on its way.
type reply struct {
	outlet  *outlet
	address datagram.Address
	token   []byte
}

// post puts a reply into the outbox, spoiled if the server is to spoil it.
func (s *Server) post(r reply) {
	if s.config.Faults == nil {
		s.put(r)
		return
	}
	if s.config.Faults.spoil(r, s.put) {
		s.counters.spoiled.Add(1)
	}
}

func (s *Server) put(r reply) {
	r.outlet.pending.Add(1)
	select {
	case s.outbox <- r:
	case <-s.done:
		r.outlet.pending.Add(-1)
	}
}

// send sends the replies that wait, those to one outlet in one call, and there those to
// one address one after another: such of the same length are one message to the socket.
func (s *Server) send() error {
	batch := make([]reply, 0, sendBatch)
	messages := make([]datagram.OutputMessage, sendBatch)
	vectors := make([][]byte, sendBatch)
	for {
		select {
		case <-s.done:
			return nil
		case r := <-s.outbox:
			batch = append(batch[:0], r)
		}
		for more := true; more && len(batch) < sendBatch; {
			select {
			case r := <-s.outbox:
				batch = append(batch, r)
			default:
				more = false
			}
		}
		together(batch)
		for rest := batch; len(rest) > 0; {
			n := 0
			for ; n < len(rest) && rest[n].outlet == rest[0].outlet; n++ {
				vectors[n] = rest[n].token
				messages[n] = datagram.OutputMessage{Address: rest[n].address, Vectors: vectors[n : n+1]}
			}
			s.flush(rest[0].outlet.to, messages[:n])
			rest[0].outlet.pending.Add(int64(-n))
			rest = rest[n:]
		}
		clear(batch)
	}
}

// together puts replies to one place next to each other. Those to one place keep their
// order.
func together(replies []reply) {
	for len(replies) > 1 {
		first, n := &replies[0], 1
		for i := 1; i < len(replies); i++ {
			if r := replies[i]; r.outlet == first.outlet && r.address == first.address {
				copy(replies[n+1:i+1], replies[n:i])
				replies[n] = r
				n++
			}
		}
		replies = replies[n:]
	}
}

// flush sends messages. One that the network refuses is left out and does not keep back
// the others.
func (s *Server) flush(to datagram.DatagramBased, messages []datagram.OutputMessage) {
	for len(messages) > 0 {
		n, err := to.SendMessages(context.Background(), messages, datagram.MsgNone, sendTime)
		messages = messages[n:]
		if err == nil {
			continue
		}
		s.config.Logger.Debug("a reply was not sent", "error", err)
		if errors.Is(err, datagram.ErrClosed) || errors.Is(err, datagram.ErrTimedOut) {
			s.counters.unsent.Add(uint64(len(messages)))
			return
		}
		s.counters.unsent.Add(1)
		messages = messages[1:]
	}
}
