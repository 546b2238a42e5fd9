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
	wait *printQueue // what is printed goes through it; nil: whoever prints waits
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

// seen is the output with one more who is told of its events.
func (o *output) seen(by func(event)) *output {
	other := *o
	if before := o.see; before != nil {
		other.see = func(e event) {
			before(e)
			by(e)
		}
	} else {
		other.see = by
	}
	return &other
}

// queued is the output for a server whose peers must not wait for a reader: it prints by
// a queue, which drops what the reader is too slow for. It must be closed.
func (o *output) queued() *output {
	other := *o
	other.wait = newPrintQueue(func(p printed) { o.write(p.to, p.text) }, func(dropped uint64) printed {
		e := warning{Message: fmt.Sprintf("%d events were not printed: the reader of this output is too slow", dropped)}
		return printed{o.stdout, o.show(e)}
	})
	return &other
}

// close prints what a queued output has left.
func (o *output) close() {
	if o.wait != nil {
		o.wait.close()
	}
}

// emit tells of an event.
func (o *output) emit(e event) {
	if o.see != nil {
		defer o.see(e)
	}
	if text := o.show(e); text != "" {
		o.write(o.stdout, text)
	}
}

// show makes the lines of an event, empty for none.
func (o *output) show(e event) string {
	if o.json {
		if e.name() == "" {
			return ""
		}
		return encode(e, o.tags)
	}
	if text := o.view(o.paint, e); text != "" {
		return text + "\n"
	}
	return ""
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
	if o.wait != nil {
		o.wait.put(printed{w, text})
		return
	}
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
	case consoleOpened:
		return e.text()
	case accountChanged:
		return fmt.Sprintf("%s: account %s %s", e.Where, clean(e.Name), e.Change)
	case accountNames:
		if len(e.Names) == 0 {
			return "there are no accounts"
		}
		return clean(strings.Join(e.Names, ", "))
	case warning:
		return p.warning("! " + clean(e.Message))
	case failed:
		return p.error("✗ " + clean(e.Message))
	}
	return ""
}
