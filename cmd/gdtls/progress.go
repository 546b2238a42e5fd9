package main

import (
	"fmt"
	"strings"
	"time"
)

// progress is a bar on standard error, for a person who waits there.
type progress struct {
	out   *output
	begun time.Time
	drawn bool
	off   bool
}

const (
	progressDelay = time.Second // what is done sooner needs no bar
	progressWidth = 24          // columns of the bar itself
)

func newProgress(out *output) *progress {
	return &progress{out: out, begun: time.Now(), off: !isTerminal(out.stderr)}
}

// show draws how much is done, from 0 to 1, and what is being done.
func (p *progress) show(done float64, what string) {
	spent := time.Since(p.begun)
	if p.off || spent < progressDelay {
		return
	}
	full := min(int(done*progressWidth), progressWidth)
	line := strings.Repeat("━", full) + p.out.paint.faint(strings.Repeat("─", progressWidth-full))
	left := ""
	if done > 0 {
		left = ", " + (time.Duration(float64(spent) * (1 - done) / done)).Round(time.Second).String() + " left"
	}
	p.out.write(p.out.stderr, fmt.Sprintf("\r\x1b[K%s %3.0f %%  %s%s", line, 100*done, what, left))
	p.drawn = true
}

// hide takes the bar away, until it is shown again.
func (p *progress) hide() {
	if p.drawn {
		p.out.write(p.out.stderr, "\r\x1b[K")
		p.drawn = false
	}
}
