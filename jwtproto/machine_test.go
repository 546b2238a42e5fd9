package jwtproto

import (
	"testing"

	"pgregory.net/rapid"
)

// TestMachineTable checks the rows of the specification with seven states.
func TestMachineTable(t *testing.T) {
	tests := []struct {
		name                string
		last, n, next, then int
		step                Step
	}{
		{"first message is 0", 0, 0, 1, 0, Restarted},
		{"first message is 1", 0, 1, 2, 1, Advanced},
		{"restart from the middle", 3, 0, 1, 0, Restarted},
		{"restart from the end", 6, 0, 1, 0, Restarted},
		{"retransmission", 3, 3, 4, 3, Repeated},
		{"retransmission of the last but one", 5, 5, 6, 5, Repeated},
		{"retransmission of the final state", 6, 6, 0, 6, Repeated},
		{"forward", 2, 3, 4, 3, Advanced},
		{"to the final state", 5, 6, 0, 6, Advanced},
		{"skipped", 2, 4, 0, 2, Refused},
		{"skipped to the end", 0, 6, 0, 0, Refused},
		{"backwards", 4, 3, 0, 4, Refused},
		{"after the end", 6, 1, 0, 6, Refused},
		{"before the end, after it", 6, 5, 0, 6, Refused},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			next, then, step := Machine{}.Next(test.last, test.n)
			if next != test.next || then != test.then || step != test.step {
				t.Errorf("last %d, n %d: next %d, new last %d, %v; want %d, %d, %v", test.last, test.n, next, then, step, test.next, test.then, test.step)
			}
		})
	}
}

func TestMachineSizes(t *testing.T) {
	for states, want := range map[int]bool{-1: false, 0: true, 1: false, 2: true, 7: true, 1000: true, 1001: false} {
		if _, ok := NewMachine(states); ok != want {
			t.Errorf("%d states: %v, want %v", states, ok, want)
		}
	}
	if m, _ := NewMachine(0); m.States() != 7 || m.Final() != 6 || m.Defined(7) || m.Defined(-1) || !m.Defined(6) {
		t.Errorf("the default machine has %d states", m.States())
	}
}

// model is the specification written down in another way: a group's walk is the list
// of numbers it has said in turn since its last 0.
type model struct {
	final int
	said  []int
}

func (m *model) say(n int) (next int) {
	last := 0
	if len(m.said) > 0 {
		last = m.said[len(m.said)-1]
	}
	if n == 0 {
		m.said = nil
		return 1
	}
	if n-last == 1 {
		m.said = append(m.said, n)
		last = n
	}
	if n != last || n == m.final {
		return 0
	}
	return n + 1
}

// TestMachineModel walks both side by side through random conversations, in which the
// right number comes often enough to reach the end.
func TestMachineModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, _ := NewMachine(rapid.OneOf(rapid.IntRange(2, 8), rapid.IntRange(2, 1000)).Draw(t, "states"))
		reference := &model{final: m.Final()}
		last := 0
		for range rapid.IntRange(0, 50).Draw(t, "messages") {
			n := rapid.OneOf(
				rapid.Just(min(last+1, m.Final())), rapid.Just(last), rapid.Just(0), rapid.Just(m.Final()), rapid.IntRange(0, m.Final()),
			).Draw(t, "n")
			next, newLast, step := m.Next(last, n)
			if want := reference.say(n); next != want {
				t.Fatalf("last %d, n %d: next %d, want %d", last, n, next, want)
			}
			if want := len(reference.said); newLast != want {
				t.Fatalf("last %d, n %d: new last %d, want %d", last, n, newLast, want)
			}
			if !m.Defined(int64(newLast)) || !m.Defined(int64(next)) {
				t.Fatalf("last %d, n %d leads to %d, next %d, which are not states", last, n, newLast, next)
			}
			if moved := newLast != last; moved != (step == Advanced || step == Restarted && last != 0) {
				t.Fatalf("last %d, n %d is said to be %v and leads to %d", last, n, step, newLast)
			}
			last = newLast
		}
	})
}
