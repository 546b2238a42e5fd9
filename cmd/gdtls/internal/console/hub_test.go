package console

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// readEvent is an event as a page gets it.
type readEvent struct {
	N      uint64          `json:"n"`
	Time   int64           `json:"time"`
	Level  Level           `json:"level"`
	Kind   string          `json:"kind"`
	Peer   string          `json:"peer"`
	Text   string          `json:"text"`
	Fields json.RawMessage `json:"fields"`
}

// readFrame is any frame as a page gets it.
type readFrame struct {
	Type    string      `json:"type"`
	Dropped uint64      `json:"dropped"`
	Events  []readEvent `json:"events"`

	Epoch   string `json:"epoch"`
	Resumed bool   `json:"resumed"`
	Shows   shows  `json:"shows"`

	Samples []sample     `json:"samples"`
	Total   int          `json:"total"`
	Matched int          `json:"matched"`
	Peers   []peerFrame  `json:"peers"`
	States  int          `json:"states"`
	Groups  []groupFrame `json:"groups"`
	More    int          `json:"more"`

	ID    uint64 `json:"id"`
	Error string `json:"error"`
}

func parse(t testing.TB, frame []byte) readFrame {
	t.Helper()
	var f readFrame
	if err := json.Unmarshal(frame, &f); err != nil {
		t.Fatalf("%v in %s", err, frame)
	}
	return f
}

// texts are those of the events after a number, in frames until there are no more.
func texts(t testing.TB, h *Hub, after uint64) (texts []string, gone uint64) {
	t.Helper()
	for {
		frame, last, missed := h.read(nil, after)
		if len(frame) == 0 {
			return texts, gone
		}
		f := parse(t, frame)
		if f.Dropped != missed {
			t.Errorf("the frame tells of %d dropped events, not %d", f.Dropped, missed)
		}
		for i, e := range f.Events {
			if want := after + missed + 1 + uint64(i); e.N != want {
				t.Errorf("event %d has the number %d", want, e.N)
			}
			texts = append(texts, e.Text)
		}
		gone += missed
		after = last
	}
}

func publishMany(h *Hub, from, to int) {
	for i := from; i <= to; i++ {
		h.Publish(Event{Level: Info, Text: fmt.Sprint(i)})
	}
}

func TestHub(t *testing.T) {
	h := NewHub(1000, 0)
	if got, gone := texts(t, h, 0); got != nil || gone != 0 {
		t.Errorf("an empty hub gives %q, %d", got, gone)
	}
	publishMany(h, 1, 800)
	if got, gone := texts(t, h, 0); len(got) != 800 || got[0] != "1" || got[799] != "800" || gone != 0 {
		t.Errorf("%d events, %d gone", len(got), gone)
	}
	if got, gone := texts(t, h, 790); len(got) != 10 || got[0] != "791" || gone != 0 {
		t.Errorf("after 790: %q, %d gone", got, gone)
	}
	publishMany(h, 801, 2500)
	if got, gone := texts(t, h, 800); len(got) != 1000 || got[0] != "1501" || gone != 700 {
		t.Errorf("%d events, %d gone: 1000 and 700 are right", len(got), gone)
	}
	if got, gone := texts(t, h, 2500); got != nil || gone != 0 {
		t.Errorf("after the last: %q, %d gone", got, gone)
	}
}

func TestHubBoundsBytes(t *testing.T) {
	const most = 64 << 10
	h := NewHub(0, most)
	long := strings.Repeat("x", 10<<10) // of which maxText is kept
	for range 1000 {
		h.Publish(Event{Level: Message, Text: long})
	}
	got, gone := texts(t, h, 0)
	if h.bytes > most || len(got) < most/2/maxText || len(got)+int(gone) != 1000 {
		t.Errorf("%d bytes, %d events kept, %d gone", h.bytes, len(got), gone)
	}
	for i, e := range h.ring {
		kept := uint64(i) == (h.next-1)%uint64(len(h.ring)) || len(e) > 0
		if !kept && e != nil {
			t.Fatal("an event that was evicted is still held")
		}
	}
}

func TestEventEncoding(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	for name, test := range map[string]struct {
		event Event
		want  readEvent
	}{
		"all": {
			Event{Time: at, Level: Error, Kind: "handshake", Peer: "[::1]:7", Text: "no <b>\"\\\n\x00\u2028", Fields: json.RawMessage(`{"ok":false}`)},
			readEvent{1, at.UnixMilli(), Error, "handshake", "[::1]:7", "no <b>\"\\\n\x00\u2028", json.RawMessage(`{"ok":false}`)},
		},
		"no UTF-8":        {Event{Time: at, Level: Info, Text: "a\xffb\xc3"}, readEvent{N: 1, Time: at.UnixMilli(), Level: Info, Text: "a\uFFFDb\uFFFD"}},
		"fields too long": {Event{Time: at, Level: Info, Text: "x", Fields: json.RawMessage(`"` + strings.Repeat("y", maxFields) + `"`)}, readEvent{N: 1, Time: at.UnixMilli(), Level: Info, Text: "x"}},
		"fields not JSON": {Event{Time: at, Level: Info, Text: "x", Fields: json.RawMessage(`{`)}, readEvent{N: 1, Time: at.UnixMilli(), Level: Info, Text: "x"}},
		"text too long":   {Event{Time: at, Level: Info, Text: strings.Repeat("ä", maxText)}, readEvent{N: 1, Time: at.UnixMilli(), Level: Info, Text: strings.Repeat("ä", maxText/2) + "…"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewHub(0, 0)
			h.Publish(test.event)
			frame, _, _ := h.read(nil, 0)
			got := parse(t, frame).Events[0]
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("read %+v, want %+v", got, test.want)
			}
		})
	}
}

func FuzzEvent(f *testing.F) {
	f.Add("info", "kind", "127.0.0.1:1", "text \x00\xff…\"", `{"a":[1]}`)
	f.Add("", "", "", "", "}")
	f.Fuzz(func(t *testing.T, level, kind, peer, text, fields string) {
		h := NewHub(0, 0)
		h.Publish(Event{Level: Level(level), Kind: kind, Peer: peer, Text: text, Fields: json.RawMessage(fields)})
		frame, last, gone := h.read(nil, 0)
		if last != 1 || gone != 0 || !utf8.Valid(frame) && utf8.ValidString(fields) {
			t.Fatal(last, gone, frame)
		}
		e := parse(t, frame).Events[0]
		if text := strings.ToValidUTF8(text, "\uFFFD"); len(text) <= maxText && strings.ToValidUTF8(e.Text, "") != e.Text {
			t.Errorf("%q became %q", text, e.Text)
		}
	})
}

// Whoever publishes waits for nobody, also while many read.
func TestPublishFromMany(t *testing.T) {
	h := NewHub(100, 0)
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() { publishMany(h, 1, 1000) })
		work.Go(func() {
			seen := uint64(0)
			for seen < 4000 {
				frame, last, _ := h.read(nil, seen)
				if len(frame) > 0 {
					parse(t, frame)
				}
				seen = last
			}
		})
	}
	work.Wait()
	if _, next := h.bounds(); next != 4001 {
		t.Errorf("the next event has the number %d", next)
	}
}

func BenchmarkPublish(b *testing.B) {
	h := NewHub(0, 0)
	e := Event{Level: Message, Kind: "jwt_request", Peer: "192.0.2.17:51234", Text: "REDS member 1 says 3, GREEN advanced by DTLS", Fields: json.RawMessage(`{"peer":"192.0.2.17:51234","transport":"dtls","group":"REDS","registration":1,"number":3,"next":4,"step":"advanced","refusal":""}`)}
	b.ReportAllocs()
	for b.Loop() {
		h.Publish(e)
	}
}
