package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"gdtls/conn"
)

// diagnosis are the flags by which either side shows what goes on in a handshake.
type diagnosis struct {
	Trace  bool   `help:"Show each flight, message, alert and decision of the handshake."`
	Keylog string `env:"SSLKEYLOGFILE" placeholder:"FILE" help:"Append the keys to this file, with which Wireshark can read the traffic (and so can everybody else who has it). (default: the file that SSLKEYLOGFILE names)"`
}

// openKeylog opens the file of --keylog, nil without one.
func (d *diagnosis) openKeylog() (*os.File, error) {
	if d.Keylog == "" {
		return nil, nil
	}
	return os.OpenFile(d.Keylog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// trace: something happened in a handshake. Which members there are depends on Kind;
// see conn.HandshakeEvent.
type trace struct {
	Peer       string   `json:"peer"`
	Kind       string   `json:"kind"`
	Seconds    float64  `json:"seconds"` // since the first event of the handshake
	Messages   []string `json:"messages,omitempty"`
	Bytes      int      `json:"bytes,omitempty"`
	Datagrams  int      `json:"datagrams,omitempty"`
	Repetition int      `json:"repetition,omitempty"`
	Timeout    float64  `json:"timeout,omitempty"` // seconds
	Alert      string   `json:"alert,omitempty"`
	Fatal      bool     `json:"fatal,omitempty"`
	Received   bool     `json:"received,omitempty"`
	Question   string   `json:"question,omitempty"`
	Resumed    bool     `json:"resumed,omitempty"`
	Message    string   `json:"message,omitempty"` // why the handshake failed
}

func (trace) name() string { return "trace" }

// traceTo makes a connection tell what happens in its handshake.
func traceTo(out *output, c *conn.DtlsConnection) {
	peer := c.PeerAddress().String()
	var start time.Time
	c.SetHandshakeObserver(func(e conn.HandshakeEvent) {
		if start.IsZero() {
			start = e.Time
		}
		t := trace{
			Peer: peer, Kind: e.Kind, Seconds: e.Time.Sub(start).Seconds(),
			Messages: e.Messages, Bytes: e.Bytes, Datagrams: e.Datagrams, Repetition: e.Repetition, Timeout: e.Timeout.Seconds(),
			Alert: e.Alert, Fatal: e.Fatal, Received: e.Received, Question: e.Question, Resumed: e.Resumed,
		}
		if e.Err != nil {
			t.Message = e.Err.Error()
		}
		out.emit(t)
	})
}

// line shows a trace to people.
func (t trace) line(p palette) string {
	text := ""
	switch t.Kind {
	case "flight":
		text = "→ " + strings.Join(t.Messages, ", ")
		if t.Repetition > 0 {
			text = fmt.Sprintf("→ again (%d): %s", t.Repetition, strings.Join(t.Messages, ", "))
		}
		text += fmt.Sprintf(" (%d bytes in %d)", t.Bytes, t.Datagrams)
	case "message":
		text = fmt.Sprintf("← %s (%d bytes)", strings.Join(t.Messages, ", "), t.Bytes)
	case "alert":
		level, arrow := "warning", "→"
		if t.Fatal {
			level = "fatal"
		}
		if t.Received {
			arrow = "←"
		}
		text = fmt.Sprintf("%s alert %s (%s)", arrow, t.Alert, level)
	case "question":
		text = "waits for " + t.Question
	case "answer":
		text = "has " + t.Question
	case "done":
		text = "handshake is done"
		if t.Resumed {
			text += ", session was resumed"
		}
	case "failed":
		text = "handshake has failed: " + t.Message
	}
	return p.faint(fmt.Sprintf("%9.3f ms  ", t.Seconds*1000) + clean(text))
}
