package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/term"
)

// A view makes what people read of an event: whole lines, or nothing.
type view func(p palette, e event) string

// output is where a command tells what happens. It may be used by many goroutines.
type output struct {
	json bool
	view view
	tags string      // members that every event of it has, as JSON
	see  func(event) // is told of every event, too; nil: nobody is
	*sink
}

// sink is what the outputs of a command share.
type sink struct {
	paint    palette
	terminal bool // a person sees the standard output

	mu             sync.Mutex
	stdout, stderr io.Writer
}

// newOutput makes an output that shows notes and errors. A command chooses its own
// view by viewed.
func newOutput(stdout, stderr io.Writer, asJSON bool) *output {
	terminal := isTerminal(stdout)
	colours := terminal && os.Getenv("NO_COLOR") == ""
	return &output{json: asJSON, view: plainView, sink: &sink{paint: palette(colours), terminal: terminal, stdout: stdout, stderr: stderr}}
}

// viewed is the output with another view.
func (o *output) viewed(v view) *output {
	other := *o
	other.view = v
	return &other
}

// tagged is the output with one more member in each of its events.
func (o *output) tagged(name, value string) *output {
	other := *o
	member, err := json.Marshal(map[string]string{name: value})
	if err != nil {
		panic(err) // strings can be encoded
	}
	other.tags += string(member[1:len(member)-1]) + ","
	return &other
}

// seen is the output with somebody who is told of its events.
func (o *output) seen(by func(event)) *output {
	other := *o
	other.see = by
	return &other
}

// emit tells of an event.
func (o *output) emit(e event) {
	if o.see != nil {
		defer o.see(e)
	}
	if o.json {
		if e.name() != "" {
			o.write(o.stdout, encode(e, o.tags))
		}
		return
	}
	if text := o.view(o.paint, e); text != "" {
		o.write(o.stdout, text+"\n")
	}
}

// print writes text for people, who may still be typing in the line.
func (o *output) print(text string) {
	if !o.json {
		o.write(o.stdout, text)
	}
}

// fail tells why the command failed.
func (o *output) fail(err error) {
	if o.json {
		o.write(o.stdout, encode(failure("", err), o.tags))
		return
	}
	o.write(o.stderr, "gdtls: "+clean(err.Error())+"\n")
}

func (o *output) write(w io.Writer, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = io.WriteString(w, text) // a reader that went away is no concern of the connection
}

// encode gives the event's line: the members "event", those of tags and its own.
func encode(e event, tags string) string {
	var own bytes.Buffer
	encoder := json.NewEncoder(&own)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		panic(err) // events are made of strings, numbers and lists
	}
	members := strings.TrimPrefix(own.String(), "{")
	head := fmt.Sprintf(`{"event":%q,%s`, e.name(), tags)
	if strings.HasPrefix(members, "}") {
		head = strings.TrimSuffix(head, ",")
	}
	return head + members
}

// isTerminal tells whether a person is at the other end of a stream.
func isTerminal(stream any) bool {
	switch s := stream.(type) {
	case *os.File:
		return term.IsTerminal(int(s.Fd()))
	case interface{ IsTerminal() bool }:
		return s.IsTerminal()
	}
	return false
}

// clean makes text from elsewhere harmless for a terminal: what is neither a
// letter, mark, number, sign nor space is shown by its code.
func clean(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == unicode.ReplacementChar && !strings.HasPrefix(text[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// plainView shows notes, and what can go wrong anywhere.
func plainView(p palette, e event) string {
	switch e := e.(type) {
	case note:
		return e.text
	case warning:
		return p.warning("! " + clean(e.Message))
	case failed:
		return p.error("✗ " + clean(e.Message))
	}
	return ""
}
