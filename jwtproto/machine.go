package jwtproto

// The number of states a Machine may have.
const (
	DefaultStates = 7
	MinStates     = 2
	MaxStates     = 1000
)

// Machine is the state machine of the protocol: what a group has to do is say the
// numbers from 0 to the final state in order, and each that it says in its turn
// moves it on. A Machine has no state of its own; that of a group is one number,
// the last that was taken, and 0 at the beginning. The zero value has
// DefaultStates.
type Machine struct{ states int }

// NewMachine makes a Machine with so many states, from MinStates to MaxStates; 0
// means DefaultStates. ok is false for any other number.
func NewMachine(states int) (m Machine, ok bool) {
	if states == 0 {
		states = DefaultStates
	}
	return Machine{states}, states >= MinStates && states <= MaxStates
}

// States is the number of states.
func (m Machine) States() int {
	if m.states == 0 {
		return DefaultStates
	}
	return m.states
}

// Final is the number of the last state.
func (m Machine) Final() int { return m.States() - 1 }

// Defined reports whether there is a state of this number.
func (m Machine) Defined(n int64) bool { return n >= 0 && n <= int64(m.Final()) }

// A Step is what a number that was said did to a group.
type Step int

// The steps.
const (
	Refused Step = iota // out of turn: skipped, or backwards
	Repeated
	Advanced
	Restarted // 0 was said
)

// String names the step.
func (s Step) String() string {
	switch s {
	case Repeated:
		return "repeated"
	case Advanced:
		return "advanced"
	case Restarted:
		return "restarted"
	}
	return "refused"
}

// Next tells what happens to a group whose last number is last and which says n: the
// number to say next, and the new last. 0 begins anew from any state. The last number
// said again is a retransmission, answered as it was before. The next number moves the
// group on. Any other is out of turn and moves nothing. next is 0 after the final state,
// and when the group has to begin anew. Both numbers must be defined.
func (m Machine) Next(last, n int) (next, newLast int, step Step) {
	switch {
	case n == 0:
		return 1, 0, Restarted
	case n == last:
		step = Repeated
	case n == last+1:
		step = Advanced
	default:
		return 0, last, Refused
	}
	if n == m.Final() {
		return 0, n, step
	}
	return n + 1, n, step
}

// Colours are the names of the seven states of the original. A request carries one of
// them beside its number; any of them goes with any number, since a client of the
// original sends each number with the colour before it.
var Colours = [...]string{"RED", "ORANGE", "YELLOW", "GREEN", "BLUE", "INDIGO", "VIOLET"}

// Colour is the name that belongs to a state; machines with more than seven states
// use the names again.
func Colour(n int) string { return Colours[n%len(Colours)] }
