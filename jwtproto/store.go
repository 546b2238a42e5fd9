package jwtproto

import (
	"context"
	"errors"
	"time"
)

// Store keeps what has to outlive a server: how far each group is, what was acknowledged,
// and which tokens were seen. NewMemory makes one that does not outlive the process; the
// packages below jwtproto make others. Package storetest has the tests that all of them
// must pass.
//
// All methods may be called at the same time, and by several programs if the Store is a
// database that they share.
type Store interface {
	// Apply decides about the moves of a batch by the rules, in their order, and keeps
	// what follows, all or nothing: when it returns without an error, everything is as
	// durable as the Store gets it, and the outcomes, one for each move, may be told to
	// the clients. With an error nothing may be told: it is unknown whether the batch was
	// kept. A batch that is applied again after an error gets the answers that it would
	// have got, as far as its tokens have a jti.
	//
	// Between two batches that share a group, one sees all of the other or nothing.
	Apply(ctx context.Context, rules Rules, batch *Batch) ([]Outcome, error)
	// Status reports about the groups that the Store knows, in order of their names, each
	// with its members in order of their numbers. Refusals that could not be assigned to a
	// group are those of the group with the empty name, which is there if there are any.
	Status(ctx context.Context) ([]GroupStatus, error)
	// History gives the rows of a group that come after a number, the oldest first, at
	// most limit of them. A Store may have dropped the oldest rows.
	History(ctx context.Context, group string, after uint64, limit int) ([]Row, error)
	// Close ends the use of the Store.
	Close() error
}

// ErrStoreClosed is the error of a Store that was closed.
var ErrStoreClosed = errors.New("jwtproto: the store is closed")

// A Batch is what a Store keeps at once.
type Batch struct {
	Moves    []Move
	Refusals []RefusalCount // since the last batch
}

// A Move is an accepted request, which asks for its group to move. Everything in it was
// checked by the group's key.
type Move struct {
	Time         time.Time // when the request came
	Group        string
	Registration int64 // of the member who signed
	Number       int
	ID           RequestID
	Token        TokenID   // zero: the request had no jti
	Issued       time.Time // by the client's clock, in whole seconds; zero: not told
	Expires      time.Time // no token is taken after that, so that it need not be remembered
}

// A TokenID stands for the jti of a request among those of its group. The zero value
// stands for none.
type TokenID [16]byte

// A Row of a group's history is one accepted request and its acknowledgement.
type Row struct {
	Seq          uint64 // place in the group's history: 1 and so on, without gaps
	Time         time.Time
	Registration int64 // of the member who signed
	ID           RequestID
	Number       int
	Next         int // as acknowledged
	Step         Step
	Repeats      uint64 // how often the same request came again
}

// An Outcome is what became of a Move.
type Outcome struct {
	// Row is what the request gets acknowledged. If it came before, it is the row of that
	// time, with the Step Repeated.
	Row Row
	// Why the move was refused; empty: it was not, and Row is valid.
	Why Refusal
}

// A RefusalCount is how often requests were refused for one reason.
type RefusalCount struct {
	Group        string // empty: no known one
	Registration int64  // of the member who signed; 0: not known
	Why          Refusal
	Count        uint64
	Last         time.Time
}

// GroupStatus is how far a group is.
type GroupStatus struct {
	Group     string
	Last      int    // number that it said in turn
	Rows      uint64 // of its history, those that were dropped included
	Completed uint64 // walks that came to the final state
	Restarted time.Time
	Seen      time.Time // when its last row was made
	Members   []MemberStatus
	Refusals  map[Refusal]uint64 // those of its members included
}

// MemberStatus is what one member of a group did. Only those are listed of whom anything
// is known.
type MemberStatus struct {
	Registration int64
	Last         int    // number that the member said in turn
	Advanced     uint64 // rows by their step
	Restarted    uint64
	Repeated     uint64 // those of the same request included
	OutOfTurn    uint64
	Completed    uint64 // walks that came to the final state by this member
	Seen         time.Time
	Refusals     map[Refusal]uint64
}
