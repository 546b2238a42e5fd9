package jwtproto

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/datagram"
)

// TestIdentity shows that a DTLS peer which has shown who it is speaks for its group
// only.
func TestIdentity(t *testing.T) {
	reds, blues := redToken(claimsFor("REDS", 0)), blueToken(claimsFor("BLUES", 0))
	unknown := string(GroupUnknown)
	tests := []struct {
		name        string
		setUp       func(*clientconn.DtlsClientConnection)
		reds, blues string
	}{
		{"nobody", nil, "1", "1"},
		{"psk of BLUES", usePSK("BLUES"), unknown, "1"},
		{"certificate of REDS", useCertificate(t, rsaKey()), "1", unknown},
		{"certificate of BLUES", useCertificate(t, ecKey()), unknown, "1"},
	}
	for _, over := range []Transport{DTLS, Both} {
		_, address := startServer(t, Config{}, over)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				request := ask(dialDTLS(t, address, test.setUp))
				if got := says(request(t, reds)); got != test.reds {
					t.Errorf("REDS: %q, want %q", got, test.reds)
				}
				if got := says(request(t, blues)); got != test.blues {
					t.Errorf("BLUES: %q, want %q", got, test.blues)
				}
			})
		}
		for name, setUp := range map[string]func(*clientconn.DtlsClientConnection){
			"certificate of nobody":     useCertificate(t, newECKey()),
			"psk of a group without":    usePSK("REDS"),
			"psk of an unknown group":   usePSK("GREENS"),
			"psk of a name that is not": usePSK("blues"),
		} {
			t.Run(name, func(t *testing.T) {
				c, err := clientconn.NewDtlsClientConnection(dialUDP(t, address), nil)
				if err != nil {
					t.Fatal(err)
				}
				c.SetValidationFlags(0)
				setUp(c)
				if err := c.Handshake(t.Context()); err == nil {
					// The server's last word may come after the client is done.
					if _, _, err := datagram.ReceiveOne(t.Context(), c, make([]byte, 10), 5*time.Second); err == nil {
						t.Error("it is let in")
					}
				}
			})
		}
	}
}

// TestOrder sends whole walks of several groups in one go, without waiting for answers:
// each group's are taken in their order.
func TestOrder(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			server, address := startServer(t, Config{}, transport.over)
			over := transport.dial(t, address)
			const walks = 5
			var messages []datagram.OutputMessage
			for range walks {
				for n := range DefaultStates {
					for _, token := range [][]byte{redToken(claimsFor("REDS", n)), blueToken(claimsFor("BLUES", n)), heartToken(claimsFor("HEARTBEAT", n))} {
						messages = append(messages, datagram.OutputMessage{Vectors: [][]byte{token}})
					}
				}
			}
			if n, err := over.SendMessages(t.Context(), messages, datagram.MsgNone, 5*time.Second); err != nil || n != len(messages) {
				t.Fatalf("sent %d: %v", n, err)
			}
			for range messages {
				receiveReply(t, over)
			}
			for _, group := range []string{"REDS", "BLUES", "HEARTBEAT"} {
				for i, row := range history(t, server, group) {
					if row.Number != i%DefaultStates || row.Step == Refused {
						t.Fatalf("%s: row %d has number %d, %v", group, i, row.Number, row.Step)
					}
				}
			}
		})
	}
}

// TestBudgets shows that one host gets no more checks, and no more long replies, than it
// should, and that others are not concerned.
func TestBudgets(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs several addresses of loopback, which " + runtime.GOOS + " does not have without more ado")
	}
	const checks, replies = 1, 2 // a second, twice as many at once
	server, address := startServer(t, Config{ChecksPerSecond: checks, RepliesPerSecond: replies}, UDP)
	flood := func(from string, token []byte) {
		local := must(net.ResolveUDPAddr("udp", from+":0"))
		socket := datagram.New(must(net.DialUDP("udp", local, net.UDPAddrFromAddrPort(address.AddrPort()))))
		defer socket.Close()
		before := server.Stats().Requests
		for range 20 {
			if err := datagram.SendOne(t.Context(), socket, token, datagram.Address{}, time.Second); err != nil {
				t.Fatal(err)
			}
		}
		for until := time.Now().Add(5 * time.Second); server.Stats().Requests < before+20; time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatal("not all requests came")
			}
		}
	}
	forged := blueToken(claimsFor("REDS", 1))
	flood("127.0.0.1", forged)
	if s := server.Stats(); s.OverBudget < 20-2*checks-2 {
		t.Errorf("after 20 forged tokens of one host: %+v", s)
	}
	before := server.Stats().OverBudget
	flood("127.0.0.3", compact(`{"alg":"RS256","x":`+strings.Repeat("[", 600)+strings.Repeat("]", 600)+`}`, "{}", nil))
	if s := server.Stats(); s.OverBudget-before < 20-2*checks-2 {
		t.Errorf("after 20 headers that take long to parse: %+v", s)
	}
	before = server.Stats().OverBudget
	flood("127.0.0.2", []byte("x"))
	if s := server.Stats(); s.OverBudget-before < 20-2*replies-2 || s.OverBudget-before == 20 {
		t.Errorf("after 20 short datagrams of another: %d over budget", s.OverBudget-before)
	}
	if got := says(ask(dialUDP(t, address))(t, append(make([]byte, errorReplyLength), 0))); got != string(DecodeFailed) {
		t.Errorf("a long datagram: %q", got)
	}
}

func TestBudget(t *testing.T) {
	now := time.Unix(1e9, 0)
	at := func(s string) datagram.Address { return datagram.AddressFromNet(must(net.ResolveUDPAddr("udp", s))) }
	b := newBudget(10, 20)
	for i := range 20 {
		if !b.spend(at(fmt.Sprintf("192.0.2.1:%d", i+1)), now) {
			t.Fatalf("use %d of a burst of 20 is over", i)
		}
	}
	if b.spend(at("192.0.2.1:99"), now) {
		t.Error("a burst has more than 20")
	}
	if !b.spend(at("[2001:db8::1]:1"), now) || !b.spend(at("198.51.100.7:1"), now) {
		t.Error("another host has none")
	}
	if later := now.Add(100 * time.Millisecond); !b.spend(at("192.0.2.1:1"), later) || b.spend(at("192.0.2.1:1"), later) {
		t.Error("a tenth of a second gives not one use")
	}
	if host(at("[2001:db8::1]:1")) != host(at("[2001:db8::ffff:2]:1")) || host(at("[2001:db8::1]:1")) == host(at("[2001:db8:0:1::1]:1")) {
		t.Error("a host of IPv6 is not its /64")
	}
	if unlimited := newBudget(-1, 0); !unlimited.spend(at("192.0.2.1:1"), now) {
		t.Error("no limit is one")
	}
}

// TestOverflow fills the queue of a group: what is beyond is counted, and what is queued is
// answered.
func TestOverflow(t *testing.T) {
	lab := testLab(t)
	blocked := make(chan struct{})
	var once sync.Once
	server, address := startServer(t, Config{Lab: lab, Workers: 1, ChecksPerSecond: -1, Observe: func(Event) { once.Do(func() { <-blocked }) }}, UDP)
	socket := dialUDP(t, address)
	token := blueToken(claimsFor("BLUES", 0))
	const sent = maxLane + 50
	for range sent {
		if err := datagram.SendOne(t.Context(), socket, token, datagram.Address{}, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	for until := time.Now().Add(5 * time.Second); server.Stats().Requests < sent; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%+v", server.Stats())
		}
	}
	close(blocked)
	for range maxLane {
		receiveReply(t, socket)
	}
	if s := server.Stats(); s.Overflowed != sent-maxLane {
		t.Errorf("%+v", s)
	}
}

// TestEvents shows what an observer is told.
func TestEvents(t *testing.T) {
	events := make(chan Event, 10)
	_, address := startServer(t, Config{Observe: func(e Event) { events <- e }}, UDP)
	request := ask(dialUDP(t, address))
	request(t, redToken(claimsFor("REDS", 1)))
	if e := <-events; e.Group != "REDS" || e.Why != accepted || e.Row.Number != 1 || e.Row.Step != Advanced || e.Row.Registration != 11 || e.DTLS {
		t.Errorf("%+v", e)
	}
	request(t, blueToken(claimsFor("REDS", 1)))
	if e := <-events; e.Group != "REDS" || e.Why != SignatureFailed {
		t.Errorf("%+v", e)
	}
	request(t, []byte("x"))
	if e := <-events; e.Group != "" || e.Why != DecodeFailed {
		t.Errorf("%+v", e)
	}
}

// TestStop ends a server with a DTLS peer connected, which is told.
func TestStop(t *testing.T) {
	s, err := NewServer(Config{Lab: testLab(t), Certificate: selfSigned(t, thirdKey())})
	if err != nil {
		t.Fatal(err)
	}
	base := datagram.New(must(net.ListenPacket("udp", "127.0.0.1:0")))
	defer base.Close()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, base, Both) }()
	c := dialDTLS(t, base.LocalAddress(), nil)
	ask(c)(t, redToken(claimsFor("REDS", 0)))
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if n, err := c.ReceiveMessages(t.Context(), []datagram.InputMessage{{Vectors: [][]byte{make([]byte, 10)}}}, 0, 5*time.Second); n != 0 || err != nil {
		t.Errorf("the peer got %d messages, %v; want the end", n, err)
	}
	s.Close()
	s.Close()
}

// TestGroupGone takes a group's pre-shared key away: a peer that has shown it is
// disconnected, one that has not goes on.
func TestGroupGone(t *testing.T) {
	dir := writeFiles(t, testFiles())
	lab, _, err := OpenLab(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, address := startServer(t, Config{Lab: lab}, Both)
	blues, nobody := dialDTLS(t, address, usePSK("BLUES")), dialDTLS(t, address, nil)
	token := blueToken(claimsFor("BLUES", 0))
	ask(blues)(t, token)
	if err := os.WriteFile(filepath.Join(dir, GroupsFile), []byte("[BLUES]\nmembers = [21, 22]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := says(ask(nobody)(t, token)); got != "1" {
		t.Errorf("a peer that has shown nothing: %q", got)
	}
	if err := datagram.SendOne(t.Context(), blues, token, datagram.Address{}, time.Second); err != nil {
		t.Fatal(err)
	}
	if _, _, err := datagram.ReceiveOne(t.Context(), blues, make([]byte, 2000), 5*time.Second); err != io.EOF {
		t.Errorf("a peer whose key is gone: %v, want the end", err)
	}
}

// TestIdlePeers connects many: they cost no goroutine each.
func TestIdlePeers(t *testing.T) {
	_, address := startServer(t, Config{}, Both)
	ask(dialDTLS(t, address, nil))(t, redToken(claimsFor("REDS", 0)))
	before := runtime.NumGoroutine()
	const peers = 20
	for range peers {
		ask(dialDTLS(t, address, nil))(t, redToken(claimsFor("REDS", 0)))
	}
	// Handshakes have a goroutine until their last flight is surely there.
	for until := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+peers/4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d goroutines with %d peers, %d before", runtime.NumGoroutine(), peers, before)
		}
	}
}

// TestServerErrors shows what cannot be served.
func TestServerErrors(t *testing.T) {
	lab := testLab(t)
	for name, config := range map[string]Config{
		"no lab": {}, "one state": {Lab: lab, States: 1}, "too many states": {Lab: lab, States: 1001}, "too long": {Lab: lab, MaxRequest: 70000},
	} {
		if _, err := NewServer(config); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	s := must(NewServer(Config{Lab: lab}))
	defer s.Close()
	base := datagram.New(must(net.ListenPacket("udp", "127.0.0.1:0")))
	if err := s.Serve(t.Context(), base, 0); err == nil {
		t.Error("no transport: no error")
	}
	base.Close()
	for _, over := range []Transport{UDP, DTLS, Both} {
		if err := s.Serve(t.Context(), base, over); err == nil {
			t.Errorf("transport %d over a closed socket: no error", over)
		}
	}
}
