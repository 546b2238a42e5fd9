package handshake

import (
	"slices"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/handshake"
)

// message is a complete handshake message as it came.
type message struct {
	typ   handshake.Type
	seq   uint16
	epoch uint16 // of the records that carried it
	body  []byte
}

// partial is a message of which fragments have come.
type partial struct {
	message
	have []span  // received parts, ordered, neither touching nor overlapping
	few  [2]span // where have begins, since most messages come in one part
}

type span struct{ from, to int }

func (p *partial) complete() bool {
	return len(p.body) == 0 || len(p.have) == 1 && p.have[0] == span{0, len(p.body)}
}

// inbound puts fragments together (RFC 6347 4.2.3) and gives messages in order.
// What it keeps is bounded: by limit, maxAhead and maxRanges, and by twice the
// limit for all messages together.
type inbound struct {
	next      uint16             // message_seq that is awaited
	limit     int                // bytes of one message
	slots     [maxAhead]*partial // of next, next+1, ... at seq % maxAhead
	size      int                // bytes of all bodies in slots
	discarded uint64             // messages that were begun and given up
	skips     int                // times that something ahead came again while nothing of the awaited message did
	skippedAt time.Time          // the last of them
}

// fate says what became of a fragment.
type fate uint8

const (
	fateDropped fate = iota // tells nothing, or is over a bound
	fateOld                 // of a message that has been taken already
	fateKnown               // nothing new
	fateKept                // something new
	fateTooLong             // of the message that is awaited, which is over the limit
)

// fragment is one fragment of a handshake message with its header.
type fragment struct {
	handshake.Header
	data []byte
}

// nextFragment splits the first fragment off the content of a handshake record.
func nextFragment(content []byte) (f fragment, rest []byte, ok bool) {
	if f.Unmarshal(content) != nil {
		return f, nil, false
	}
	content = content[handshake.HeaderLength:]
	if uint64(f.FragmentLength) > uint64(len(content)) ||
		f.FragmentOffset+f.FragmentLength > f.Length {
		return f, nil, false
	}
	f.data = content[:f.FragmentLength]
	return f, content[f.FragmentLength:], true
}

// add takes a fragment that came in a record of the given epoch. Where fragments
// contradict each other the later one wins, so that a damaged or forged one does
// harm only until the peer repeats its message; but what is authenticated always
// wins over what is not, and beginning anew has an end, since it costs memory.
func (in *inbound) add(f *fragment, epoch uint16) fate {
	ahead := f.MessageSequence - in.next
	switch {
	case ahead >= 1<<15:
		return fateOld
	case ahead >= maxAhead || len(f.data) == 0 && f.Length > 0:
		return fateDropped
	case int(f.Length) > in.limit && ahead == 0:
		return fateTooLong
	case int(f.Length) > in.limit:
		return fateDropped
	}
	slot := &in.slots[f.MessageSequence%maxAhead]
	p := *slot
	if p != nil && (p.typ != f.Type || len(p.body) != int(f.Length) || p.epoch != epoch) {
		if p.epoch > epoch || p.epoch == epoch && in.discarded >= maxDiscards {
			return fateDropped
		}
		in.discard(slot)
		p = nil
	}
	if p == nil {
		if !in.makeRoom(int(f.Length), ahead) {
			return fateDropped
		}
		p = &partial{message: message{typ: f.Type, seq: f.MessageSequence, epoch: epoch, body: make([]byte, f.Length)}}
		p.have = p.few[:0]
		in.size += len(p.body)
		*slot = p
	}
	return p.fill(int(f.FragmentOffset), f.data)
}

// makeRoom gives up messages that are further ahead than the one that needs n
// bytes, the furthest first: the awaited one always finds room.
func (in *inbound) makeRoom(n int, ahead uint16) bool {
	for other := uint16(maxAhead - 1); in.size+n > 2*in.limit; other-- {
		if other <= ahead {
			return false
		}
		if slot := &in.slots[(in.next+other)%maxAhead]; *slot != nil {
			in.discard(slot)
		}
	}
	return true
}

// fill puts data at its place and merges the spans.
func (p *partial) fill(from int, data []byte) fate {
	s := span{from, from + len(data)}
	if len(data) == 0 {
		if len(p.body) == 0 {
			return fateKept
		}
		return fateKnown
	}
	i, _ := slices.BinarySearchFunc(p.have, s.from, func(h span, from int) int { return h.to - from })
	if i < len(p.have) && p.have[i].from <= s.from && s.to <= p.have[i].to {
		return fateKnown
	}
	j := i
	for ; j < len(p.have) && p.have[j].from <= s.to; j++ {
		s.from, s.to = min(s.from, p.have[j].from), max(s.to, p.have[j].to)
	}
	if i == j && len(p.have) == maxRanges {
		return fateDropped
	}
	p.have = slices.Replace(p.have, i, j, s)
	copy(p.body[from:], data)
	return fateKept
}

// skipped is told of a repeated message, and tells whether those ahead of the awaited
// one have come so often without it that the peer does not have it: the numbers of the
// two sides differ since one of them was damaged on its way.
func (in *inbound) skipped(seq uint16, now time.Time) bool {
	if seq == in.next || in.slots[in.next%maxAhead] != nil || now.Sub(in.skippedAt) < repetitionPause {
		return false
	}
	in.skippedAt = now
	in.skips++
	return in.skips >= maxSkips
}

// pop takes the message that is next in order, if it is complete.
func (in *inbound) pop() (message, bool) {
	slot := &in.slots[in.next%maxAhead]
	p := *slot
	if p == nil || !p.complete() {
		return message{}, false
	}
	in.drop(slot)
	in.next++
	in.skips = 0
	return p.message, true
}

// restart gives up everything and awaits another message.
func (in *inbound) restart(next uint16) {
	*in = inbound{next: next, limit: in.limit, discarded: in.discarded}
}

func (in *inbound) discard(slot **partial) {
	in.discarded++
	in.drop(slot)
}

func (in *inbound) drop(slot **partial) {
	in.size -= len((*slot).body)
	*slot = nil
}
