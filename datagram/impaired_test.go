package datagram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// through sends datagrams numbered from 0 through an impaired pipe, in the
// direction that has the profile, and returns the messages that arrive by then.
func through(t *testing.T, profile Profile, seed uint64, sending bool, count int) (got []string, stats ProfileStats) {
	t.Helper()
	near, far := NewPipe(WithQueue(4 * count))
	defer near.Close()
	defer far.Close()
	config := Impairment{Seed: seed, Receive: profile}
	var from, to DatagramBased = far, nil
	if sending {
		config = Impairment{Seed: seed, Send: profile}
	}
	m := NewImpaired(near, config)
	defer m.Close()
	to = m
	if sending {
		from, to = m, far
	}
	for i := range count {
		var data [8]byte
		binary.BigEndian.PutUint64(data[:], uint64(i))
		if err := SendOne(t.Context(), from, data[:], Address{}, -1); err != nil {
			t.Fatal(err)
		}
	}
	for {
		in := inputs(64, 100)
		n, err := to.ReceiveMessages(t.Context(), in, MsgWaitForOne, time.Second)
		if errors.Is(err, ErrTimedOut) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range in[:n] {
			got = append(got, text(message))
		}
	}
	if sending {
		return got, m.Stats().Send
	}
	return got, m.Stats().Receive
}

func bothWays(t *testing.T, test func(t *testing.T, sending bool)) {
	for _, sending := range []bool{true, false} {
		t.Run(map[bool]string{true: "send", false: "receive"}[sending], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, sending) })
		})
	}
}

func number(s string) int { return int(binary.BigEndian.Uint64([]byte(s))) }

// Each probability does its work as often as it says, and is counted.
func TestImpairedStatistics(t *testing.T) {
	bothWays(t, func(t *testing.T, sending bool) {
		const count, p = 4000, 0.3
		near := func(what string, got uint64) {
			t.Helper()
			if sigma := math.Sqrt(count * p * (1 - p)); math.Abs(float64(got)-count*p) > 5*sigma {
				t.Errorf("%s: %d of %d, the probability is %v", what, got, count, p)
			}
		}
		got, stats := through(t, Profile{Drop: p}, 1, sending, count)
		near("dropped", stats.Dropped)
		if len(got) != count-int(stats.Dropped) || stats.Datagrams != count || !slices.IsSorted(got) {
			t.Errorf("drop: %d arrived, %+v", len(got), stats)
		}
		got, stats = through(t, Profile{Duplicate: p}, 2, sending, count)
		near("duplicated", stats.Duplicated)
		if len(got) != count+int(stats.Duplicated) || len(slices.Compact(got)) != count {
			t.Errorf("duplicate: %d arrived, %+v", len(got), stats)
		}
		got, stats = through(t, Profile{Truncate: p}, 3, sending, count)
		near("truncated", stats.Truncated)
		short := 0
		for _, s := range got {
			if len(s) < 8 {
				short++
			}
		}
		if short != int(stats.Truncated) || len(got) != count {
			t.Errorf("truncate: %d short, %+v", short, stats)
		}
		got, stats = through(t, Profile{Corrupt: p}, 4, sending, count)
		near("corrupted", stats.Corrupted)
		changed := 0
		for i, s := range got {
			if number(s) != i {
				changed++
			}
		}
		if changed != int(stats.Corrupted) {
			t.Errorf("corrupt: %d changed, %+v", changed, stats)
		}
		got, stats = through(t, Profile{Reorder: p}, 5, sending, count)
		near("reordered", stats.Reordered)
		displaced := 0
		for i := 1; i < len(got); i++ {
			if number(got[i]) < number(got[i-1]) {
				displaced++
			}
		}
		slices.Sort(got)
		if len(got) != count || len(slices.Compact(got)) != count || displaced < int(stats.Reordered)/2 {
			t.Errorf("reorder: %d arrived, %d displaced, %+v", len(got), displaced, stats)
		}
	})
}

// The same seed and the same traffic give the same fate, another seed another.
func TestImpairedSeed(t *testing.T) {
	bothWays(t, func(t *testing.T, sending bool) {
		all := Profile{Drop: 0.3, Duplicate: 0.3, Reorder: 0.3, Truncate: 0.3, Corrupt: 0.3}
		first, firstStats := through(t, all, 7, sending, 200)
		again, againStats := through(t, all, 7, sending, 200)
		other, _ := through(t, all, 8, sending, 200)
		if !slices.Equal(first, again) || firstStats != againStats {
			t.Error("the same seed gave another result")
		}
		if slices.Equal(first, other) {
			t.Error("another seed gave the same result")
		}
	})
}

// A filter decides about single datagrams, and may change them.
func TestImpairedFilter(t *testing.T) {
	bothWays(t, func(t *testing.T, sending bool) {
		verdicts := map[int]Verdict{1: VerdictDrop, 2: VerdictDuplicate, 4: VerdictReorder, 7: VerdictPass}
		got, stats := through(t, Profile{
			DropFirst: 1,
			Filter: func(index int, datagram []byte) Verdict {
				if index == 6 {
					datagram[7] = 66
				}
				return verdicts[index]
			},
		}, 1, sending, 9)
		var numbers []int
		for _, s := range got {
			numbers = append(numbers, number(s))
		}
		if want := []int{2, 2, 3, 5, 4, 66, 7, 8}; !slices.Equal(numbers, want) {
			t.Errorf("got %v, want %v", numbers, want)
		}
		if stats.Dropped != 2 || stats.Duplicated != 1 || stats.Reordered != 1 {
			t.Errorf("%+v", stats)
		}
	})
}

// The last datagram, if it is to be overtaken and nothing follows, arrives when
// its patience ends.
func TestImpairedLastReordered(t *testing.T) {
	bothWays(t, func(t *testing.T, sending bool) {
		start := time.Now()
		got, _ := through(t, Profile{Reorder: 1, Hold: 50 * time.Millisecond}, 1, sending, 1)
		if len(got) != 1 || time.Since(start) != 50*time.Millisecond+time.Second {
			t.Errorf("%d arrived after %v", len(got), time.Since(start)-time.Second)
		}
	})
}

// A delay holds each datagram back by as much, a jitter mixes them; the timeout
// of a receive is kept meanwhile.
func TestImpairedDelay(t *testing.T) {
	bothWays(t, func(t *testing.T, sending bool) {
		near, far := NewPipe()
		profile := Profile{Delay: 100 * time.Millisecond}
		m := NewImpaired(near, Impairment{Send: profile, Receive: profile})
		defer m.Close()
		defer far.Close()
		from, to := DatagramBased(far), DatagramBased(m)
		if sending {
			from, to = to, from
		}
		start := time.Now()
		for i := range 3 {
			if err := SendOne(t.Context(), from, fmt.Append(nil, i), Address{}, -1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
			to.ConditionCheck(In)
		}
		// The receive side decides when it pulls, so give it the occasion.
		if n, err := to.ReceiveMessages(t.Context(), inputs(1, 10), MsgNone, 0); !errors.Is(err, ErrWouldBlock) {
			t.Fatal(n, err)
		}
		if n, err := to.ReceiveMessages(t.Context(), inputs(1, 10), MsgNone, 20*time.Millisecond); !errors.Is(err, ErrTimedOut) {
			t.Fatal(n, err)
		}
		if took := time.Since(start); took != 50*time.Millisecond {
			t.Errorf("the timeout ended at %v", took)
		}
		if err := to.ConditionWait(t.Context(), In, -1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 100*time.Millisecond || took > 130*time.Millisecond {
			t.Errorf("the first arrived after %v", took)
		}
		in := inputs(3, 10)
		if n, err := to.ReceiveMessages(t.Context(), in, MsgNone, -1); n != 3 || err != nil || text(in[0]) != "0" || text(in[2]) != "2" {
			t.Error(n, err)
		}
	})
	bothWays(t, func(t *testing.T, sending bool) {
		got, stats := through(t, Profile{Jitter: time.Second / 2}, 3, sending, 100)
		if slices.IsSorted(got) || len(got) != 100 || stats.Delayed != 100 {
			t.Errorf("%d arrived, %+v", len(got), stats)
		}
	})
}

// What is held back is bounded, and the surplus counted.
func TestImpairedBound(t *testing.T) {
	bothWays(t, func(t *testing.T, sending bool) {
		got, stats := through(t, Profile{Delay: time.Second / 2}, 1, sending, mostHeld+10)
		if len(got) != mostHeld || stats.Overflowed != 10 {
			t.Errorf("%d arrived, %+v", len(got), stats)
		}
	})
}

// What is held when the peer closes still arrives (G015).
func TestImpairedPeerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := NewPipe()
		m := NewImpaired(near, Impairment{Receive: Profile{Delay: time.Hour}})
		defer m.Close()
		if err := SendOne(t.Context(), far, []byte("held"), Address{}, -1); err != nil {
			t.Fatal(err)
		}
		far.Close()
		in := inputs(2, 10)
		if n, err := m.ReceiveMessages(t.Context(), in, MsgNone, -1); n != 1 || err != nil || text(in[0]) != "held" {
			t.Fatal(n, err)
		}
		if n, err := m.ReceiveMessages(t.Context(), in, MsgNone, -1); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	})
}

// The base's limit is an Impaired's.
func TestImpairedMaximum(t *testing.T) {
	a, b := NewPipe(WithMaxDatagram(1234))
	defer b.Close()
	m := NewImpaired(a, Impairment{})
	defer m.Close()
	if most := m.MaximumMessageSize(); most != 1234 {
		t.Error(most)
	}
	deaf := NewImpaired(struct{ DatagramBased }{b}, Impairment{})
	defer deaf.Close()
	if most := deaf.MaximumMessageSize(); most != 0 {
		t.Error("unknown:", most)
	}
}
