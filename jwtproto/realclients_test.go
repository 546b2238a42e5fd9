package jwtproto

import "testing"

// TestRealClients does what the two known clients of the original do.
func TestRealClients(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			_, address := startServer(t, Config{}, transport.over)
			request := ask(transport.dial(t, address))
			// One says 1 to 7, each with the colour before it, and never 0. It checks
			// only that replies verify.
			python := func() {
				for n := 1; n <= 7; n++ {
					answer := request(t, redToken(claimsFor("REDS", n).with("seq_state", Colours[n-1])))
					if refused := answer.Response == "ERROR:State number undefined"; refused != (n == 7) {
						t.Errorf("to %d: %q", n, says(answer))
					}
				}
			}
			// The other says 0 to 6 and wants the next number each time, and 0 in the end.
			cpp := func() {
				for n := range 7 {
					want := (n + 1) % 7
					if answer := request(t, redToken(claimsFor("REDS", n))); answer.Next == nil || *answer.Next != want {
						t.Errorf("to %d: %q, want %d", n, says(answer), want)
					}
				}
			}
			python()
			cpp()
			cpp()
			python() // out of turn now, and every message answered
		})
	}
}
