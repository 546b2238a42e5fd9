package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gdtls/wsserver"
)

// limit is how long anything may take that a test waits for.
const limit = 20 * time.Second

// served is a console at work, without the limits of requests that one address may make.
type served struct {
	*Console
	t    testing.TB
	stop func()
}

func serve(t testing.TB, config Config) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConsole(t.Context(), l, config, wsserver.Config{RequestsPerSecond: -1}, wsserver.Limits{ConnectionsPerSecond: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Serve(ctx) }()
	s := &served{Console: c, t: t}
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		done <- nil // for a second call
	}
	t.Cleanup(s.stop)
	return s
}

// origin is that of the pages.
func (s *served) origin() string { return strings.TrimSuffix(s.URL(), "/") }

// token logs somebody in.
func (s *served) token(name string) string {
	s.t.Helper()
	token, err := s.Bearer().Issue(name, wsserver.MethodTicket, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return token.Text
}

// watcher is a viewer without a page.
type watcher struct {
	t      testing.TB
	socket *websocket.Conn
}

func (s *served) watch(resume command) *watcher {
	s.t.Helper()
	w, err := s.dial(s.token("somebody"), resume)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = w.socket.CloseNow() })
	return w
}

func (s *served) dial(token string, first command) (*watcher, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c, _, err := websocket.Dial(ctx, s.URL()+"ws", &websocket.DialOptions{
		Subprotocols: []string{subprotocol},
		HTTPHeader:   http.Header{"Authorization": {"Bearer " + token}, "Origin": {s.origin()}},
	})
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(1 << 20)
	w := &watcher{s.t, c}
	return w, w.say(first)
}

func (w *watcher) say(c command) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return w.socket.Write(ctx, websocket.MessageText, mustEncode(c))
}

// next gives the next frame of a type.
func (w *watcher) next(typ string) readFrame {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		_, message, err := w.socket.Read(ctx)
		if err != nil {
			w.t.Fatalf("waiting for %s: %v", typ, err)
		}
		if f := parse(w.t, message); f.Type == typ {
			return f
		}
	}
}

// until gives the texts of events up to one, and how many were dropped on the way.
func (w *watcher) until(text string) (seen []string, dropped uint64) {
	w.t.Helper()
	for {
		f := w.next("events")
		dropped += f.Dropped
		for _, e := range f.Events {
			if seen = append(seen, e.Text); e.Text == text {
				return seen, dropped
			}
		}
	}
}

var resume = command{Type: "resume"}

func TestViewer(t *testing.T) {
	closed := make(chan uint64, 1)
	walks := NewWalks(7)
	walks.Expect("REDS", []int64{1})
	s := serve(t, Config{Title: "test", Source: Source{
		Counters: func() Counters { return Counters{Datagrams: 1} },
		Peers: func() []Peer {
			return []Peer{{ID: 7, Address: "192.0.2.1:5", State: "connected"}, {ID: 8, Address: "192.0.2.2:5"}}
		},
		ClosePeer: func(_ context.Context, id uint64) error {
			if id != 7 {
				return errors.New("gone already")
			}
			closed <- id
			return nil
		},
		Groups: walks.Rainbow,
	}})
	publishMany(s.Events(), 1, 3)
	w := s.watch(resume)
	hello := w.next("hello")
	if hello.Resumed || hello.Epoch == "" || hello.Shows != (shows{true, true, true, true}) {
		t.Errorf("%+v", hello)
	}
	if seen, dropped := w.until("3"); len(seen) != 3 || dropped != 0 {
		t.Errorf("%q, %d dropped", seen, dropped)
	}
	if f := w.next("groups"); f.States != 7 || len(f.Groups) != 1 || f.Groups[0].Members[0].Reached != "00" {
		t.Errorf("%+v", f)
	}
	if f := w.next("peers"); f.Total != 2 || len(f.Peers) != 2 {
		t.Errorf("%+v", f)
	}
	if f := w.next("samples"); f.Samples[0].N != 1 {
		t.Errorf("%+v", f)
	}

	_ = w.say(command{Type: "peers", Filter: "192.0.2.1"})
	for f := w.next("peers"); f.Matched != 1; f = w.next("peers") {
	}
	walks.Advanced("REDS", 1, 0)
	s.Events().Publish(Event{Level: Message, Text: "said 0"})
	if f := w.next("groups"); f.Groups[0].Members[0].Reached != "01" {
		t.Errorf("%+v", f)
	}
	_ = w.say(command{Type: "close", ID: 7})
	if f := w.next("done"); f.ID != 7 || f.Error != "" || <-closed != 7 {
		t.Errorf("%+v", f)
	}
	_ = w.say(command{Type: "close", ID: 8})
	if f := w.next("done"); f.ID != 8 || f.Error != "gone already" {
		t.Errorf("%+v", f)
	}
	w2 := s.watch(resume)
	if seen, _ := w2.until("192.0.2.2:5: somebody closes the connection"); !slices.Contains(seen, "192.0.2.1:5: somebody closes the connection") {
		t.Errorf("the log does not tell who closed a peer: %q", seen)
	}
}

// A viewer that comes back gets what it has missed, and is told what is gone; one that
// knew another server begins anew.
func TestResume(t *testing.T) {
	s := serve(t, Config{Events: NewHub(100, 0)})
	publishMany(s.Events(), 1, 10)
	w := s.watch(resume)
	epoch := w.next("hello").Epoch
	w.until("10")
	_ = w.socket.CloseNow()

	publishMany(s.Events(), 11, 20)
	w = s.watch(command{Type: "resume", Epoch: epoch, Event: 10})
	if !w.next("hello").Resumed {
		t.Error("not resumed")
	}
	if seen, dropped := w.until("20"); len(seen) != 10 || dropped != 0 {
		t.Errorf("%q, %d dropped", seen, dropped)
	}
	publishMany(s.Events(), 21, 200)
	w = s.watch(command{Type: "resume", Epoch: epoch, Event: 20})
	if seen, dropped := w.until("200"); len(seen) != 100 || dropped != 80 {
		t.Errorf("%d events, %d dropped", len(seen), dropped)
	}
	for _, elsewhere := range []command{{Type: "resume", Epoch: "another", Event: 20}, {Type: "resume", Epoch: epoch, Event: 1 << 60}} {
		w = s.watch(elsewhere)
		if w.next("hello").Resumed {
			t.Error("resumed what another server said")
		}
		if seen, dropped := w.until("200"); len(seen) != 100 || dropped != 0 {
			t.Errorf("%d events, %d dropped", len(seen), dropped)
		}
	}
}

// What is no command ends the viewer, and nothing else.
func TestBadCommands(t *testing.T) {
	s := serve(t, Config{})
	for name, messages := range map[string][]string{
		"no resume":       {`{"type":"close","id":1}`},
		"no JSON":         {`{`},
		"unknown":         {`{"type":"resume"}`, `{"type":"shutdown"}`},
		"too long":        {`{"type":"resume"}`, `{"type":"peers","filter":"` + strings.Repeat("x", maxCommand) + `"}`},
		"number for text": {`{"type":"resume"}`, `{"type":7}`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			w, err := s.dial(s.token("somebody"), command{Type: "x"})
			if name != "no resume" && err == nil {
				_ = w.socket.CloseNow()
				c, _, dialErr := websocket.Dial(ctx, s.URL()+"ws", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + s.token("somebody")}}})
				w, err = &watcher{t, c}, dialErr
			}
			if err != nil {
				t.Fatal(err)
			}
			defer w.socket.CloseNow()
			for _, m := range messages {
				_ = w.socket.Write(ctx, websocket.MessageText, []byte(m)) // may be closed already
			}
			for err == nil {
				_, _, err = w.socket.Read(ctx)
			}
			if ctx.Err() != nil {
				t.Error("the viewer was not ended")
			}
		})
	}
}

// browser is a client as a page is one.
func (s *served) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: limit}
}

func (s *served) post(c *http.Client, path, body string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.origin()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", s.origin())
	return s.do(c, r)
}

func (s *served) do(c *http.Client, r *http.Request) (*http.Response, string) {
	s.t.Helper()
	answer, err := c.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, string(text)
}

func TestLogin(t *testing.T) {
	accounts := new(wsserver.MemoryAccounts)
	if err := accounts.SetPassword("alice", "correct horse"); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Config{Accounts: accounts})
	c := s.browser()
	if answer, _ := s.post(c, "/session", "{}"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a session without login: %s", answer.Status)
	}
	if answer, _ := s.post(c, "/login", `{"username":"alice","password":"wrong horse"}`); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong password: %s", answer.Status)
	}
	if answer, _ := s.post(c, "/login", `{"username":"alice","password":"correct horse"}`); answer.StatusCode != http.StatusOK {
		t.Fatalf("the password: %s", answer.Status)
	}
	answer, text := s.post(c, "/session", "{}")
	var session struct {
		Name         string
		Expires, Now int64
	}
	if err := json.Unmarshal([]byte(text), &session); err != nil || session.Name != "alice" || session.Expires <= session.Now {
		t.Errorf("%s: %s, %v", answer.Status, text, err)
	}
	if answer, _ := s.post(c, "/renew", "{}"); answer.StatusCode != http.StatusOK || len(answer.Cookies()) != 1 {
		t.Errorf("renewal: %s, cookies %v", answer.Status, answer.Cookies())
	}
	if answer, _ := s.post(c, "/logout", "{}"); answer.StatusCode != http.StatusNoContent {
		t.Errorf("logout: %s", answer.Status)
	}
	if answer, _ := s.post(c, "/session", "{}"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("after logout: %s", answer.Status)
	}

	link, err := s.LoginURL()
	if err != nil {
		t.Fatal(err)
	}
	_, ticket, _ := strings.Cut(link, "#ticket=")
	for _, want := range []int{http.StatusOK, http.StatusUnauthorized} { // once
		if answer, _ := s.post(s.browser(), "/login/once", fmt.Sprintf(`{"ticket":%q}`, ticket)); answer.StatusCode != want {
			t.Errorf("the ticket: %s, want %d", answer.Status, want)
		}
	}
	if _, err := s.dial("no token", resume); err == nil {
		t.Error("a viewer without a token")
	}
}

// Who cannot log in has a link shown to whom the server belongs, but not often.
func TestLink(t *testing.T) {
	links := make(chan string, 1)
	s := serve(t, Config{NewLink: func(url string) { links <- url }})
	if answer, text := s.post(s.browser(), "/login/link", "{}"); answer.StatusCode != http.StatusNoContent || text != "" {
		t.Errorf("%s: %s", answer.Status, text)
	}
	_, ticket, _ := strings.Cut(<-links, "#ticket=")
	if answer, _ := s.post(s.browser(), "/login/link", "{}"); answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("once more: %s", answer.Status)
	}
	if answer, _ := s.post(s.browser(), "/login/once", fmt.Sprintf(`{"ticket":%q}`, ticket)); answer.StatusCode != http.StatusOK {
		t.Errorf("the ticket: %s", answer.Status)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.origin()+"/login/link", strings.NewReader("a=b"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if answer, _ := s.do(s.browser(), r); answer.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a form: %s", answer.Status)
	}
	with := serve(t, Config{Accounts: new(wsserver.MemoryAccounts), NewLink: func(string) { t.Error("a link although there are accounts") }})
	if answer, _ := with.post(with.browser(), "/login/link", "{}"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("with accounts: %s", answer.Status)
	}
}

func TestPages(t *testing.T) {
	s := serve(t, Config{})
	c := s.browser()
	get := func(path string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.do(c, r)
	}
	for _, path := range []string{"/", "/login"} {
		answer, text := get(path)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s, %v", path, answer.Status, answer.Header)
		}
		if strings.Contains(text, "{{") || strings.Contains(text, "style=") || strings.Contains(text, "<style") || strings.Contains(text, "onclick") {
			t.Errorf("%s has something in it that the policy forbids, or a gap", path)
		}
		for _, reference := range strings.Split(text, `"`+s.pages.prefix+"/")[1:] {
			name, _, _ := strings.Cut(reference, `"`)
			if answer, _ := get(s.pages.prefix + "/" + name); answer.StatusCode != http.StatusOK {
				t.Errorf("%s refers to %s: %s", path, name, answer.Status)
			}
		}
	}
	for name, file := range s.pages.assets {
		answer, text := get(s.pages.prefix + "/" + name)
		if text != string(file.data) || !strings.Contains(answer.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %s, %v", name, answer.Status, answer.Header)
		}
		if bytes.Contains(file.data, []byte("http://")) && name != "icon.svg" && name != "dom.js" || bytes.Contains(file.data, []byte("innerHTML")) {
			t.Errorf("%s refers to another server, or writes HTML", name)
		}
	}
	for _, path := range []string{"/", "/login", "/nothing", s.pages.prefix + "/nothing", s.pages.prefix + "/style.css", "/ws", "/assets/old/style.css"} {
		answer, _ := get(path)
		for header, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY",
		} {
			if !strings.HasPrefix(answer.Header.Get(header), want) {
				t.Errorf("%s: %s is %q", path, header, answer.Header.Get(header))
			}
		}
	}
	if strings.Contains(pagePolicy, "unsafe") || !strings.Contains(pagePolicy, "frame-ancestors 'none'") {
		t.Error(pagePolicy)
	}
}

func TestPlain(t *testing.T) {
	if c, err := Listen(t.Context(), "0.0.0.0:0", Config{}); !errors.Is(err, ErrPlain) {
		t.Errorf("plain HTTP for everybody: %v, %v", c, err)
	}
	for _, config := range []Config{{Plain: true}, {}} {
		address := map[bool]string{true: "0.0.0.0:0", false: "127.0.0.1:0"}[config.Plain]
		c, err := Listen(t.Context(), address, config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Serve(ctx); err != nil {
			t.Errorf("Serve: %v", err)
		}
		if want := map[bool]string{true: "http://localhost:", false: "http://127.0.0.1:"}[config.Plain]; !strings.HasPrefix(c.URL(), want) {
			t.Errorf("URL %s", c.URL())
		}
	}
}

// What a viewer commands may be anything.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		`{"type":"peers","filter":"x","sort":"bytes","limit":7}`, `{"type":"close","id":1}`, `{"type":"resume","event":-1}`, `[]`, `{"type":`, ``,
	} {
		f.Add([]byte(seed), []byte(seed))
	}
	s := serve(f, Config{Source: Source{
		Peers:     func() []Peer { return []Peer{{ID: 1, Address: "192.0.2.1:5"}} },
		ClosePeer: func(context.Context, uint64) error { return nil },
	}})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		commands := make(chan []byte, 3)
		commands <- first
		commands <- second
		close(commands)
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := s.Console.watch(ctx, "somebody", said(commands)); ctx.Err() != nil {
			t.Errorf("the viewer has not ended: %v", err)
		}
	})
}

// said is a stream with what a viewer says, and an end.
type said chan []byte

func (s said) Read(context.Context) ([]byte, error) {
	if message, ok := <-s; ok {
		return message, nil
	}
	return nil, io.EOF
}

func (said) Write(_ context.Context, message []byte) error {
	if !json.Valid(message) {
		return fmt.Errorf("not JSON: %s", message)
	}
	return nil
}
