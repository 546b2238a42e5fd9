package conn_test

import (
	"testing"

	"gdtls/conn"
)

// Bytes are counted both ways, and the gaps in the numbers of the peer's records until
// what was missing has come.
func TestStats(t *testing.T) {
	c, u := newPuppet(t, false)
	check := func(what string, want conn.Stats) {
		t.Helper()
		if got := c.Stats(); got != want {
			t.Errorf("%s: counted %+v, want %+v", what, got, want)
		}
	}
	send(t, c, "five!")
	u.receive(t)
	check("a message sent", conn.Stats{Sent: 1, SentBytes: 5})
	u.send(t, u.data(t, "one"))
	receive(t, c, "one")
	check("a message received", conn.Stats{Sent: 1, SentBytes: 5, Received: 1, ReceivedBytes: 3})
	late := u.data(t, "late")
	u.data(t, "lost")
	u.send(t, u.data(t, "three"))
	receive(t, c, "three")
	check("two are missing", conn.Stats{Sent: 1, SentBytes: 5, Received: 2, ReceivedBytes: 8, Missing: 2})
	u.send(t, late)
	receive(t, c, "late")
	check("one came late", conn.Stats{Sent: 1, SentBytes: 5, Received: 3, ReceivedBytes: 12, Missing: 1})
	u.send(t, u.data(t, "cut off"))
	in := room(1, 3)
	if n, err := c.ReceiveMessages(background, in, 0, patience); n != 1 || err != nil || in[0].BytesReceived != 3 {
		t.Fatal(n, err)
	}
	check("a message cut off", conn.Stats{Sent: 1, SentBytes: 5, Received: 4, ReceivedBytes: 19, Missing: 1})
}
