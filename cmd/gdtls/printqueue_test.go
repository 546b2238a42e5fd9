package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// A reader that stalls holds up nobody, and is told what it has missed.
func TestPrintQueue(t *testing.T) {
	reader, writer := io.Pipe()
	out := newOutput(writer, io.Discard, true).queued()
	const all = 10 * maxUnprinted
	begun := time.Now()
	for i := range all {
		out.emit(received{Peer: "127.0.0.1:1", Size: i})
	}
	if took := time.Since(begun); took > limit/2 {
		t.Errorf("printing took %v", took)
	}
	var text []byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		text, err = io.ReadAll(reader)
	}()
	out.close()
	_ = writer.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	printed, dropped := 0, 0
	for line := range strings.Lines(string(text)) {
		switch e := parseEvent(t, line); e.name() {
		case "datagram":
			printed++
		case "warning":
			var n int
			if _, err := fmt.Sscanf(e["message"].(string), "%d events were not printed", &n); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			dropped += n
		}
	}
	if printed+dropped != all || dropped < all-2*maxUnprinted || printed < maxUnprinted {
		t.Errorf("%d printed and %d dropped of %d", printed, dropped, all)
	}
}

// A reader that never comes back does not hold up the end.
func TestPrintQueueEnds(t *testing.T) {
	_, writer := io.Pipe()
	defer writer.Close() // lets the goroutine go
	out := newOutput(writer, io.Discard, true).queued()
	out.emit(received{})
	begun := time.Now()
	out.close()
	if took := time.Since(begun); took > drainTime+limit/4 {
		t.Errorf("the end took %v", took)
	}
}
