package wsserver

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// heapNow is what the program keeps.
func heapNow() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// 10,000 clients that are refused one after another, each over a connection of its own
// and with another token, leave nothing behind.
func TestRefusedKeepNothing(t *testing.T) {
	b := newBearer(t)
	s, address := listen(t, b, func(c *Config) { c.Logger = slog.New(slog.DiscardHandler) })
	good := tokenFor(t, b, "ada", time.Hour).Text
	request := []byte(upgradeRequest(address, "Authorization: Bearer "+good))
	at := bytes.Index(request, []byte(good)) + len(good) - 40 // in the signature
	answer := make([]byte, 4096)
	refuseOne := func(i int) {
		request[at+i%32] = "AB"[i/32%2]
		request[at+32+i/64%4] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[i/256%64]
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		n, err := io.ReadFull(c, answer) // until the server closes
		if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 401 ")) {
			t.Fatalf("answer %q, %v", answer[:n], err)
		}
	}
	const warm, many = 500, 10_000
	for i := range warm {
		refuseOne(i)
	}
	goroutines, before := runtime.NumGoroutine(), heapNow()
	for i := range many {
		refuseOne(warm + i)
	}
	waitFor(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	kept := heapNow() - before
	t.Logf("%d bytes more after %d refusals", kept, many)
	if kept > 128<<10 {
		t.Errorf("%d bytes are kept after %d refusals", kept, many)
	}
	if got := s.Stats(); got != (Stats{Refused: warm + many}) {
		t.Errorf("stats %+v", got)
	}
}

// discardResponse is a ResponseWriter without memory of its own. As that of net/http it
// takes strings.
type discardResponse struct{ header http.Header }

func (d *discardResponse) Header() http.Header               { return d.header }
func (d *discardResponse) Write(b []byte) (int, error)       { return len(b), nil }
func (d *discardResponse) WriteString(s string) (int, error) { return len(s), nil }
func (d *discardResponse) WriteHeader(int)                   {}

func TestRefusingAllocatesNothing(t *testing.T) {
	b := newBearer(t)
	request := func(change func(*http.Request)) *http.Request {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = header("Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Protocol", "chat")
		change(r)
		return r
	}
	for name, test := range map[string]struct {
		server  *WebSocketServer
		request *http.Request
	}{
		"no token": {NewWebSocketServer(b, Config{RequestsPerSecond: -1, ServerName: "x"}), request(func(*http.Request) {})},
		"origin": {NewWebSocketServer(b, Config{RequestsPerSecond: -1}), request(func(r *http.Request) {
			r.Header.Set("Origin", "http://evil.example")
		})},
		"too many": {NewWebSocketServer(b, Config{RequestBurst: 1, RequestsPerSecond: 1e-3, ClientAddress: func(*http.Request) netip.Addr {
			return netip.AddrFrom4([4]byte{192, 0, 2, 1})
		}}), request(func(*http.Request) {})},
		"no upgrade":         {NewWebSocketServer(b, Config{RequestsPerSecond: -1}), request(func(r *http.Request) { r.Header.Del("Upgrade") })},
		"bare Authenticator": {NewWebSocketServer(nil, Config{RequestsPerSecond: -1}), request(func(*http.Request) {})},
	} {
		w := &discardResponse{http.Header{}}
		if test.server.config.RequestBurst != 1 {
			test.server.config.ClientAddress = func(*http.Request) netip.Addr { return netip.IPv6Loopback() }
		}
		if n := testing.AllocsPerRun(100, func() {
			clear(w.header)
			test.server.ServeHTTP(w, test.request)
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestHeaderBombs(t *testing.T) {
	s, address := listen(t, anybody)
	t.Run("bombs", func(t *testing.T) {
		for name, lines := range map[string][]string{
			"one long line":    {"Authorization: Bearer " + strings.Repeat("a", MaxHeaderBytes)},
			"many lines":       strings.Split(strings.TrimSpace(strings.Repeat("A: b\n", MaxHeaderBytes/6)), "\n"),
			"very long":        {"Cookie: " + strings.Repeat("a=b; ", 1<<20)},
			"long subprotocol": {"Sec-WebSocket-Protocol: bearer." + strings.Repeat("a", MaxHeaderBytes)},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				// A server that closes before it has read all may have its answer lost.
				answer := rawRequest(t, address, upgradeRequest(address, lines...))
				if answer != "" && !strings.HasPrefix(answer, "HTTP/1.1 431 ") {
					t.Errorf("answer %.100q", answer)
				}
			})
		}
	})
	if got := s.Stats(); got != (Stats{}) {
		t.Errorf("the requests came through: %+v", got)
	}
	// What is below the limit is judged.
	dial(t, address, header("A", strings.Repeat("a", MaxHeaderBytes*7/8)))
}

// A client that sends its header slowly, or nothing at all, is cut off.
func TestSlowHeaders(t *testing.T) {
	s := NewWebSocketServer(anybody, Config{})
	server := NewHTTPServer(s, nil)
	if server.ReadHeaderTimeout != HeaderTimeout || server.ReadTimeout <= 0 || server.WriteTimeout <= 0 || server.IdleTimeout <= 0 {
		t.Errorf("deadlines %v, %v, %v, %v", server.ReadHeaderTimeout, server.ReadTimeout, server.WriteTimeout, server.IdleTimeout)
	}
	const short = 300 * time.Millisecond
	server.ReadHeaderTimeout = short // the way is the same
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(LimitListener(listener, Limits{})) }()
	defer server.Close()
	ended := make(chan time.Duration, 2)
	for _, start := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\nA: "} {
		go func() {
			began := time.Now()
			defer func() { ended <- time.Since(began) }()
			c, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_ = c.SetDeadline(began.Add(patience))
			stop := make(chan struct{})
			defer close(stop)
			go drip(c, start, stop)
			_, _ = io.Copy(io.Discard, c)
		}()
	}
	for range 2 {
		if d := within(t, "the end", ended); d < short*9/10 || d > patience/2 {
			t.Errorf("cut off after %v, not %v", d, short)
		}
	}
	if s.Stats() != (Stats{}) {
		t.Errorf("stats %+v", s.Stats())
	}
}

// drip sends the start of something, and if there is one, slowly more of it.
func drip(to net.Conn, start string, stop <-chan struct{}) {
	_, err := io.WriteString(to, start)
	for start != "" && err == nil {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
			_, err = io.WriteString(to, "a")
		}
	}
}

func TestRequestRate(t *testing.T) {
	_, address := listen(t, anybody, func(c *Config) {
		c.RequestsPerSecond, c.RequestBurst = 1e-3, 3
		c.ClientAddress = func(r *http.Request) netip.Addr {
			a, _ := netip.ParseAddr(r.Header.Get("X-Real-IP"))
			return a
		}
	})
	for _, address6 := range []string{"2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"} {
		dial(t, address, header("X-Real-IP", address6))
	}
	answer := refused(t, address, header("X-Real-IP", "2001:db8::ffff"))
	if answer.StatusCode != 429 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("the fourth of a network: %v", answer.Status)
	}
	dial(t, address, header("X-Real-IP", "2001:db8:0:1::1"))
}

func TestConnectionRate(t *testing.T) {
	s, address := listen(t, nil, func(c *Config) { c.Limits = Limits{ConnectionsPerSecond: 1e-3, ConnectionBurst: 3} })
	answers := 0
	for range 6 {
		if rawRequest(t, address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") != "" {
			answers++
		}
	}
	if answers != 3 {
		t.Errorf("%d of 6 connections were answered, not 3", answers)
	}
	if got := s.Stats(); got.Refused != 3 || got.Dropped != 3 {
		t.Errorf("stats %+v", got)
	}
}

// Connections that say nothing have a bound of their own, and those that have become
// WebSocket connections do not count.
func TestMaxStrangers(t *testing.T) {
	s, address := listen(t, anybody, func(c *Config) { c.Limits.MaxStrangers = 2 })
	for range 5 {
		dial(t, address, nil)
		accept(t, s)
	}
	silent := func() net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		return c
	}
	first := silent()
	silent()
	waitFor(t, "both are strangers", func() bool {
		l := s.listening.listener
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.strangers == 2
	})
	if _, err := silent().Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a third stranger: %v", err)
	}
	_ = first.Close()
	waitFor(t, "the place of the first is free", func() bool {
		c := silent()
		defer c.Close()
		_, _ = io.WriteString(c, upgradeRequest(address))
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.HasPrefix(line, "HTTP/1.1 101 ")
	})
}

// One address cannot take all places for strangers.
func TestMaxStrangersPerAddress(t *testing.T) {
	limits := LimitListener(nil, Limits{MaxStrangers: 5, MaxStrangersPerAddress: 3})
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, test := range []struct {
		address netip.Addr
		want    bool
	}{{a, true}, {a, true}, {a, true}, {a, false}, {b, true}, {b, true}, {b, false}} {
		if limits.enter(test.address) != test.want {
			t.Errorf("number %d, of %v, is let in: %v", i, test.address, !test.want)
		}
	}
	limits.leave(a)
	if !limits.enter(b) || limits.enter(a) {
		t.Error("the place of the first is not free, or more are")
	}
	for range 2 {
		limits.leave(a)
	}
	for range 3 {
		limits.leave(b)
	}
	if limits.strangers != 0 || len(limits.of) != 0 {
		t.Errorf("%d strangers are left, %v", limits.strangers, limits.of)
	}
	if l := LimitListener(nil, Limits{MaxStrangersPerAddress: -1}); l.limits.MaxStrangersPerAddress != DefaultMaxStrangers {
		t.Errorf("without a limit there may be %d", l.limits.MaxStrangersPerAddress)
	}
}

func TestRefusalLogIsBounded(t *testing.T) {
	var text bytes.Buffer
	l := refusalLog{logger: slog.New(slog.NewTextHandler(&text, nil))}
	now := time.Unix(1000, 0)
	for range 25 {
		l.tell(Refusal{Status: 401, Reason: errors.New("why"), Origin: strings.Repeat("o", 1000)}, now)
	}
	lines := strings.Count(text.String(), "\n")
	if lines != refusalsPerSecond {
		t.Errorf("%d lines, not %d", lines, refusalsPerSecond)
	}
	if text.Len() > 400*lines {
		t.Errorf("the lines are long:\n%s", text.String())
	}
	text.Reset()
	l.tell(Refusal{Status: 401, Reason: errors.New("why")}, now.Add(time.Second))
	if got := text.String(); !strings.Contains(got, "count=15") || !strings.Contains(got, "reason=why") {
		t.Errorf("a second later: %q", got)
	}
}
