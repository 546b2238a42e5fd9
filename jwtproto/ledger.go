package jwtproto

import "time"

// RestartLeeway is how far the clocks of a group's members may be apart in strict mode.
const RestartLeeway = 5 * time.Second

// Rules are what a Store decides by.
type Rules struct {
	Machine Machine
	// Strict refuses requests that were signed more than RestartLeeway before the one
	// that last made their group begin anew, or do not tell when they were signed.
	Strict bool
}

// GroupState is what has to be known of a group to decide about its next move. The zero
// value is that of a group that never moved.
type GroupState struct {
	Last      int // number that it said in turn
	Completed uint64
	Restarted time.Time // when it last said 0, as the request says, or else when it came
	Row       Row       // the last one of its history; Seq is 0 if there is none
}

// TokenKey names a token of a group.
type TokenKey struct {
	Group string
	Token TokenID
}

// A Ledger decides about the moves of a batch and gathers what follows from them, so that
// a Store has to know nothing of the protocol. The Store fills States and Seen with what
// it has, calls Apply for each move in order, and then keeps what the other fields say.
// The zero value with Rules is ready for use; it is for one batch and one goroutine.
type Ledger struct {
	Rules Rules
	// States are the groups of the batch; one that is missing never moved. Apply changes
	// them.
	States map[string]GroupState
	// Seen are the rows that answered the tokens of the batch earlier. Apply adds to them.
	Seen map[TokenKey]Row

	// What has to be kept, besides the States of the groups that have Rows. Repeats may be
	// of new Rows, too.
	Rows    []LedgerRow          // new ones, in order
	Repeats map[RowKey]uint64    // how much to add to the Repeats of rows
	Members map[MemberKey]Member // what to add for members
	Refused []RefusalCount       // what Apply refused
}

// A LedgerRow is a new row of a group's history, with what must be known to find it again
// when its token is repeated.
type LedgerRow struct {
	Row
	Group   string
	Token   TokenID
	Expires time.Time
}

// RowKey names a row.
type RowKey struct {
	Group string
	Seq   uint64
}

// MemberKey names a member of a group.
type MemberKey struct {
	Group        string
	Registration int64
}

// Member is what a batch adds to what is known of a member: numbers to add, but Last and
// Seen, which replace what was there.
type Member struct {
	Advanced, Restarted, Repeated, OutOfTurn, Completed uint64

	Moved bool // Last is valid
	Last  int
	Seen  time.Time
}

// Apply decides about a move.
//
// A token that was seen before gets the answer that it got, if it is the same request,
// and is refused otherwise. So does a request without jti if it is the last one of the
// group again. All else is decided by the Machine.
func (l *Ledger) Apply(m *Move) Outcome {
	state := l.States[m.Group]
	key := TokenKey{m.Group, m.Token}
	earlier, seen := l.Seen[key]
	if m.Token == (TokenID{}) {
		earlier, seen = state.Row, state.Row.Seq > 0 && state.Row.ID == m.ID
	}
	switch {
	case seen && earlier.ID != m.ID:
		return l.refuse(m, TokenReused)
	case seen:
		return l.repeat(m, earlier)
	case l.Rules.Strict && m.Issued.Before(state.Restarted.Add(-RestartLeeway)):
		return l.refuse(m, TokenTooOld)
	}
	row := Row{Seq: state.Row.Seq + 1, Time: m.Time, Registration: m.Registration, ID: m.ID, Number: m.Number}
	row.Next, state.Last, row.Step = l.Rules.Machine.Next(state.Last, m.Number)
	completed := row.Step == Advanced && m.Number == l.Rules.Machine.Final()
	if completed {
		state.Completed++
	}
	if row.Step == Restarted {
		if state.Restarted = m.Issued; m.Issued.IsZero() {
			state.Restarted = m.Time
		}
	}
	state.Row = row
	put(&l.States, m.Group, state)
	l.Rows = append(l.Rows, LedgerRow{row, m.Group, m.Token, m.Expires})
	if m.Token != (TokenID{}) {
		put(&l.Seen, key, row)
	}
	l.count(m, row.Step, completed)
	return Outcome{Row: row}
}

// repeat answers a request that came before.
func (l *Ledger) repeat(m *Move, earlier Row) Outcome {
	key := RowKey{m.Group, earlier.Seq}
	put(&l.Repeats, key, l.Repeats[key]+1)
	l.count(m, Repeated, false)
	earlier.Step = Repeated
	return Outcome{Row: earlier}
}

func (l *Ledger) refuse(m *Move, why Refusal) Outcome {
	l.Refused = append(l.Refused, RefusalCount{m.Group, m.Registration, why, 1, m.Time})
	return Outcome{Why: why}
}

// count adds a step to what the member did.
func (l *Ledger) count(m *Move, step Step, completed bool) {
	key := MemberKey{m.Group, m.Registration}
	member := l.Members[key]
	switch step {
	case Advanced:
		member.Advanced++
	case Restarted:
		member.Restarted++
	case Repeated:
		member.Repeated++
	default:
		member.OutOfTurn++
	}
	if step == Advanced || step == Restarted {
		member.Last, member.Moved = m.Number, true
	}
	if completed {
		member.Completed++
	}
	member.Seen = m.Time
	put(&l.Members, key, member)
}

// Reset makes the Ledger ready for another batch; the Rules stay.
func (l *Ledger) Reset() {
	clear(l.States)
	clear(l.Seen)
	clear(l.Repeats)
	clear(l.Members)
	l.Rows, l.Refused = l.Rows[:0], l.Refused[:0]
}

// put sets an entry of a map that may still have to be made.
func put[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}
