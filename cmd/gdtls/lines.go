package main

import (
	"bufio"
	"context"
	"io"
	"sync"
)

// maxLine is the longest line of standard input, in bytes: no message may be longer.
const maxLine = 1 << 16

// lines reads lines, and gives up waiting for one when a context ends. The reading
// goroutine begins with the first line that is wanted and stays blocked in the
// reader: nobody can call it back from there.
type lines struct {
	person bool // who types is a person at a terminal

	start func()
	next  chan string // closed at the end
}

func newLines(r io.Reader) *lines {
	l := &lines{person: isTerminal(r), next: make(chan string)}
	l.start = sync.OnceFunc(func() { go l.read(r) })
	return l
}

func (l *lines) read(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	for scanner.Scan() {
		l.next <- scanner.Text()
	}
	close(l.next)
}

// line gives the next line without its end, and false at the end of the input or
// when ctx ends.
func (l *lines) line(ctx context.Context) (string, bool) {
	l.start()
	select {
	case text, ok := <-l.next:
		return text, ok
	case <-ctx.Done():
		return "", false
	}
}
