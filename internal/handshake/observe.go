package handshake

import (
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
)

// EventKind says what an Event tells of.
type EventKind uint8

// The kinds of events.
const (
	EventFlight   EventKind = iota + 1 // a flight was sent, for the first time or again
	EventMessage                       // a message of the peer came whole and in its order
	EventAlert                         // an alert was sent or received; one that ends nothing, too
	EventQuestion                      // a decision is awaited
	EventAnswer                        // it was made
	EventDone                          // the handshake has succeeded
	EventFailed                        // or not
)

// Event is something that happened in a handshake. It holds no secrets.
type Event struct {
	Kind EventKind
	Time time.Time

	Messages   []string      // EventFlight, EventMessage: names
	Bytes      int           // EventFlight: of the datagrams; EventMessage: of its body
	Datagrams  int           // EventFlight
	Repetition int           // EventFlight: 0 for the first time
	Timeout    time.Duration // EventFlight: until it is repeated; 0: never

	Alert    alert.Description // EventAlert
	Fatal    bool              // EventAlert
	Received bool              // EventAlert: from the peer
	Question Question          // EventQuestion, EventAnswer
	Resumed  bool              // EventDone
	Err      *Error            // EventFailed
}

// observed tells whether somebody wants events; only then are they made.
func (m *Machine) observed() bool { return m.cfg.Observe != nil }

func (m *Machine) observe(e Event) {
	e.Time = m.now
	m.cfg.Observe(e)
}

// observeFlight tells of the datagrams that were put into the queue behind the
// first so many.
func (m *Machine) observeFlight(queued int) {
	e := Event{Kind: EventFlight, Datagrams: len(m.out.queue) - queued, Repetition: m.out.sends - 1}
	for _, d := range m.out.queue[queued:] {
		e.Bytes += len(d)
	}
	for i := range m.out.flight {
		if m.out.flight[i].changeCipherSpec {
			e.Messages = append(e.Messages, "ChangeCipherSpec")
			continue
		}
		e.Messages = append(e.Messages, typeName(m.out.flight[i].typ))
	}
	if last := *m.finishedOf(!m.side.isClient()) != [finishedSize]byte{}; !last {
		e.Timeout = m.out.deadline.Sub(m.now)
	}
	m.observe(e)
}
