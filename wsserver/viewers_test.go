package wsserver

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A thousand viewers at once get every message, though one of them has stopped reading:
// that one is given up when a write takes too long.
func TestThousandViewers(t *testing.T) {
	t.Parallel()
	const viewers, messages = 1000, 10
	b := newBearer(t)
	s, address := listen(t, b, func(c *Config) {
		c.MaxPendingConnections = viewers + 1
		c.Subprotocols = []string{"events"}
		c.WriteTimeout = 3 * time.Second
	})
	token := tokenFor(t, b, "ada", time.Hour).Text
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	connectViewer := func() (*websocket.Conn, error) {
		c, _, err := websocket.Dial(ctx, "ws://"+address, &websocket.DialOptions{Subprotocols: []string{"events", "bearer." + token}})
		return c, err
	}
	stalled, err := connectViewer()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stalled.CloseNow() }()
	stalledEnd := accept(t, s)

	stalledWriter := make(chan error, 1)
	go func() {
		large := make([]byte, 1<<20)
		for {
			if err := stalledEnd.Write(ctx, BinaryMessage, large); err != nil {
				stalledWriter <- err
				return
			}
		}
	}()

	var connected, finished sync.WaitGroup
	for range viewers {
		connected.Add(1)
		finished.Go(func() {
			c, err := connectViewer()
			connected.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = c.CloseNow() }()
			for i := range messages {
				if _, text, err := c.Read(ctx); err != nil || string(text) != fmt.Sprint("event ", i) {
					t.Errorf("message %d: %q, %v", i, text, err)
					return
				}
			}
			_ = c.Close(websocket.StatusNormalClosure, "")
		})
	}
	connected.Wait()
	if t.Failed() {
		return
	}

	// Each has a writer of its own, as in any server whose viewers must not wait for
	// each other.
	var writers sync.WaitGroup
	for range viewers {
		c := accept(t, s)
		keepReading(c)
		writers.Go(func() {
			for i := range messages {
				if err := c.Write(ctx, TextMessage, fmt.Append(nil, "event ", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	finished.Wait()
	if err := within(t, "the stalled viewer is given up", stalledWriter); ctx.Err() != nil {
		t.Errorf("it was given up too late: %v", err)
	}
	waitFor(t, "all are forgotten", func() bool { return s.Stats() == Stats{Accepted: viewers + 1} })
}
