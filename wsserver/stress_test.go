package wsserver

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// Clients come and go, logins are revoked and renewed, and the server pauses, closes and
// listens again, all at the same time. Nothing hangs, and in the end nothing is left.
func TestAllAtOnce(t *testing.T) {
	b := newBearer(t)
	s, address := listen(t, b, func(c *Config) {
		c.MaxPendingConnections, c.MaxOpenConnections = 4, 12
		c.PendingTimeout = 20 * time.Millisecond
		c.PingInterval = 10 * time.Millisecond
		c.Limits.MaxStrangers = 16
	})
	const duration = 700 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	var workers sync.WaitGroup
	repeat := func(pause time.Duration, do func()) {
		workers.Go(func() {
			for ctx.Err() == nil {
				do()
				time.Sleep(rand.N(pause))
			}
		})
	}
	latest := make(chan Token, 100)
	for range 16 {
		repeat(2*time.Millisecond, func() {
			token := tokenFor(t, b, "ada", time.Hour)
			select {
			case latest <- token:
			default:
			}
			c, _, err := websocket.Dial(ctx, "ws://"+address, &websocket.DialOptions{HTTPHeader: bearerHeader(token.Text)})
			if err != nil {
				return // refused, or not listened to
			}
			defer func() { _ = c.CloseNow() }()
			reading, stop := context.WithTimeout(ctx, rand.N(30*time.Millisecond))
			defer stop()
			for err == nil {
				_, _, err = c.Read(reading)
			}
			_ = c.Close(websocket.StatusNormalClosure, "")
		})
	}
	for range 2 {
		repeat(time.Millisecond, func() {
			c, err := s.Accept(ctx)
			if err != nil {
				return // closed
			}
			keepReading(c)
			workers.Go(func() {
				for c.Write(ctx, TextMessage, []byte("event")) == nil {
					_ = c.Renew(tokenFor(t, b, "ada", time.Hour).Text)
				}
			})
		})
	}
	repeat(2*time.Millisecond, func() {
		select {
		case token := <-latest:
			_ = b.Revoke(ctx, token.Identity.LoginID)
		case <-ctx.Done():
		}
	})
	repeat(20*time.Millisecond, func() {
		s.PauseAccepting()
		s.ResumeAccepting()
		_, _ = s.Stats(), s.Connections()
	})
	repeat(100*time.Millisecond, func() {
		closeServer(t, s)
		for s.Listen(context.Background(), address) != nil && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	})
	workers.Wait()
	accepted := s.Stats().Accepted
	if accepted == 0 {
		t.Error("nobody was let in")
	}
	closeServer(t, s)
	if got := s.Stats(); got.Open != 0 || got.Pending != 0 || s.reserved != 0 || s.opening != 0 {
		t.Errorf("left: %+v, %d reserved, %d opening", got, s.reserved, s.opening)
	}
	t.Logf("%d were let in, %d refused", accepted, s.Stats().Refused)
}
