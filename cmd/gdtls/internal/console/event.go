package console

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// Level is one of the four kinds of line that the window of Qt's DTLS server example
// tells apart by colour.
type Level string

// The levels.
const (
	Error   Level = "error"   // crimson
	Warning Level = "warning" // dark orange
	Info    Level = "info"    // dark blue
	Message Level = "message" // dark magenta: something that a peer sent
)

const (
	maxText   = 1 << 10 // bytes of an event's text; what is longer is cut
	maxFields = 2 << 10 // bytes of an event's fields; what is longer is left out
	maxPeer   = 1 << 8  // bytes of the name of an event's peer; what is longer is cut
)

// Event is something that happened.
type Event struct {
	Time  time.Time // zero: now
	Level Level
	Kind  string // a word for programs, such as "handshake"
	Peer  string // whom it concerns, empty for nobody
	Text  string // for people, a line
	// Fields are what there is besides, a JSON object, or nothing.
	Fields json.RawMessage
}

// encode gives the members of the event's JSON object that follow its number, and the
// closing brace.
func (e *Event) encode() []byte {
	b := make([]byte, 0, 64+len(e.Kind)+len(e.Peer)+len(e.Text)+min(len(e.Fields), maxFields))
	b = append(b, `,"time":`...)
	b = strconv.AppendInt(b, e.Time.UnixMilli(), 10)
	b = append(b, `,"level":`...)
	b = appendString(b, string(e.Level))
	for _, member := range [...]struct{ name, value string }{{"kind", e.Kind}, {"peer", cut(e.Peer, maxPeer)}, {"text", cut(e.Text, maxText)}} {
		if member.value != "" {
			b = append(append(append(b, `,"`...), member.name...), `":`...)
			b = appendString(b, member.value)
		}
	}
	if n := len(e.Fields); n > 0 && n <= maxFields && json.Valid(e.Fields) {
		b = append(append(b, `,"fields":`...), e.Fields...)
	}
	return append(b, '}')
}

// cut cuts text to so many bytes, between two characters, and marks that it did.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// appendString appends a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[from:i]...), "\uFFFD"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			b = append(append(b, s[from:i]...), '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			from = i + 1
		}
		i++
	}
	return append(append(b, s[from:]...), '"')
}
