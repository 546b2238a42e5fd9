package interop

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for a peer: far longer than it takes, so that
// only what hangs meets it.
const patience = 15 * time.Second

// process is a peer's program. What it prints is collected; it is killed at the
// test's end if it still runs.
type process struct {
	name  string
	stdin io.WriteCloser
	ended chan struct{}

	mu      sync.Mutex
	output  strings.Builder
	changed chan struct{} // closed and renewed with each output
}

// needProgram skips the test if a program is missing. CI fails on such skips.
func needProgram(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s: %v", name, err)
	}
}

func start(t testing.TB, environment []string, name string, arguments ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	command := exec.CommandContext(ctx, name, arguments...)
	command.Env = append(append(os.Environ(), "LC_ALL=C"), environment...)
	command.WaitDelay = time.Second
	p := &process{name: name, ended: make(chan struct{}), changed: make(chan struct{})}
	command.Stdout, command.Stderr = p, p
	var err error
	if p.stdin, err = command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = command.Wait() // programs differ in their exit codes; tests look at the output
		close(p.ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
		if t.Failed() {
			t.Logf("%s\n%s", strings.Join(command.Args, " "), p.text())
		}
	})
	return p
}

// Write collects output; it serves exec.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.output.Write(b)
	close(p.changed)
	p.changed = make(chan struct{})
	return len(b), nil
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

var errEnded = errors.New("process has ended")

// awaitFunc waits until the output is as wanted.
func (p *process) awaitFunc(wanted func(output string) bool) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		p.mu.Lock()
		output, changed := p.output.String(), p.changed
		p.mu.Unlock()
		if wanted(output) {
			return nil
		}
		select {
		case <-changed:
		case <-p.ended:
			if p.text() == output { // nothing came meanwhile
				return errEnded
			}
		case <-timer.C:
			return context.DeadlineExceeded
		}
	}
}

// await waits until the output has one of the texts.
func (p *process) await(texts ...string) error {
	return p.awaitFunc(func(output string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(output, text) })
	})
}

// expect is await, and the test fails without the text.
func (p *process) expect(t testing.TB, texts ...string) {
	t.Helper()
	if err := p.await(texts...); err != nil {
		t.Fatalf("%s has not printed %q: %v", p.name, texts, err)
	}
}

// input writes to the program.
func (p *process) input(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, text); err != nil {
		t.Fatalf("%s does not read: %v", p.name, err)
	}
}
