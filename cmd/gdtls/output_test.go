package main

import (
	"bytes"
	"strings"
	"testing"
)

// screen is an output that a person looks at.
type screen struct{ bytes.Buffer }

func (*screen) IsTerminal() bool { return true }

func TestColours(t *testing.T) {
	for _, test := range []struct {
		noColor string
		want    bool
	}{{"", true}, {"1", false}} {
		t.Setenv("NO_COLOR", test.noColor)
		var out, stderr screen
		o := newOutput(&out, &stderr, false).viewed(logView)
		colours := map[string]event{
			crimson:     failed{Message: "an error"},
			darkOrange:  warning{Message: "a warning"},
			darkBlue:    closed{Clean: true, Reason: "information"},
			darkMagenta: newReceived("peer", []byte("a message")),
		}
		for colour, e := range colours {
			out.Reset()
			o.emit(e)
			if strings.Contains(out.String(), "\x1b["+colour+"m") != test.want {
				t.Errorf("NO_COLOR=%q: %s is shown as %q", test.noColor, e.name(), out.String())
			}
		}
		if !test.want && strings.Contains(out.String(), "\x1b") {
			t.Errorf("colours in spite of NO_COLOR: %q", out.String())
		}
	}
}

func TestLongMessages(t *testing.T) {
	for _, test := range []struct{ data, want string }{
		{strings.Repeat("a", 160), strings.Repeat("a", 160)},
		{strings.Repeat("ä", 161), "322 bytes: " + strings.Repeat("ä", 80) + "…"},
		{"\xff\x00", "2 bytes: ff00"},
		{strings.Repeat("\xff", 100), "100 bytes: " + strings.Repeat("ff", 40) + "…"},
	} {
		if got := messageText(newReceived("", []byte(test.data))); got != test.want {
			t.Errorf("%q is shown as %q, want %q", test.data, got, test.want)
		}
	}
}
