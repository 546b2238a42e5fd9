package jwtproto

import (
	"context"
	"crypto"
	"errors"
	"slices"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/datagram"
)

// member is a client of a group of the test lab.
func member(group string, key crypto.Signer) *Client {
	claims := claimsFor(group, 0)
	return &Client{
		Group: group, Key: key, Secret: []byte(secretText),
		Registration: int64(claims["registration"].(int)), Members: claims["seq_max"].(int),
		FirstWait: 50 * time.Millisecond,
	}
}

// checkWalk finds whether a history has each number once as a move, in order.
func checkWalk(t *testing.T, history []Row, states int) {
	t.Helper()
	var moves []int
	for _, row := range history {
		switch row.Step {
		case Advanced, Restarted:
			moves = append(moves, row.Number)
		case Refused:
			t.Errorf("number %d was out of turn", row.Number)
		}
	}
	want := make([]int, states)
	for n := range want {
		want[n] = n
	}
	if !slices.Equal(moves, want) {
		t.Errorf("the history has the moves %v", moves)
	}
}

func TestWalk(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			for _, states := range []int{2, 7, 40} {
				server, address := startServer(t, Config{States: states}, transport.over)
				c := member("BLUES", ecKey())
				c.States, c.FirstWait = states, 5*time.Second
				var seen []int
				c.Observe = func(a Acknowledged) { seen = append(seen, a.Next) }
				if err := c.Walk(t.Context(), transport.dial(t, address)); err != nil {
					t.Fatal(err)
				}
				checkWalk(t, history(t, server, "BLUES"), states)
				if len(seen) != states || seen[states-1] != 0 || seen[0] != 1 {
					t.Errorf("acknowledgements %v", seen)
				}
			}
		})
	}
}

// TestWalkImpaired walks where nearly every third datagram is lost, each way.
func TestWalkImpaired(t *testing.T) {
	const loss = 0.3
	bad := func(seed uint64, base datagram.DatagramBased) datagram.DatagramBased {
		return datagram.NewImpaired(base, datagram.Impairment{Seed: seed, Send: datagram.Profile{Drop: loss}, Receive: datagram.Profile{Drop: loss}})
	}
	dials := map[Transport]func(t *testing.T, seed uint64, to datagram.Address) datagram.DatagramBased{
		UDP: func(t *testing.T, seed uint64, to datagram.Address) datagram.DatagramBased {
			return bad(seed, dialUDP(t, to))
		},
		DTLS: func(t *testing.T, seed uint64, to datagram.Address) datagram.DatagramBased {
			c, err := clientconn.NewDtlsClientConnection(bad(seed, dialUDP(t, to)), nil)
			if err != nil {
				t.Fatal(err)
			}
			c.SetValidationFlags(0)
			c.SetSessionCache(nil)
			t.Cleanup(func() { c.Close(context.Background()) })
			return c
		},
	}
	for over, dial := range dials {
		for seed := range uint64(2) {
			t.Run(map[Transport]string{UDP: "UDP", DTLS: "DTLS"}[over], func(t *testing.T) {
				t.Parallel()
				server, address := startServer(t, Config{}, Both)
				c := member("REDS", rsaKey())
				sent := 0
				c.Observe = func(a Acknowledged) { sent += a.Sent }
				if err := c.Walk(t.Context(), dial(t, seed, address)); err != nil {
					t.Fatal(err)
				}
				checkWalk(t, history(t, server, "REDS"), DefaultStates)
				if sent == DefaultStates {
					t.Error("nothing was lost: the test shows nothing")
				}
			})
		}
	}
}

func TestWalkFailures(t *testing.T) {
	_, address := startServer(t, Config{}, UDP)
	fails := func(change func(*Client)) error {
		c := member("REDS", rsaKey())
		c.Patience = 200 * time.Millisecond
		change(c)
		return c.Walk(t.Context(), dialUDP(t, address))
	}
	var refused *RefusedError
	if err := fails(func(c *Client) { c.Registration = 99 }); !errors.As(err, &refused) || refused.Why != RegistrationUnknown || !errors.Is(err, RegistrationUnknown) {
		t.Errorf("a stranger: %v", err)
	}
	if err := fails(func(c *Client) { c.Secret = []byte("another") }); !errors.Is(err, datagram.ErrTimedOut) {
		t.Errorf("another secret: %v", err)
	}
	if err := fails(func(c *Client) { c.States = 1 }); err == nil {
		t.Error("one state: no error")
	}
	if err := fails(func(c *Client) { c.Key = nil }); err == nil {
		t.Error("no key: no error")
	}
	if err := fails(func(c *Client) { c.States = 9 }); !errors.Is(err, StateUndefined) && err == nil {
		t.Errorf("more states than the server has: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := member("REDS", rsaKey()).Walk(cancelled, dialUDP(t, address)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestWalkDisturbed has another member speak in between: the walk begins anew, and ends.
func TestWalkDisturbed(t *testing.T) {
	_, address := startServer(t, Config{}, UDP)
	other := ask(dialUDP(t, address))
	c := member("BLUES", ecKey())
	disturbed, lost := false, 0
	c.Observe = func(a Acknowledged) {
		if a.Number == 3 && !disturbed {
			disturbed = true
			other(t, blueToken(claimsFor("BLUES", 0).with("registration", 22)))
		}
		if a.Lost {
			lost++
		}
	}
	if err := c.Walk(t.Context(), dialUDP(t, address)); err != nil || lost != 1 {
		t.Errorf("walk: %v, lost %d times", err, lost)
	}
}

// TestFaults walks in spite of all that a server may do to its replies.
func TestFaults(t *testing.T) {
	t.Parallel()
	f := NewFaults(1)
	f.Drop, f.WrongSignature, f.Duplicate, f.WrongOrder, f.Delay, f.DelayTime = 0.2, 0.2, 0.3, 0.1, 0.3, 10*time.Millisecond
	server, address := startServer(t, Config{Faults: f}, UDP)
	c := member("BLUES", ecKey())
	rejected := 0
	c.Observe = func(a Acknowledged) { rejected += a.Rejected }
	for range 5 {
		if err := c.Walk(t.Context(), dialUDP(t, address)); err != nil {
			t.Fatal(err)
		}
	}
	if stats := server.Stats(); stats.Spoiled == 0 || rejected == 0 {
		t.Errorf("nothing was spoiled: %+v, %d rejected", stats, rejected)
	}
	wrong := wrongSignature(newSealer([]byte(secretText)).seal(refusal(DecodeFailed, time.Now())))
	if _, err := openReply(wrong, []byte(secretText)); err == nil {
		t.Error("a wrong signature verifies")
	}
}
