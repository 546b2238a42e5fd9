package wsserver

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestConnectionEndsWithItsLogin(t *testing.T) {
	t.Parallel()
	b := newBearer(t)
	s, address := listen(t, b)
	client := dial(t, address, bearerHeader(tokenFor(t, b, "ada", time.Second).Text))
	c := accept(t, s)
	ended := make(chan error, 1)
	go func() {
		_, _, err := c.Read(context.Background())
		ended <- err
	}()
	if err := drain(t, client); CloseStatus(err) != StatusLoginEnded {
		t.Errorf("at the end of the login: %v", err)
	}
	if err := within(t, "Read", ended); !errors.Is(err, ErrExpiredToken) {
		t.Errorf("Read: %v", err)
	}
	if err := c.Write(testContext(t), TextMessage, nil); !errors.Is(err, ErrExpiredToken) {
		t.Errorf("Write: %v", err)
	}
	if time.Now().Before(c.Identity().Expires) {
		t.Error("it ended early")
	}
	within(t, "Done", c.Done())
	if err := c.Renew(tokenFor(t, b, "ada", time.Hour).Text); !errors.Is(err, net.ErrClosed) {
		t.Errorf("an ended connection is renewed: %v", err)
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	b := newBearer(t)
	s, address := listen(t, b)
	first := tokenFor(t, b, "ada", time.Second)
	client := dial(t, address, bearerHeader(first.Text))
	c := accept(t, s)
	for name, token := range map[string]string{
		"no token":         "",
		"another person's": tokenFor(t, b, "bob", time.Hour).Text,
		"a forged one":     tokenFor(t, b, "ada", time.Hour).Text + "A",
	} {
		if err := c.Renew(token); err == nil {
			t.Errorf("%s renews", name)
		}
	}
	if c.Identity().LoginID != first.Identity.LoginID {
		t.Error("what was refused has changed the identity")
	}
	next := tokenFor(t, b, "ada", time.Hour)
	if err := c.Renew(next.Text); err != nil {
		t.Fatal(err)
	}
	keepReading(c)
	time.Sleep(time.Until(first.Identity.Expires.Add(50 * time.Millisecond)))
	if err := c.Write(testContext(t), TextMessage, []byte("on")); err != nil {
		t.Error(err)
	}
	if _, text, err := client.Read(testContext(t)); err != nil || string(text) != "on" {
		t.Errorf("after the first token's end: %q, %v", text, err)
	}
	go func() { _ = b.Revoke(context.Background(), next.Identity.LoginID) }()
	if err := drain(t, client); CloseStatus(err) != StatusLoginEnded {
		t.Errorf("after the revocation: %v", err)
	}

	other, address2 := listen(t, anybody)
	dial(t, address2, nil)
	if err := accept(t, other).Renew("x"); err == nil {
		t.Error("an Authenticator that cannot renew does")
	}
}

// What another program has revoked is noticed at the next ping, and by Reload at once.
func TestRevocationByOthers(t *testing.T) {
	var list MemoryRevocations
	b := newBearer(t, func(c *BearerConfig) { c.Revocations = &list })
	s, address := listen(t, b, func(c *Config) { c.PingInterval = 10 * time.Millisecond })
	token := tokenFor(t, b, "ada", time.Hour)
	client := dial(t, address, bearerHeader(token.Text))
	c := accept(t, s)
	keepReading(c)
	if err := list.Revoke(t.Context(), token.Identity.LoginID, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := b.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := drain(t, client); CloseStatus(err) != StatusLoginEnded {
		t.Errorf("after Reload: %v", err)
	}

	// The signal came before the connection was there.
	lost := &forgetful{}
	s, address = listen(t, lost, func(c *Config) { c.PingInterval = 10 * time.Millisecond })
	client = dial(t, address, nil)
	c = accept(t, s)
	keepReading(c)
	lost.set(true)
	if err := drain(t, client); CloseStatus(err) != StatusLoginEnded {
		t.Errorf("at the ping: %v", err)
	}
	// It came between Validate and the upgrade.
	c2, _, err := websocket.Dial(testContext(t), "ws://"+address, nil)
	if err == nil {
		err = drain(t, c2)
	}
	if err == nil || CloseStatus(err) == StatusTryAgainLater || s.NextPendingConnection() != nil {
		t.Errorf("a revoked login was pending: %v", err)
	}
}

// forgetful lets everybody in, and later finds that it should not have.
type forgetful struct {
	mu      sync.Mutex
	revoked bool
}

func (f *forgetful) set(revoked bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoked = revoked
}

func (f *forgetful) Validate(*http.Request) (Identity, error) { return Identity{Name: "x"}, nil }

func (f *forgetful) StillValid(Identity) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.revoked {
		return ErrRevokedToken
	}
	return nil
}

// A client that has gone without a word, or is there but does not answer, is given up.
func TestDeadClient(t *testing.T) {
	s, address := listen(t, anybody, func(c *Config) { c.PingInterval = 20 * time.Millisecond })
	dial(t, address, nil) // does not read, so does not answer pings
	c := accept(t, s)
	if _, _, err := c.Read(testContext(t)); !errors.Is(err, errNoAnswer) {
		t.Errorf("of a dead client: %v", err)
	}
	within(t, "Done", c.Done())
	if n := s.Stats().Open; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestLivingClientStays(t *testing.T) {
	s, address := listen(t, anybody, func(c *Config) { c.PingInterval = 5 * time.Millisecond })
	client := dial(t, address, nil)
	ctx := client.CloseRead(context.Background()) // answers pings
	c := accept(t, s)
	keepReading(c)
	select {
	case <-c.Done():
		t.Error("it was given up")
	case <-ctx.Done():
		t.Error("the client has ended")
	case <-time.After(100 * time.Millisecond):
	}
}

func TestMessageTooBig(t *testing.T) {
	s, address := listen(t, anybody, func(c *Config) { c.MaxMessageSize = 100 })
	client := dial(t, address, nil)
	c := accept(t, s)
	ctx := testContext(t)
	for _, size := range []int{100, 101} {
		if err := client.Write(ctx, TextMessage, bytes.Repeat([]byte("x"), size)); err != nil {
			t.Fatal(err)
		}
		_, text, err := c.Read(ctx)
		if (err == nil) != (size <= 100) || err == nil && len(text) != size {
			t.Errorf("%d bytes: read %d, %v", size, len(text), err)
		}
	}
	if err := drain(t, client); CloseStatus(err) != StatusMessageTooBig {
		t.Errorf("the client saw %v", err)
	}
	within(t, "Done", c.Done())
}

// A client that does not read is given up when a write takes too long.
func TestStalledClient(t *testing.T) {
	s, address := listen(t, anybody, func(c *Config) { c.WriteTimeout = 50 * time.Millisecond })
	dial(t, address, nil)
	c := accept(t, s)
	message := make([]byte, 1<<20)
	for start := time.Now(); ; {
		if err := c.Write(testContext(t), BinaryMessage, message); err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it ended by %v", err)
			}
			break
		}
		if time.Since(start) > patience {
			t.Fatal("the network takes it all")
		}
	}
	within(t, "Done", c.Done())
}

func TestReadContextEnds(t *testing.T) {
	s, address := listen(t, anybody)
	dial(t, address, nil)
	c := accept(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Read: %v", err)
	}
	within(t, "Done", c.Done())
}

func TestConnectionClose(t *testing.T) {
	s, address := listen(t, anybody)
	client := dial(t, address, nil)
	c := accept(t, s)
	reason := make(chan error, 1)
	go func() { reason <- drain(t, client) }()
	if err := c.Close(testContext(t), StatusPolicyViolation, "because"); err != nil {
		t.Error(err)
	}
	var closed websocket.CloseError
	if err := within(t, "goodbye", reason); !errors.As(err, &closed) || closed.Code != StatusPolicyViolation || closed.Reason != "because" {
		t.Errorf("the client saw %v", err)
	}
	if err := c.Close(testContext(t), StatusNormalClosure, ""); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	within(t, "Done", c.Done())
}

func TestAcceptContextEnds(t *testing.T) {
	s, _ := listen(t, anybody)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Accept(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Accept: %v", err)
	}
}
