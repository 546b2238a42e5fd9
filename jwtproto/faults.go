package jwtproto

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Faults spoils replies, so that a class can see what its clients make of it. Each is
// decided on by itself, in the order of the fields; probabilities are from 0 (never) to
// 1 (always). Make one with NewFaults.
type Faults struct {
	// Drop is how likely a reply is not sent.
	Drop float64
	// WrongSignature is how likely a reply is signed wrongly.
	WrongSignature float64
	// Duplicate is how likely a reply is sent twice.
	Duplicate float64
	// WrongOrder is how likely a reply is kept until after the next one, or half a
	// second if none comes.
	WrongOrder float64
	// Delay is how likely a reply is sent DelayTime later.
	Delay     float64
	DelayTime time.Duration

	mu     sync.Mutex
	random *rand.Rand
	kept   *keptReply
	late   int // replies that wait for their time
}

const (
	keepTime = 500 * time.Millisecond
	maxLate  = 4096 // replies that wait at once; further ones are not delayed
)

// keptReply is one that waits for the next to overtake it.
type keptReply struct {
	reply
	timer *time.Timer
}

// NewFaults makes Faults that does nothing yet. With the same seed it decides the same.
func NewFaults(seed uint64) *Faults { return &Faults{random: rand.New(rand.NewPCG(seed, 0))} }

// spoil puts the reply, or what becomes of it, and reports whether that is something
// else.
func (f *Faults) spoil(r reply, put func(reply)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	chance := func(p float64) bool { return p > 0 && f.random.Float64() < p }
	spoiled := false
	if chance(f.Drop) {
		return true
	}
	if chance(f.WrongSignature) {
		r.token = wrongSignature(r.token)
		spoiled = true
	}
	if chance(f.Duplicate) {
		put(r)
		spoiled = true
	}
	if f.kept == nil && chance(f.WrongOrder) {
		f.keep(r, put)
		return true
	}
	if f.late < maxLate && chance(f.Delay) {
		f.late++
		r.outlet.pending.Add(1)
		time.AfterFunc(f.DelayTime, func() {
			defer r.outlet.pending.Add(-1)
			put(r)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.late--
		})
		spoiled = true
	} else {
		put(r)
	}
	if f.kept != nil && f.kept.timer.Stop() {
		put(f.kept.reply)
		f.kept.outlet.pending.Add(-1)
		f.kept = nil
	}
	return spoiled
}

// keep holds a reply back. The caller holds mu.
func (f *Faults) keep(r reply, put func(reply)) {
	k := &keptReply{reply: r}
	r.outlet.pending.Add(1)
	k.timer = time.AfterFunc(keepTime, func() {
		defer r.outlet.pending.Add(-1)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.kept == k {
			f.kept = nil
		}
		put(k.reply)
	})
	f.kept = k
}

// wrongSignature changes a character in the middle of a token's signature.
func wrongSignature(token []byte) []byte {
	wrong := append([]byte(nil), token...)
	at := len(wrong) - 20
	if wrong[at] == 'A' {
		wrong[at] = 'B'
	} else {
		wrong[at] = 'A'
	}
	return wrong
}
