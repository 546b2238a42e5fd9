package signal

import (
	"slices"
	"sync"
	"testing"
)

func TestSignal(t *testing.T) {
	var ids IDs[uint64]
	var s, other Signal[func() string, uint64]
	if s.IsConnected() {
		t.Error("the zero value has a handler")
	}
	emit := func() (said []string) {
		for call := range s.Calls() {
			said = append(said, call())
		}
		return said
	}
	say := func(text string) func() string { return func() string { return text } }
	a, b := s.Connect(&ids, say("a")), s.Connect(&ids, say("b"))
	c := other.Connect(&ids, say("c"))
	if a == 0 || a == b || b == c {
		t.Errorf("ids %d, %d, %d", a, b, c)
	}
	if got := emit(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("said %q", got)
	}
	s.Disconnect(&ids, c) // of another signal
	s.Disconnect(&ids, a)
	if got := emit(); !slices.Equal(got, []string{"b"}) || !other.IsConnected() {
		t.Errorf("then said %q", got)
	}
	s.Disconnect(&ids, b)
	if s.IsConnected() {
		t.Error("a handler is left")
	}
}

// What happens during an emission counts from the next.
func TestConnectWhileEmitting(t *testing.T) {
	var ids IDs[uint64]
	var s Signal[func(), uint64]
	calls := 0
	var second uint64
	first := s.Connect(&ids, func() {
		calls++
		s.Disconnect(&ids, second)
		s.Connect(&ids, func() { calls += 100 })
	})
	second = s.Connect(&ids, func() { calls += 10 })
	for call := range s.Calls() {
		call()
	}
	if calls != 11 {
		t.Errorf("calls %d", calls)
	}
	s.Disconnect(&ids, first)
	for call := range s.Calls() {
		call()
	}
	if calls != 111 {
		t.Errorf("calls %d afterwards", calls)
	}
}

func TestConcurrentUse(t *testing.T) {
	var ids IDs[uint64]
	var s Signal[func(), uint64]
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 100 {
				id := s.Connect(&ids, func() {})
				for call := range s.Calls() {
					call()
				}
				s.Disconnect(&ids, id)
			}
		})
	}
	wait.Wait()
	if s.IsConnected() {
		t.Error("a handler is left")
	}
}
