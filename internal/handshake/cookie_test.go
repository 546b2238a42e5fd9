package handshake

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/extension"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// helloWithCookie gets a cookie at one time and makes the hello with it.
func helloWithCookie(t testing.TB, c *Cookies, now time.Time) rawHello {
	t.Helper()
	h := newRawHello(0xc02b, 0xc02c)
	h.session = []byte{1, 2, 3}
	h.extensions = block(modern()...)
	if h.cookie = cookieFor(t, c, h, now); len(h.cookie) != 32 {
		t.Fatalf("got cookie %x", h.cookie)
	}
	return h
}

func TestCookieBinding(t *testing.T) {
	c := NewCookies(puppetStart)
	good := helloWithCookie(t, c, puppetStart)
	accepted := func(c *Cookies, h rawHello, peer string) bool {
		verified, reply := c.VerifyHello(helloDatagram(1, 5, h.marshal()), []byte(peer), nil, puppetStart)
		if (verified == nil) == (reply == nil) {
			t.Error("a well-formed hello is either accepted or asked for a cookie")
		}
		return verified != nil
	}
	if !accepted(c, good, string(puppetAddress)) {
		t.Fatal("the right cookie was refused")
	}
	if !accepted(c, good, string(puppetAddress)) {
		t.Error("a cookie is good for more than once: nothing is kept")
	}
	for _, peer := range []string{"", "192.0.2.1:1235", "192.0.2.1:123", "192.0.2.1:1234\xfe", "192.0.2.2:1234"} {
		if accepted(c, good, peer) {
			t.Errorf("good for peer %q", peer)
		}
	}
	if accepted(NewCookies(puppetStart), good, string(puppetAddress)) {
		t.Error("good for another server")
	}
	for name, change := range map[string]func(*rawHello){
		"version":        func(h *rawHello) { h.version = record.VersionDTLS10 },
		"random":         func(h *rawHello) { h.random[31] ^= 1 },
		"suites":         func(h *rawHello) { h.suites = []byte{0xc0, 0x2b} },
		"order":          func(h *rawHello) { h.suites = []byte{0xc0, 0x2c, 0xc0, 0x2b} },
		"compressions":   func(h *rawHello) { h.compressions = []byte{0, 1} },
		"no cookie":      func(h *rawHello) { h.cookie = nil },
		"short cookie":   func(h *rawHello) { h.cookie = h.cookie[:31] },
		"long cookie":    func(h *rawHello) { h.cookie = append(bytes.Clone(h.cookie), 0) },
		"changed cookie": func(h *rawHello) { h.cookie = bytes.Clone(h.cookie); h.cookie[0] ^= 1 },
		"longest cookie": func(h *rawHello) { h.cookie = make([]byte, 255) },
	} {
		h := good
		if change(&h); accepted(c, h, string(puppetAddress)) {
			t.Errorf("good for a hello with another %s", name)
		}
	}
	// RFC 6347 4.2.1 names the parameters that must not change; extensions are none.
	h := good
	if h.extensions = block(ext(extension.ALPNTypeValue, 0, 2, 1, 'a')); !accepted(c, h, string(puppetAddress)) {
		t.Error("not good for a hello with other extensions")
	}
	// It names the session_id, too, but not every client keeps to it.
	h = good
	if h.session = []byte{1, 2, 4}; !accepted(c, h, string(puppetAddress)) {
		t.Error("not good for a hello with another session id")
	}
}

// TestCookieRotation asserts that a cookie is good for one to two lifetimes of a
// secret, whether or not anybody comes in between.
func TestCookieRotation(t *testing.T) {
	for _, test := range []struct {
		made, used time.Duration // after the server's start, in lifetimes times 10
		busy       bool          // a hello of somebody comes each tenth
		good       bool
	}{
		{0, 0, true, true},
		{0, 9, true, true},
		{0, 10, true, true},
		{0, 19, true, true},
		{0, 20, true, false},
		{9, 19, true, true},
		{9, 20, true, false},
		{0, 9, false, true},
		{0, 10, false, true},
		{0, 19, false, true},
		{0, 20, false, false},
		{0, 1000, false, false},
		{1000, 1009, false, true},
		{1000, 1021, false, false},
	} {
		const tenth = cookieLifetime / 10
		c := NewCookies(puppetStart)
		h := helloWithCookie(t, c, puppetStart.Add(test.made*tenth))
		if test.busy {
			for at := test.made; at < test.used; at++ {
				c.VerifyHello(helloDatagram(0, 0, h.marshal()), []byte("somebody"), nil, puppetStart.Add(at*tenth))
			}
		}
		verified, _ := c.VerifyHello(helloDatagram(1, 1, h.marshal()), puppetAddress, nil, puppetStart.Add(test.used*tenth))
		if (verified != nil) != test.good {
			t.Errorf("made at %d, used at %d, busy %v: good %v, want %v", test.made, test.used, test.busy, verified != nil, test.good)
		}
	}
}

// TestCookiesConcurrently checks cookies while their secrets are replaced. The time
// only moves as far as no cookie becomes too old.
func TestCookiesConcurrently(t *testing.T) {
	c := NewCookies(puppetStart)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			peer := fmt.Appendf(nil, "peer %d", g)
			h := newRawHello(0xc02b)
			h.extensions = block(modern()...)
			for i := range 300 {
				now := puppetStart.Add(time.Duration(i) * cookieLifetime / 10)
				h.cookie = nil
				_, reply := c.VerifyHello(helloDatagram(0, 0, h.marshal()), peer, nil, now)
				rec, _, _ := record.Next(reply)
				h.cookie = rec.Fragment()[handshake.HeaderLength+3:]
				if len(h.cookie) != 32 {
					t.Errorf("got cookie %x", h.cookie)
				}
				c.VerifyHello(helloDatagram(1, 1, h.marshal()), peer, nil, now)
			}
		})
	}
	wg.Wait()
}

func TestHelloVerifyRequest(t *testing.T) {
	c := NewCookies(puppetStart)
	h := newRawHello(0xc02b)
	datagram := helloDatagram(3, 1234567, h.marshal())
	_, reply := c.VerifyHello(datagram, puppetAddress, []byte("before"), puppetStart)
	if !bytes.HasPrefix(reply, []byte("before")) {
		t.Fatal("does not append")
	}
	reply = reply[len("before"):]
	if len(reply) > len(datagram) {
		t.Errorf("answers %d bytes with %d", len(datagram), len(reply))
	}
	rec, rest, ok := record.Next(reply)
	if !ok || len(rest) != 0 || rec.Version != record.VersionDTLS10 || rec.Epoch != 0 || rec.Sequence != 1234567 {
		t.Errorf("answers with record %+v", rec)
	}
	f, _, ok := nextFragment(rec.Fragment())
	if !ok || f.Type != handshake.TypeHelloVerifyRequest || f.MessageSequence != 3 || f.FragmentLength != f.Length {
		t.Errorf("answers with message %+v", f.Header)
	}
}

// TestHelloDropped gives what is no whole ClientHello, even with the right cookie in it.
func TestHelloDropped(t *testing.T) {
	c := NewCookies(puppetStart)
	h := helloWithCookie(t, c, puppetStart)
	whole := helloDatagram(1, 1, h.marshal())
	message := outMessage{typ: handshake.TypeClientHello, body: h.marshal()}
	in := func(typ record.ContentType, content []byte) []byte {
		return record.AppendPlaintext(nil, typ, record.VersionDTLS10, 0, content)
	}
	epoch := bytes.Clone(whole)
	epoch[4] = 1
	other := bytes.Clone(whole)
	other[13] = byte(handshake.TypeServerHello)
	for name, d := range map[string][]byte{
		"empty":           nil,
		"text":            []byte("hello, this is no DTLS at all, but long enough to be answered in principle"),
		"first fragment":  in(record.TypeHandshake, appendFragment(nil, &message, 0, 60)),
		"second fragment": in(record.TypeHandshake, appendFragment(nil, &message, 60, len(message.body)-60)),
		"alert":           in(record.TypeAlert, whole[13:]),
		"data":            in(record.TypeApplicationData, whole[13:]),
		"epoch 1":         epoch,
		"another message": other,
		"short body":      helloDatagram(1, 1, h.marshal()[:34]),
		"no suites":       helloDatagram(1, 1, h.marshal()[:34+4+33]),
	} {
		if verified, reply := c.VerifyHello(d, puppetAddress, nil, puppetStart); verified != nil || reply != nil {
			t.Errorf("%s: was answered", name)
		}
	}
	for n := range whole {
		if verified, reply := c.VerifyHello(whole[:n], puppetAddress, nil, puppetStart); verified != nil || reply != nil {
			t.Errorf("the first %d bytes: were answered", n)
		}
	}
}

// TestHelloVerifyTwice asks a client twice, as a server does whose secrets were
// replaced in between; its second cookie is good.
func TestHelloVerifyTwice(t *testing.T) {
	for _, times := range []int{1, 2, maxHellos - 1} {
		server := certificateServer(t)
		var sim *simulation
		requests := 0
		sim = newSimulation(t, &Config{}, server, answers{}, link{tamper: func(fromClient bool, n int, d []byte) []byte {
			if !fromClient && n < times {
				requests++
				sim.cookies = NewCookies(sim.now) // nobody remembers what the cookie was made with
			}
			return d
		}})
		sim.run(time.Minute)
		checkAgreement(t, sim)
		if requests != times {
			t.Errorf("asked %d times, want %d", requests, times)
		}
		if sim.now != sim.start {
			t.Errorf("asked %d times, a time-out was needed", times)
		}
	}
}

// TestHelloVerifyForged sends a client requests with cookies of somebody's own
// before the server's comes: that one wins.
func TestHelloVerifyForged(t *testing.T) {
	forged := func(seq uint16, cookie byte) []byte {
		m := outMessage{typ: handshake.TypeHelloVerifyRequest, seq: seq, body: appendHelloVerifyRequest(nil, []byte{cookie})}
		return record.AppendPlaintext(nil, record.TypeHandshake, record.VersionDTLS10, 0, appendFragment(nil, &m, 0, len(m.body)))
	}
	for _, test := range []struct {
		name string
		seqs []uint16
	}{
		{"one", []uint16{0}},
		{"two", []uint16{0, 0}},
		{"with another number", []uint16{7}},
		{"with the highest number", []uint16{0xffff}},
	} {
		sim := newSimulation(t, &Config{}, certificateServer(t), answers{}, link{delay: 5 * time.Millisecond})
		sim.pump()
		for i, seq := range test.seqs {
			sim.arrive(forged(seq, byte(i)), false, time.Millisecond)
		}
		sim.run(time.Minute)
		checkAgreement(t, sim)
		if took := sim.now.Sub(sim.start); took > 100*time.Millisecond {
			t.Errorf("%s: took %v", test.name, took)
		}
	}
}

// TestVerifyHelloAllocations asserts that a spoofed hello costs no memory.
func TestVerifyHelloAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool allocate at random")
	}
	c := NewCookies(puppetStart)
	h := helloWithCookie(t, c, puppetStart)
	right := helloDatagram(1, 1, h.marshal())
	h.cookie[5] ^= 1
	wrong := helloDatagram(1, 1, h.marshal())
	h.cookie = nil
	none := helloDatagram(0, 0, h.marshal())
	dst := make([]byte, 0, 128)
	for name, datagram := range map[string][]byte{"no cookie": none, "wrong cookie": wrong, "garbage": make([]byte, 100)} {
		if n := testing.AllocsPerRun(1000, func() {
			if verified, _ := c.VerifyHello(datagram, puppetAddress, dst, puppetStart); verified != nil {
				t.Fatal("accepted")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if verified, _ := c.VerifyHello(right, puppetAddress, dst, puppetStart); verified == nil {
		t.Error("the right cookie was refused")
	}
}

// TestCookieKeys asserts how nodes share and rotate keys.
func TestCookieKeys(t *testing.T) {
	one, two := [32]byte{1}, [32]byte{2}
	node := func(keys ...[32]byte) *Cookies {
		c := NewCookies(puppetStart)
		c.SetKeys(puppetStart, keys...)
		return c
	}
	h := helloWithCookie(t, node(one), puppetStart)
	hello := helloDatagram(1, 1, h.marshal())
	for _, test := range []struct {
		name    string
		cookies *Cookies
		after   time.Duration
		good    bool
	}{
		{"same key", node(one), 0, true},
		{"same key, later", node(one), time.Hour, true},
		{"older key", node(two, one), time.Hour, true},
		{"other key", node(two), 0, false},
		{"random key", node(), 0, false},
	} {
		verified, reply := test.cookies.VerifyHello(hello, puppetAddress, nil, puppetStart.Add(test.after))
		if (verified != nil) != test.good || (reply == nil) != test.good {
			t.Errorf("%s: verified %v", test.name, verified != nil)
		}
	}
	c := node(one)
	c.SetKeys(puppetStart)
	first := c.secrets.Load().current
	if c.at(puppetStart.Add(cookieLifetime)).current == first {
		t.Error("random keys are not replaced after others had been set")
	}
}
