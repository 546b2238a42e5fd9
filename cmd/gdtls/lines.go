package main

import (
	"bufio"
	"context"
	"io"
	"sync"
)

// maxLine is the longest line of standard input, in bytes: no message may be longer, and
// no event.
const maxLine = 1 << 18

// lines reads lines, and gives up waiting for one when a context ends. The reading
// goroutine begins with the first line that is wanted and stays blocked in the
// reader: nobody can call it back from there.
type lines struct {
	person bool // who types is a person at a terminal

	start func()
	next  chan string // closed at the end
	err   error       // why it ended, io.EOF or worse; set before that
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
	if l.err = scanner.Err(); l.err == nil {
		l.err = io.EOF
	}
	close(l.next)
}

// line gives the next line without its end. The error is io.EOF after the last one,
// and that of ctx when it ends.
func (l *lines) line(ctx context.Context) (string, error) {
	l.start()
	select {
	case text, ok := <-l.next:
		if !ok {
			return "", l.err
		}
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
