package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// limit is how long anything may take that a test waits for.
const limit = 20 * time.Second

var (
	program string          // the gdtls binary
	browser context.Context // of the one browser; nil: there is none
	missing string          // what it needs then
)

func TestMain(m *testing.M) {
	code, err := setUp(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func setUp(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "gdtls-browser-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			chromium = path
			break
		}
	}
	if chromium == "" {
		missing = "needs chromium: not found in PATH"
		return m.Run(), nil
	}
	program = filepath.Join(dir, "gdtls")
	args := []string{"build", "-buildvcs=false", "-o", program}
	if raceDetector { // then the program looks for races, too
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/gdtls")...)
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, out)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium),
		chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.WindowSize(1440, 1000),
		chromedp.Flag("headless", "new"),
		chromedp.NoSandbox, // a container's root cannot have it; the pages are our own
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-dev-shm-usage", true), // which is small in containers
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.WSURLReadTimeout(limit),
	)
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	tab, close := chromedp.NewContext(allocated)
	defer close()
	if err := chromedp.Do(tab); err != nil {
		return 0, fmt.Errorf("cannot start %s: %w", chromium, err)
	}
	browser = tab
	return m.Run(), nil
}

// server is the program at work.
type server struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{}

	mu     sync.Mutex
	events []event
	more   chan struct{} // closed with the next event
}

// event is one that the program has printed.
type event map[string]any

func (e event) text(member string) string {
	text, _ := e[member].(string)
	return text
}

// start runs the program with --json until the end of the test, which is skipped if there
// is no browser.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	if browser == nil {
		t.Skip(missing)
	}
	s := &server{t: t, cmd: exec.Command(program, append(args, "--json")...), ended: make(chan struct{}), more: make(chan struct{})}
	s.cmd.Stderr = &s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var e event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				s.add(e)
			}
		}
		_ = s.cmd.Wait()
	}()
	t.Cleanup(s.stop)
	return s
}

func (s *server) add(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	close(s.more)
	s.more = make(chan struct{})
}

// wait gives the first event of a name that fits.
func (s *server) wait(name string, fits func(event) bool) event {
	s.t.Helper()
	deadline := time.After(limit)
	for next := 0; ; {
		s.mu.Lock()
		fresh, more := s.events[next:], s.more
		next = len(s.events)
		s.mu.Unlock()
		for _, e := range fresh {
			if e.text("event") == name && (fits == nil || fits(e)) {
				return e
			}
		}
		select {
		case <-more:
		case <-s.ended:
			s.t.Fatalf("the program has ended without an event %q: %s", name, &s.stderr)
		case <-deadline:
			s.t.Fatalf("no event %q within %v", name, limit)
		}
	}
}

// count is how many events of a name were printed.
func (s *server) count(name string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.text("event") == name {
			n++
		}
	}
	return n
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(limit):
		_ = s.cmd.Process.Kill()
		s.t.Error("the program did not end")
		return
	}
	if strings.Contains(s.stderr.String(), "DATA RACE") {
		s.t.Errorf("the program has a race:\n%s", &s.stderr)
	}
}

// gdtls runs the program to its end.
func gdtls(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("gdtls %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// page is a page of the console, in a browser that knows nothing of other tests.
type page struct {
	t   *testing.T
	ctx context.Context

	faults []string // what the browser complained of; of the goroutine that listens
}

// open opens an address. Whatever the browser complains of, such as a violated policy,
// fails the test.
func open(t *testing.T, url string) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*limit)
	t.Cleanup(cancel)
	p := &page{t: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil { // makes the tab, which lives as long as ctx
		t.Fatal(err)
	}
	messages := chromedp.Console(ctx)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for m, err := range messages {
			if err != nil {
				return
			}
			p.hear(m)
		}
	}()
	p.do(chromedp.Navigate(url))
	t.Cleanup(func() {
		cancel()
		<-listening
		for _, fault := range p.faults {
			t.Errorf("the browser complains: %s", fault)
		}
	})
	return p
}

// hear notes what the browser complains of. That a server cannot be reached, or has
// refused something, is what tests are about.
func (p *page) hear(m chromedp.ConsoleMessage) {
	switch {
	case m.Source == "network", strings.Contains(m.Text, "WebSocket connection to"):
	case m.IsException(), m.Type == "error", m.Type == "warning":
		p.faults = append(p.faults, m.String())
	}
}

func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// eval evaluates an expression.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return result
}

// until waits until an expression is true.
func (p *page) until(what, expression string) {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		ctx, cancel := context.WithTimeout(p.ctx, limit)
		now, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		cancel()
		switch {
		case err == nil && now:
			return
		case errors.Is(err, context.Canceled):
			p.t.Fatalf("%s: %v", what, err)
		case time.Now().After(deadline):
			p.t.Fatalf("not within %v: %s (%v)", limit, what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// live waits until the page shows what happens.
func (p *page) live() {
	p.t.Helper()
	p.until("the page is live", `document.getElementById("link")?.dataset.state === "live"`)
}

// empty empties a field, as somebody does who deletes what is there.
func (p *page) empty(selector string) {
	p.t.Helper()
	p.do(chromedp.Focus(selector))
	eval[bool](p, `document.activeElement.select() ?? document.execCommand("delete")`)
}
