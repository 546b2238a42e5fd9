package record

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

func TestReplayWindow(t *testing.T) {
	var w ReplayWindow
	accept := func(sequence uint64) {
		t.Helper()
		if !w.Check(sequence) {
			t.Errorf("%d refused", sequence)
		}
		w.Mark(sequence)
		if w.Check(sequence) {
			t.Errorf("%d accepted twice", sequence)
		}
	}
	refuse := func(sequence uint64) {
		t.Helper()
		if w.Check(sequence) {
			t.Errorf("%d accepted", sequence)
		}
	}
	accept(0)
	accept(2)
	accept(1)
	refuse(0)
	accept(255)
	accept(3)
	accept(64)
	accept(256) // the first word falls out
	refuse(4)
	refuse(63)
	accept(65)
	accept(192)
	w.Mark(4) // too old: nothing changes
	refuse(4)
	accept(511)
	refuse(255)
	accept(1000000) // everything falls out
	refuse(511)
	refuse(999700)
	accept(999999)
	accept(MaxSequence)
	accept(MaxSequence - 192)
	refuse(1000001)
}

// The window against a set of all numbers seen: it never accepts one twice,
// and never refuses a new one of the last 192.
func TestReplayWindowModel(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var w ReplayWindow
		seen := map[uint64]bool{}
		var highest uint64
		for range 5000 {
			sequence := highest
			switch source.IntN(10) {
			case 0: // a leap
				sequence += source.Uint64N(1000)
			case 1: // far behind
				sequence -= min(highest, source.Uint64N(1000))
			case 2, 3, 4: // near behind
				sequence -= min(highest, source.Uint64N(193))
			default:
				sequence += source.Uint64N(3)
			}
			fresh := w.Check(sequence)
			switch {
			case fresh && seen[sequence]:
				t.Fatalf("%d accepted twice, highest %d", sequence, highest)
			case !fresh && !seen[sequence] && highest-sequence <= 192:
				t.Fatalf("%d refused, highest %d", sequence, highest)
			case fresh:
				w.Mark(sequence)
				seen[sequence] = true
				highest = max(highest, sequence)
			}
		}
	}
}

// Records that overtake each other open once each, in any order, down to the
// window's reach.
func TestReorderedRecords(t *testing.T) {
	forAll(t, func(t *testing.T, a Algorithm) {
		s, o := newPair(t, a)
		records := make([][]byte, 600)
		for i := range records {
			records[i] = seal(t, s, []byte{byte(i), byte(i >> 8)})
		}
		try := func(i int, want error) {
			t.Helper()
			got, err := open(t, o, records[i])
			if !errors.Is(err, want) {
				t.Fatalf("record %d: %v, want %v", i, err, want)
			}
			if err == nil && !bytes.Equal(got, []byte{byte(i), byte(i >> 8)}) {
				t.Fatalf("record %d: %x", i, got)
			}
		}
		order := rand.New(rand.NewPCG(7, 7)).Perm(190)
		for _, i := range order {
			try(i, nil)
		}
		for _, i := range order {
			try(i, ErrReplayed)
		}
		try(599, nil)
		try(200, ErrReplayed) // never seen, but too old
		try(599-192, nil)
		try(599-192, ErrReplayed)
	})
}
