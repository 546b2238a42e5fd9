package serverconn_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"gdtls/datagram"
)

// Many clients at once, by pre-shared key and by certificate: each gets its own
// answers, and afterwards nothing is left.
func TestManyClients(t *testing.T) {
	t.Parallel()
	const clients, messages = 50, 5
	l := listen(t)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			serving.Go(func() {
				if err := echo(c); err != nil {
					t.Errorf("server of %v: %v", c.PeerAddress(), err)
				}
			})
		}
	})
	var talking sync.WaitGroup
	for i := range clients {
		c := dial(t, l.LocalAddress(), i%2 == 0)
		talking.Go(func() {
			if err := c.Handshake(testContext(t)); err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			buf := make([]byte, 100)
			for k := range messages {
				text := fmt.Sprintf("client %d, message %d", i, k)
				if err := datagram.SendOne(context.Background(), c, []byte(text), datagram.Address{}, -1); err != nil {
					t.Error(err)
				}
				n, _, err := datagram.ReceiveOne(context.Background(), c, buf, 10*time.Second)
				if err != nil || string(buf[:n]) != text {
					t.Errorf("client %d got %q, %v; want %q", i, buf[:n], err, text)
				}
			}
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	talking.Wait()
	eventually(t, "all peers are forgotten", func() bool { return l.Stats().Peers == 0 })
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	serving.Wait()
	s := l.Stats()
	if s.Accepted != clients || s.Handshakes != clients || s.Failed != 0 || s.Dropped != 0 || s.QueuedBytes != 0 {
		t.Errorf("%+v", s)
	}
}
