package jwtproto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/datagram"
)

// wayward is a Store that can be made to fail, or to take its time.
type wayward struct {
	Store
	away    atomic.Bool
	gate    chan struct{} // Apply waits until it is closed, unless it is nil
	batches atomic.Int64
}

func (s *wayward) Apply(ctx context.Context, rules Rules, batch *Batch) ([]Outcome, error) {
	s.batches.Add(1)
	if s.gate != nil {
		<-s.gate
	}
	if s.away.Load() {
		return nil, errors.New("the disk is full")
	}
	return s.Store.Apply(ctx, rules, batch)
}

// logBuffer gathers what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestStoreAway shows that nothing is acknowledged while the Store fails, that this is
// told once, that refusals go on, and that all goes well again afterwards, over the same
// connection.
func TestStoreAway(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			store, log := &wayward{Store: NewMemory()}, new(logBuffer)
			server, address := startServer(t, Config{Store: store, Logger: slog.New(slog.NewTextHandler(log, nil))}, transport.over)
			over := transport.dial(t, address)
			request := ask(over)
			if got := says(request(t, redToken(claimsFor("REDS", 0)))); got != "1" {
				t.Fatalf("0: %s", got)
			}
			store.away.Store(true)
			token := redToken(claimsFor("REDS", 1))
			buf := make([]byte, maxReply)
			for range 5 {
				if err := datagram.SendOne(t.Context(), over, token, datagram.Address{}, time.Second); err != nil {
					t.Fatal(err)
				}
				if n, _, err := datagram.ReceiveOne(t.Context(), over, buf, 30*time.Millisecond); !errors.Is(err, datagram.ErrTimedOut) {
					t.Fatalf("an answer of %d bytes, %v, while the store fails", n, err)
				}
			}
			if got := says(request(t, []byte("nonsense"))); got != string(DecodeFailed) {
				t.Errorf("nonsense while the store fails: %s", got)
			}
			if stats := server.Stats(); stats.Unstored != 5 || stats.Acknowledged != 1 {
				t.Errorf("%+v", stats)
			}
			store.away.Store(false)
			time.Sleep(2 * firstBackoff)
			if got := says(request(t, token)); got != "2" {
				t.Errorf("1, once the store works again: %s", got)
			}
			if text := log.String(); strings.Count(text, "the disk is full") != 1 || strings.Count(text, "the store works again") != 1 {
				t.Errorf("the log says\n%s", text)
			}
			groups, err := store.Status(t.Context())
			if err != nil || groups[len(groups)-1].Last != 1 {
				t.Errorf("status %+v, %v", groups, err)
			}
		})
	}
}

// TestGroupCommit shows that what waits for a slow Store is kept at once.
func TestGroupCommit(t *testing.T) {
	store := &wayward{Store: NewMemory(), gate: make(chan struct{})}
	server, address := startServer(t, Config{Store: store, ChecksPerSecond: -1}, UDP)
	over := dialUDP(t, address)
	open := sync.OnceFunc(func() { close(store.gate) })
	defer open()
	const all = 50
	waits := func(n int) bool {
		for deadline := time.Now().Add(10 * time.Second); store.batches.Load() != 1 || len(server.moves) != n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return false
			}
		}
		return true
	}
	for i := range all {
		token := blueToken(claimsFor("BLUES", i%7))
		if err := datagram.SendOne(t.Context(), over, token, datagram.Address{}, time.Second); err != nil {
			t.Fatal(err)
		}
		if i == 0 && !waits(0) {
			t.Fatal("the store got nothing")
		}
	}
	if !waits(all - 1) {
		t.Fatalf("%d requests wait for the store, not %d", len(server.moves), all-1)
	}
	open()
	for i := range all {
		if answer := receiveReply(t, over); says(answer) != fmt.Sprint((i+1)%7) && i > 0 {
			t.Fatalf("answer %d: %s", i, says(answer))
		}
	}
	if n := store.batches.Load(); n != 2 {
		t.Errorf("%d requests were kept in %d batches", all, n)
	}
}

// TestReplayOverTransports shows that a token that was recorded moves nothing, and gets
// the answer again that it got.
func TestReplayOverTransports(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			server, address := startServer(t, Config{}, transport.over)
			request := ask(transport.dial(t, address))
			var tokens [][]byte
			for n := range 3 {
				tokens = append(tokens, blueToken(claimsFor("BLUES", n)))
				request(t, tokens[n])
			}
			again := ask(transport.dial(t, address)) // from elsewhere
			for n, token := range tokens {
				if got := says(again(t, token)); got != fmt.Sprint(n+1) {
					t.Errorf("%d again: %s", n, got)
				}
			}
			if n := last(t, server, "BLUES"); n != 2 {
				t.Errorf("the group is at %d", n)
			}
			first := claimsFor("BLUES", 3)
			second := claimsFor("BLUES", 0).with("jti", first["jti"])
			if got := says(again(t, blueToken(first))); got != "4" {
				t.Errorf("3: %s", got)
			}
			if got := says(again(t, blueToken(second))); got != string(TokenReused) {
				t.Errorf("another request with its jti: %s", got)
			}
		})
	}
}
