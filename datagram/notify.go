package datagram

import (
	"context"
	"sync"
)

// ConditionNotifier is what a datagram object may be besides, so that whoever watches
// it needs no goroutine while nothing happens. Socket, Pipe and DTLS connections are.
type ConditionNotifier interface {
	// ConditionNotify calls wake when one of the conditions, Err or Hup may have
	// become true since the call, until stop is called: at least once, perhaps
	// without cause, and after that not necessarily again. A condition that was
	// true before need not be told, so the caller looks after it has registered. An
	// error means that the object cannot be watched.
	//
	// wake is called while locks are held: it must not block, and must not call the
	// object. It may still be called while stop is.
	ConditionNotify(condition IOCondition, wake func(error)) (stop func())
}

// ConditionNotify is obj's own method if it is a [ConditionNotifier]. On behalf of
// others a goroutine waits with ConditionWait.
func ConditionNotify(obj DatagramBased, condition IOCondition, wake func(error)) (stop func()) {
	if n, ok := obj.(ConditionNotifier); ok {
		return n.ConditionNotify(condition, wake)
	}
	return new(poller).notify(obj, condition, wake)
}

// poller watches an object for many. It has one goroutine, while somebody is
// registered.
type poller struct {
	mu         sync.Mutex
	registered map[*registration]struct{} // guarded by mu
	watched    IOCondition                // what the goroutine waits for; guarded by mu
	interrupt  context.CancelFunc         // makes it look again; nil: there is none; guarded by mu
}

type registration struct {
	condition IOCondition
	wake      func(error)
}

// notify is ConditionNotify of an object, whose poller it is. Who was woken is not
// registered any more.
func (p *poller) notify(obj DatagramBased, condition IOCondition, wake func(error)) (stop func()) {
	r := &registration{condition, wake}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.registered == nil {
		p.registered = map[*registration]struct{}{}
	}
	p.registered[r] = struct{}{}
	switch {
	case p.interrupt == nil:
		p.interrupt = func() {}
		go p.run(obj)
	case condition&^p.watched != 0:
		p.interrupt()
	}
	return func() { p.forget(r) }
}

func (p *poller) forget(r *registration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.registered, r)
	if len(p.registered) == 0 && p.interrupt != nil {
		p.interrupt()
	}
}

// run waits for all who are registered, until nobody is.
func (p *poller) run(obj DatagramBased) {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		condition, more := p.next(cancel)
		if !more {
			cancel()
			return
		}
		err := obj.ConditionWait(ctx, condition, -1)
		interrupted := ctx.Err() != nil
		cancel()
		var now IOCondition
		switch {
		case err == nil:
			now = obj.ConditionCheck(condition)
		case interrupted:
			continue
		}
		for _, r := range p.take(now, err != nil) {
			r.wake(err)
		}
	}
}

// next gives what is to be waited for, and whether there is anything.
func (p *poller) next(cancel context.CancelFunc) (condition IOCondition, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.registered) == 0 {
		p.interrupt = nil
		return 0, false
	}
	p.watched = 0
	for r := range p.registered {
		p.watched |= r.condition
	}
	p.interrupt = cancel
	return p.watched, true
}

// take removes those for whom something is true, or all.
func (p *poller) take(now IOCondition, all bool) (taken []*registration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.registered {
		if all || now&(r.condition|always) != 0 {
			delete(p.registered, r)
			taken = append(taken, r)
		}
	}
	return taken
}
