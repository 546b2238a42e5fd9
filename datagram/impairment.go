package datagram

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Impairment says what an Impaired does to the datagrams of each direction. The
// zero value does nothing.
type Impairment struct {
	// Seed makes the decisions. With the same seed, the k-th datagram of a
	// direction meets the same fate in every run, whatever its contents and its
	// timing.
	Seed    uint64
	Send    Profile
	Receive Profile
}

// Profile is what happens to the datagrams of one direction. Each decision is
// made on its own, in the order of the fields; probabilities are from 0 (never)
// to 1 (always).
type Profile struct {
	// Filter, if not nil, is asked about each datagram first. index counts the
	// direction's datagrams from 0. It may change the bytes of datagram, which is
	// a copy. It is called by one goroutine at a time, under a lock: it must not
	// call the Impaired.
	Filter func(index int, datagram []byte) Verdict
	// DropFirst is how many datagrams are dropped at the beginning.
	DropFirst int

	Drop      float64 // it vanishes
	Truncate  float64 // its end is cut off, at a random place
	Corrupt   float64 // one random bit of it is turned over
	Duplicate float64 // it arrives twice
	Reorder   float64 // the next one overtakes it

	// Delay is how much later every datagram arrives, Jitter the most that is
	// added to it at random. Datagrams with a jitter overtake each other.
	Delay, Jitter time.Duration
	// Hold is how long a reordered datagram waits for one that overtakes it, 10 ms
	// if it is 0. With a Delay or a Jitter it always waits that long.
	Hold time.Duration
}

// Verdict is what a filter decides about a datagram.
type Verdict int

// A filter leaves the decision to the probabilities or makes it itself. Delay
// and Jitter hold for all that is not dropped.
const (
	VerdictChance    Verdict = iota // the probabilities decide
	VerdictPass                     // it passes unchanged
	VerdictDrop                     // it vanishes
	VerdictTruncate                 // its end is cut off
	VerdictCorrupt                  // one bit of it is turned over
	VerdictDuplicate                // it arrives twice
	VerdictReorder                  // the next one overtakes it
)

// ImpairmentStats counts what an Impaired did.
type ImpairmentStats struct{ Send, Receive ProfileStats }

// ProfileStats counts what happened to the datagrams of one direction.
type ProfileStats struct {
	Datagrams   uint64 // that came
	Dropped     uint64
	Truncated   uint64
	Corrupted   uint64
	Duplicated  uint64
	Reordered   uint64
	Delayed     uint64
	Overflowed  uint64 // dropped since too many were held back
	Undelivered uint64 // held back ones that the base did not take in the end
}

// mostHeld is how many datagrams are held back at once in one direction.
const mostHeld = 1024

// defaultHold is Hold where it is 0.
const defaultHold = 10 * time.Millisecond

// lane is one direction of an Impaired: its profile, its random source and the
// datagrams it holds back. The Impaired's mutex guards it.
type lane struct {
	profile Profile
	random  *rand.Rand
	index   int
	serial  int
	held    []heldPacket // by due, then serial
	stats   ProfileStats
}

// heldPacket is a datagram that arrives later.
type heldPacket struct {
	packet
	due    time.Time
	serial int
	swap   bool // the next datagram that passes sets it free
}

func newLane(profile Profile, seed, stream uint64) lane {
	if profile.Hold == 0 {
		profile.Hold = defaultHold
	}
	return lane{profile: profile, random: rand.New(rand.NewPCG(seed, stream))}
}

// fate is what becomes of a datagram.
type fate struct {
	copies int // 0 if it is dropped
	length int // of what is left of it
	swap   bool
	delay  time.Duration
}

// decide decides about a datagram, and spoils it if it is to be spoiled.
func (l *lane) decide(data []byte) fate {
	index := l.index
	l.index++
	l.stats.Datagrams++

	// The same draws for each datagram, so that the fate of the k-th does not
	// depend on those before it.
	p, chance := &l.profile, [5]float64{}
	for i := range chance {
		chance[i] = l.random.Float64()
	}
	place, delay := l.random.Uint64(), p.Delay
	if jitter := l.random.Float64(); p.Jitter > 0 {
		delay += time.Duration(jitter * float64(p.Jitter))
	}

	verdict := VerdictChance
	if p.Filter != nil {
		verdict = p.Filter(index, data)
	}
	is := func(v Verdict, chance, probability float64) bool {
		return verdict == v || verdict == VerdictChance && chance < probability
	}
	if is(VerdictDrop, chance[0], p.Drop) || verdict == VerdictChance && index < p.DropFirst {
		l.stats.Dropped++
		return fate{}
	}
	f := fate{copies: 1, length: len(data), delay: delay}
	if is(VerdictTruncate, chance[1], p.Truncate) && f.length > 0 {
		l.stats.Truncated++
		f.length = int(place % uint64(f.length))
	}
	if is(VerdictCorrupt, chance[2], p.Corrupt) && f.length > 0 {
		l.stats.Corrupted++
		bit := place >> 8 % uint64(8*f.length)
		data[bit/8] ^= 1 << (bit % 8)
	}
	if is(VerdictDuplicate, chance[3], p.Duplicate) {
		l.stats.Duplicated++
		f.copies = 2
	}
	if is(VerdictReorder, chance[4], p.Reorder) {
		l.stats.Reordered++
		f.swap = delay == 0
		f.delay += p.Hold
	}
	if delay > 0 {
		l.stats.Delayed++
	}
	return f
}

// hold keeps a copy of a datagram until its time comes.
func (l *lane) hold(data []byte, from Address, now time.Time, f fate) {
	for range f.copies {
		if len(l.held) == mostHeld {
			l.stats.Overflowed++
			continue
		}
		h := heldPacket{due: now.Add(f.delay), serial: l.serial, swap: f.swap}
		l.serial++
		h.buf, h.n, h.from = getBuffer(len(data)), len(data), from
		copy(h.buf.b, data)
		at, _ := slices.BinarySearchFunc(l.held, h, func(a, b heldPacket) int {
			if c := a.due.Compare(b.due); c != 0 {
				return c
			}
			return a.serial - b.serial
		})
		l.held = slices.Insert(l.held, at, h)
	}
}

// free removes and returns one held datagram whose time has come, or, if
// overtaken, one that waited to be overtaken. The caller releases its buffer.
func (l *lane) free(now time.Time, overtaken bool) (packet, bool) {
	for i := range l.held {
		if h := l.held[i]; !h.due.After(now) || overtaken && h.swap {
			l.held = slices.Delete(l.held, i, i+1)
			return h.packet, true
		}
		if !overtaken {
			break
		}
	}
	return packet{}, false
}

// due returns when the next held datagram's time comes.
func (l *lane) due() (time.Time, bool) {
	if len(l.held) == 0 {
		return time.Time{}, false
	}
	return l.held[0].due, true
}

// drain releases all that is held.
func (l *lane) drain() {
	for i := range l.held {
		l.held[i].buf.release()
	}
	l.held = nil
}
