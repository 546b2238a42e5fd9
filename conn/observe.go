package conn

import (
	"time"

	"gdtls/internal/handshake"
)

// HandshakeEvent is something that happened in a handshake, for logs and metrics. It
// holds no secrets. Members that do not belong to its kind are zero.
type HandshakeEvent struct {
	// Kind is "flight" (sent, or sent again), "message" (one of the peer's came
	// whole and in its order), "alert", "question" (a decision is awaited),
	// "answer" (it was made), "done" or "failed".
	Kind string
	Time time.Time

	Messages   []string      // of a flight, or the one that came, by the RFCs' names
	Bytes      int           // of a flight's datagrams, or of the message
	Datagrams  int           // of a flight
	Repetition int           // of a flight; 0: it was sent for the first time
	Timeout    time.Duration // until a flight is repeated; 0: not by time
	Alert      string        // its name in the RFCs
	Fatal      bool          // of an alert
	Received   bool          // the alert came from the peer
	Question   string        // what is decided, such as "pre-shared key"
	Resumed    bool          // a session was resumed
	Err        error         // why it failed
}

// SetHandshakeObserver makes the next handshake tell what happens in it; nil: tell
// nobody. The function is called by the goroutine of the handshake, which waits for
// it, and must not use the connection.
func (c *DtlsConnection) SetHandshakeObserver(observe func(HandshakeEvent)) {
	c.set(func(s *rareSettings) { s.observe = observe })
}

var handshakeEventKinds = [...]string{
	handshake.EventFlight:   "flight",
	handshake.EventMessage:  "message",
	handshake.EventAlert:    "alert",
	handshake.EventQuestion: "question",
	handshake.EventAnswer:   "answer",
	handshake.EventDone:     "done",
	handshake.EventFailed:   "failed",
}

// observer translates events; nil for nil, so that none are made.
func observer(observe func(HandshakeEvent)) func(handshake.Event) {
	if observe == nil {
		return nil
	}
	return func(e handshake.Event) {
		out := HandshakeEvent{
			Kind: handshakeEventKinds[e.Kind], Time: e.Time,
			Messages: e.Messages, Bytes: e.Bytes, Datagrams: e.Datagrams, Repetition: e.Repetition, Timeout: e.Timeout,
			Fatal: e.Fatal, Received: e.Received, Resumed: e.Resumed,
		}
		switch e.Kind {
		case handshake.EventAlert:
			out.Alert = handshake.AlertName(e.Alert)
		case handshake.EventQuestion, handshake.EventAnswer:
			out.Question = e.Question.String()
		case handshake.EventFailed:
			out.Err = e.Err
		}
		observe(out)
	}
}
