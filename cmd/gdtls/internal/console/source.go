package console

import (
	"context"
	"time"
)

// Source is where the console gets what is not an event. A function that is nil means
// that there is none of that, and the page does not show it. The others are called by
// several goroutines and must not wait.
type Source struct {
	// Counters gives the counters so far; called once a second.
	Counters func() Counters
	// Peers gives all DTLS peers; called once a second while somebody watches.
	Peers func() []Peer
	// ClosePeer closes the connection with a peer, by its ID. The error is for the
	// viewer.
	ClosePeer func(ctx context.Context, id uint64) error
	// Groups gives how far the groups are; called at most ten times a second while
	// somebody watches.
	Groups func() Rainbow
}

// Counters are what the charts are drawn from.
type Counters struct {
	Datagrams  uint64 // that came
	Handshakes uint64 // that succeeded
	Requests   uint64 // of the JWT protocol that were answered
	Drops      uint64 // datagrams, hellos and requests that were not answered
	Peers      int    // that are connected now
	// Latencies tell how long things took since the last call, by what they are, such
	// as "handshake".
	Latencies map[string]Percentiles
}

// Percentiles are of durations.
type Percentiles struct {
	Median, P99 time.Duration
}

// Peer is a DTLS peer.
type Peer struct {
	ID       uint64 // in the life of the server, never used again
	Server   string // which server's, if there are several
	Address  string
	State    string // "handshake" or "connected"
	Cipher   string // IANA's name
	ALPN     string
	Identity string // its certificate's subject, or its pre-shared key's identity
	Since    time.Time
	Resumed  bool

	MessagesIn, MessagesOut uint64
	BytesIn, BytesOut       uint64
	Missing                 uint64 // records of the peer that did not arrive
	Discarded               uint64 // records that came and were of no use: forged, repeated or malformed
}

// Rainbow tells how far the groups have walked.
type Rainbow struct {
	States int // of the machine
	Groups []Group
}

// Group is a group of the JWT protocol.
type Group struct {
	Name    string
	Last    int // number that it said last in turn, -1 before any
	Walks   int // how often it has reached the final state
	Members []Member
}

// Member is one of a group.
type Member struct {
	Registration int64
	Reached      States // that it has said in turn since the walk began
	Walks        int    // that came to the final state by it
}
