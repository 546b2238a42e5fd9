package wsserver

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"
)

// A thousand viewers at once get every message, though one more has stopped reading:
// that one is given up when a write takes too long.
func TestThousandViewers(t *testing.T) {
	t.Parallel()
	const viewers, messages = 1000, 10
	b := newBearer(t)
	s, address := listen(t, b, func(c *Config) {
		c.MaxPendingConnections = viewers
		c.PendingTimeout = 2 * patience
		c.Subprotocols = []string{"events"}
		c.WriteTimeout = 4 * time.Second
	})
	token := tokenFor(t, b, "ada", time.Hour).Text
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	all, ctx := errgroup.WithContext(ctx) // the first error ends the test
	viewer := func() (*websocket.Conn, error) {
		c, _, err := websocket.Dial(ctx, "ws://"+address, &websocket.DialOptions{Subprotocols: []string{"events", "bearer." + token}})
		return c, err
	}

	stalled, err := viewer()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stalled.CloseNow() }()
	stalledEnd := accept(t, s)
	all.Go(func() error {
		for large := make([]byte, 1<<20); ; {
			if err := stalledEnd.Write(ctx, BinaryMessage, large); errors.Is(err, context.DeadlineExceeded) {
				return nil
			} else if err != nil {
				return fmt.Errorf("the stalled viewer was not given up, but: %w", err)
			}
		}
	})

	connected := make(chan struct{}, viewers)
	turns := make(chan struct{}, 64) // how many connect at the same time
	for range viewers {
		all.Go(func() error {
			turns <- struct{}{}
			c, err := viewer()
			<-turns
			if err != nil {
				return err
			}
			defer func() { _ = c.CloseNow() }()
			connected <- struct{}{}
			for i := range messages {
				if _, text, err := c.Read(ctx); err != nil || string(text) != fmt.Sprint("event ", i) {
					return fmt.Errorf("message %d: %q, %w", i, text, err)
				}
			}
			return c.Close(websocket.StatusNormalClosure, "")
		})
	}
	for i := range viewers {
		select {
		case <-connected:
		case <-ctx.Done():
			t.Fatalf("%d viewers have connected: %v", i, all.Wait())
		}
	}
	waitFor(t, "all are open at once", func() bool { return s.Stats().Open >= viewers })
	// Each has a writer of its own, as in any server whose viewers must not wait for
	// each other.
	for range viewers {
		c := accept(t, s)
		keepReading(c)
		all.Go(func() error {
			for i := range messages {
				if err := c.Write(ctx, TextMessage, fmt.Append(nil, "event ", i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all are forgotten", func() bool { return s.Stats() == Stats{Accepted: viewers + 1} })
}
