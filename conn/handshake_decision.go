package conn

import (
	"context"
	"errors"
	"time"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// answer gives the machine what it asks for. It is run by the driver's goroutine.
type answer func() error

// search looks for an answer and may take its time. It is run by a goroutine of its
// own, and leaves the driver and the machine alone.
type search func(ctx context.Context) answer

// decision is a question of which the answer is looked for. Meanwhile the driver goes
// on receiving, so that it hears of a peer that gives up, and keeps its times.
type decision struct {
	question handshake.Question
	ctx      context.Context // ends when the search does, or when nobody wants its answer any more
	end      context.CancelFunc
	found    chan struct{} // closed when the search has ended
	answer   answer        // valid then; nil: it did not return
}

// promptly is how long an answer is waited for before the driver goes back to the
// base: most come at once.
const promptly = time.Millisecond

// errNoAnswer is for a handler that ended its goroutine.
var errNoAnswer = newTlsError(TlsErrorMisc, errors.New("a handler or an object that was asked during the handshake ended its goroutine"), "no decision was made")

// decide answers the machine's question, or has that begun, and tells whether it is
// answered.
func (d *driver) decide() (bool, error) {
	p := d.decision
	if p == nil {
		give, look := d.question()
		if look == nil {
			return true, d.give(give)
		}
		p = d.look(look)
		timer := time.NewTimer(promptly)
		defer timer.Stop()
		select {
		case <-p.found:
		case <-timer.C:
			return false, nil
		}
	}
	select {
	case <-p.found:
	default:
		return false, nil
	}
	d.decision = nil
	if p.answer == nil {
		return false, errNoAnswer
	}
	return true, d.give(p.answer)
}

// give gives an answer to the machine. One that was cut short by the end of the
// handshake's context is none.
func (d *driver) give(a answer) error {
	if d.ctx.Err() != nil {
		return datagram.ErrorFromContext(d.ctx)
	}
	return a()
}

// look begins a search.
func (d *driver) look(search search) *decision {
	p := &decision{question: d.machine.Question(), found: make(chan struct{})}
	p.ctx, p.end = context.WithCancel(d.ctx)
	d.decision = p
	go func() {
		defer p.end()
		defer close(p.found)
		p.answer = search(p.ctx)
	}()
	return p
}

// dismiss ends a search whose answer nobody wants any more. Who is asked may go on for
// a while.
func (d *driver) dismiss() {
	if d.decision != nil {
		d.decision.end()
		d.decision = nil
	}
}

// asking tells whether the application is being asked, as opposed to a key.
func (d *driver) asking() bool {
	return d.decision != nil && d.decision.question != handshake.AskSignature
}
