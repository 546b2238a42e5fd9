package serverconn

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/datagram"
	"gdtls/internal/handshake"
	"gdtls/internal/record"
)

const (
	readBatch = 32
	// replyRoom is more than a HelloVerifyRequest takes.
	replyRoom = 64
	// After patientErrors errors of the base in a row the reader pauses between
	// attempts, so that an error that lasts does not take a whole processor.
	patientErrors = 16
	errorPause    = 5 * time.Millisecond
)

// reader reads the base for all peers. It never waits for a peer, a handshake or
// the application.
type reader struct {
	l        *DtlsListener
	messages [readBatch]datagram.InputMessage
	name     []byte // scratch: the sender's name for its cookie
	replies  replies
	sweeper  sweeper

	hellos, handshakes rateLimiter
}

// replies are the answers to the hellos of a batch.
type replies struct {
	messages [readBatch]datagram.OutputMessage
	vectors  [readBatch][1][]byte
	slab     []byte
	n        int
}

// read is the reader's goroutine.
func (l *DtlsListener) read() {
	defer close(l.done)
	r := newReader(l)
	defer r.sweeper.closers.Wait()
	failures := 0
	for {
		n, err := l.base.ReceiveMessages(l.reading, r.messages[:], datagram.MsgWaitForOne, r.sweeper.wait())
		switch {
		case err == nil && n == 0:
			l.fail(datagram.NewError(datagram.CodeClosed, "base of the listener has ended"))
			return
		case err == nil:
			failures = 0
			r.takeBatch(r.messages[:n])
		case l.reading.Err() != nil:
			return
		case errors.Is(err, datagram.ErrClosed), errors.Is(err, datagram.ErrNotSupported), errors.Is(err, datagram.ErrInvalidArgument):
			l.fail(datagram.NewError(datagram.CodeClosed, "base of the listener cannot be read: %w", err))
			return
		case !errors.Is(err, datagram.ErrTimedOut):
			// Such as the news that an earlier datagram did not arrive.
			if failures++; failures > patientErrors {
				pause(l.reading, errorPause)
			}
		}
		r.sweeper.look(l, time.Now())
	}
}

func newReader(l *DtlsListener) *reader {
	r := &reader{l: l}
	vectors := make([][]byte, readBatch)
	for i := range r.messages {
		vectors[i] = make([]byte, largePacket)
		r.messages[i].Vectors = vectors[i : i+1]
		r.replies.messages[i].Vectors = r.replies.vectors[i][:]
	}
	r.replies.slab = make([]byte, 0, readBatch*replyRoom)
	now := time.Now()
	r.hellos = newRateLimiter(l.config.helloRate, now)
	r.handshakes = newRateLimiter(l.config.handshakeRate, now)
	r.sweeper.begin(l.config.idleTimeout, now)
	return r
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// fail ends the listener and all connections, since nothing can be received.
func (l *DtlsListener) fail(why error) {
	l.close(why)
	for _, p := range l.table.appendAll(nil) {
		p.end(why)
	}
	l.stopRead()
}

// takeBatch hands datagrams to their peers and answers hellos.
func (r *reader) takeBatch(messages []datagram.InputMessage) {
	now := time.Now()
	r.l.counters.datagrams.Add(uint64(len(messages)))
	for i := range messages {
		m := &messages[i]
		r.take(m.Vectors[0][:m.BytesReceived], m.Address, now)
	}
	r.reply()
	if c := r.l.crew.Load(); c != nil {
		c.kick()
	}
}

func (r *reader) take(data []byte, from datagram.Address, now time.Time) {
	l := r.l
	if !from.IsValid() || !record.LooksLikeDTLS(data) {
		l.counters.unknown.Add(1)
		return
	}
	p, successor := l.table.find(from)
	if p == nil || isClientHello(data) {
		r.takeHello(data, from, p, successor, now)
		return
	}
	if successor != nil {
		// Its handshake is under way beside an older association. What is of the
		// handshake can only be meant for it; what else is protected may be for either,
		// and the other drops it.
		l.deliver(successor, data)
		if isOfHandshake(data) {
			return
		}
	}
	l.deliver(p, data)
}

// isClientHello tells whether a datagram begins with an unprotected ClientHello.
func isClientHello(data []byte) bool {
	const clientHello = 1
	return isUnprotected(data) && data[0] == byte(record.TypeHandshake) &&
		len(data) > record.HeaderSize && data[record.HeaderSize] == clientHello
}

// isUnprotected tells whether the first record is of epoch 0.
func isUnprotected(data []byte) bool { return data[3] == 0 && data[4] == 0 }

func isOfHandshake(data []byte) bool {
	return isUnprotected(data) || data[0] == byte(record.TypeHandshake)
}

// takeHello takes the datagram of an unknown sender, or the hello of a known one.
func (r *reader) takeHello(data []byte, from datagram.Address, p, successor *peer, now time.Time) {
	l := r.l
	out := &r.replies
	verified, slab := r.verifyHello(data, from, now)
	switch {
	case verified != nil:
		l.counters.verified.Add(1)
		r.takeVerified(verified, data, from, p, successor, now)
	case slab == nil:
		l.counters.unknown.Add(1)
	case !r.hellos.allow(from, now):
		l.counters.limited.Add(1)
	default:
		l.counters.hellos.Add(1)
		out.add(from, slab)
	}
}

// verifyHello looks for a hello with a cookie, or with a ticket that does for one; slab
// is the replies' with the one more that asks for a cookie, nil for none.
func (r *reader) verifyHello(data []byte, from datagram.Address, now time.Time) (verified *handshake.VerifiedHello, slab []byte) {
	l := r.l
	if sessions := l.config.sessions; sessions != nil {
		r.name = from.AppendHostTo(r.name[:0])
		if verified = sessions.machine.VerifyHello(data, r.name, now); verified != nil {
			return verified, nil
		}
	}
	r.name = from.AppendTo(r.name[:0])
	verified, slab = l.cookies.VerifyHello(data, r.name, r.replies.slab, now)
	if verified != nil {
		verified.SetHost(from.AppendHostTo(r.name[:0]))
	}
	return verified, slab
}

// add adds the reply that slab has more than the slab so far.
func (out *replies) add(to datagram.Address, slab []byte) {
	out.vectors[out.n][0] = slab[len(out.slab):]
	out.messages[out.n].Address = to
	out.slab = slab
	out.n++
}

// takeVerified takes a hello with the right cookie, or with a ticket that does for one: a repeated one is for the peer
// that it has begun, any other begins one.
func (r *reader) takeVerified(verified *handshake.VerifiedHello, data []byte, from datagram.Address, p, successor *peer, now time.Time) {
	l := r.l
	switch random := verified.Hello.Random; {
	case p != nil && p.random == random:
		l.deliver(p, data)
	case successor != nil && successor.random == random:
		l.deliver(successor, data)
	case !r.handshakes.allow(from, now):
		l.counters.limited.Add(1)
	case !l.authorized(&ClientHello{from, verified}):
		l.counters.unauthorized.Add(1)
		r.replies.add(from, verified.AppendAlert(r.replies.slab, alert.AccessDenied))
	default:
		l.admit(from, verified, p != nil)
	}
}

func (l *DtlsListener) deliver(p *peer, data []byte) {
	if !p.queue.push(data) {
		l.counters.dropped.Add(1)
		return
	}
	if w := p.worker.Load(); w != nil {
		w.schedule(p)
	}
}

// reply sends the answers to the hellos of the batch. What the base does not take at
// once is lost: the client will repeat its hello.
func (r *reader) reply() {
	out := &r.replies
	if out.n == 0 {
		return
	}
	sent := 0
	for sent < out.n {
		n, err := r.l.base.SendMessages(r.l.reading, out.messages[sent:out.n], 0, 0)
		sent += n
		if isWouldBlock(err) || n == 0 && err == nil {
			break
		}
		if err != nil {
			sent++ // an address that cannot be reached
			r.l.counters.unanswered.Add(1)
		}
	}
	r.l.counters.unanswered.Add(uint64(out.n - sent))
	out.slab, out.n = out.slab[:0], 0
}

// sweeper finds connections that are idle.
type sweeper struct {
	timeout time.Duration // 0: none is too long
	start   time.Time
	every   time.Duration
	next    time.Time
	closers sync.WaitGroup
}

// sweepsPerTimeout is how often a connection is looked at in the time after which
// it is idle.
const sweepsPerTimeout = 8

func (s *sweeper) begin(timeout time.Duration, now time.Time) {
	s.timeout, s.start = timeout, now
	s.every = max(timeout/sweepsPerTimeout, time.Millisecond)
	s.next = now.Add(s.every)
}

// wait is how long the reader may wait for a datagram.
func (s *sweeper) wait() time.Duration {
	if s.timeout == 0 {
		return -1
	}
	return max(time.Until(s.next), 1)
}

// look closes, in a goroutine, the connections that have become idle.
func (s *sweeper) look(l *DtlsListener, now time.Time) {
	if s.timeout == 0 || now.Before(s.next) {
		return
	}
	s.next = now.Add(s.every)
	elapsed := max(now.Sub(s.start), 1)
	peers := l.table.appendAll(nil)
	expired := peers[:0]
	for _, p := range peers {
		c := p.connection.Load()
		if c == nil {
			continue // it has the deadline of its handshake
		}
		stats := c.Stats()
		if messages := stats.Sent + stats.Received; p.idle.since == 0 || messages != p.idle.messages {
			p.idle = idleness{messages: messages, since: elapsed}
		} else if elapsed-p.idle.since >= s.timeout {
			p.idle.since = elapsed // it is told once
			expired = append(expired, p)
		}
	}
	if len(expired) == 0 {
		return
	}
	l.counters.idle.Add(uint64(len(expired)))
	s.closers.Go(func() { _ = closeAll(l.reading, expired) })
}
