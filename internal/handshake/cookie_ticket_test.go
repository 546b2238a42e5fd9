package handshake

import (
	"testing"
	"time"

	"gdtls/internal/record"
)

const ticketHost = "192.0.2.1"

// ticketHello gives a memory of sessions and the first hello of a client that resumes
// one of them, which it began at ticketHost.
func ticketHello(t testing.TB) (*Sessions, *resumption, []byte) {
	t.Helper()
	r := newResumption(t)
	r.host = ticketHost
	sim := r.play(t, nil)
	r.client.Resume = sim.client.Session().Saved
	m, err := NewClient(&r.client, sim.start)
	if err != nil || r.client.Resume == nil {
		t.Fatal(err, sim)
	}
	return r.server.Sessions, r, m.Output()[0]
}

// A ticket does for a cookie at the host where it was given, as long as it lasts.
func TestTicketForCookie(t *testing.T) {
	sessions, r, hello := ticketHello(t)
	start := r.client.Resume.Expires.Add(-DefaultSessionLifetime)
	for _, test := range []struct {
		name     string
		sessions *Sessions
		host     string
		after    time.Duration
		want     bool
	}{
		{"same host", sessions, ticketHost, 0, true},
		{"as long as it lasts", sessions, ticketHost, DefaultSessionLifetime - 1, true},
		{"too late", sessions, ticketHost, DefaultSessionLifetime, false},
		{"another host", sessions, "192.0.2.2", 0, false},
		{"longer name", sessions, ticketHost + "0", 0, false},
		{"no host", sessions, "", 0, false},
		{"other keys", NewSessions(nil), ticketHost, 0, false},
	} {
		v := test.sessions.VerifyHello(hello, []byte(test.host), start.Add(test.after))
		if (v != nil) != test.want {
			t.Errorf("%s: taken %v", test.name, v != nil)
		}
	}
	sessions.SetCookieAlways(true)
	if sessions.VerifyHello(hello, []byte(ticketHost), start) != nil {
		t.Error("taken though a cookie is always wanted")
	}
	sessions.SetCookieAlways(false)
	if sessions.VerifyHello(hello, []byte(ticketHost), start) == nil {
		t.Error("not taken any more")
	}
}

// A ticket that was given to a client whose host was not known does for no cookie.
func TestTicketWithoutHost(t *testing.T) {
	r := newResumption(t)
	r.client.Resume = r.first(t)
	m, err := NewClient(&r.client, puppetStart)
	if err != nil {
		t.Fatal(err)
	}
	hello := m.Output()[0]
	for _, host := range hosts {
		if r.server.Sessions.VerifyHello(hello, []byte(host), r.client.Resume.Expires.Add(-time.Minute)) != nil {
			t.Errorf("taken at host %q", host)
		}
	}
	long := &VerifiedHello{}
	if long.SetHost(make([]byte, 256)); long.host != nil {
		t.Error("a name that no ticket can hold is kept")
	}
}

// Only a whole hello with a sound ticket and no cookie is taken.
func TestTicketForCookieDamaged(t *testing.T) {
	sessions, r, hello := ticketHello(t)
	now := r.client.Resume.Expires.Add(-time.Minute)
	verify := func(datagram []byte) bool { return sessions.VerifyHello(datagram, []byte(ticketHost), now) != nil }
	for n := range hello {
		if verify(hello[:n]) {
			t.Errorf("taken when cut to %d bytes", n)
		}
	}
	for i := range hello {
		damaged := append([]byte(nil), hello...)
		damaged[i] ^= 0x80
		if ticket := len(hello) - len(r.client.Resume.Ticket); i >= ticket && verify(damaged) {
			t.Errorf("taken with byte %d of its ticket changed", i-ticket)
		}
	}
	rec, _, _ := record.Next(hello)
	f, _, _ := nextFragment(rec.Fragment())
	var h ClientHello
	if !h.unmarshal(f.data) {
		t.Fatal("not a hello")
	}
	if !verify(helloDatagram(0, 0, h.marshal())) {
		t.Error("a hello that is the same was not taken")
	}
	h.Cookie = make([]byte, 32)
	if verify(helloDatagram(1, 1, h.marshal())) {
		t.Error("taken with a cookie, which is looked at elsewhere")
	}
	h.Cookie, h.Ticket = nil, nil
	if verify(helloDatagram(0, 0, h.marshal())) {
		t.Error("taken without a ticket")
	}
}

// What one memory of sessions found in a ticket is not taken over by another.
func TestTicketOfOtherSessions(t *testing.T) {
	sessions, r, hello := ticketHello(t)
	now := r.client.Resume.Expires.Add(-time.Minute)
	v := sessions.VerifyHello(hello, []byte(ticketHost), now)
	if v == nil {
		t.Fatal("not taken")
	}
	if m := NewServer(&r.server, v, now); !m.Session().Resumed {
		t.Error("not resumed:", m.Err())
	}
	other := r.server
	other.Sessions = NewSessions(nil)
	if m := NewServer(&other, v, now); m.Session().Resumed || m.Err() != nil {
		t.Errorf("resumed %v, error %v", m.Session().Resumed, m.Err())
	}
	other.Sessions = nil
	if m := NewServer(&other, v, now); m.Session().Resumed || m.Err() != nil {
		t.Errorf("without a memory: resumed %v, error %v", m.Session().Resumed, m.Err())
	}
}

// A forged ticket costs no memory.
func TestForgedTicketAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool allocate at random")
	}
	sessions, r, hello := ticketHello(t)
	now := r.client.Resume.Expires.Add(-time.Minute)
	forged := append([]byte(nil), hello...)
	forged[len(forged)-1] ^= 1
	for name, test := range map[string]struct {
		hello []byte
		host  string
	}{"forged": {forged, ticketHost}, "no hello": {make([]byte, 300), ticketHost}, "no host": {hello, ""}} {
		host := []byte(test.host)
		if n := testing.AllocsPerRun(1000, func() {
			if sessions.VerifyHello(test.hello, host, now) != nil {
				t.Fatal("taken")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestHasRandom(t *testing.T) {
	_, _, hello := ticketHello(t)
	rec, _, _ := record.Next(hello)
	f, _, _ := nextFragment(rec.Fragment())
	var h ClientHello
	h.unmarshal(f.data)
	if !HasRandom(hello, &h.Random) {
		t.Error("not found")
	}
	if HasRandom(hello, &[32]byte{}) {
		t.Error("another was found")
	}
	for n := range hello {
		if HasRandom(hello[:n], &h.Random) {
			t.Fatalf("found in %d bytes, which are no whole hello", n)
		}
	}
}

// FuzzTicketForCookie asserts that nobody gets in without a ticket that opens.
func FuzzTicketForCookie(f *testing.F) {
	sessions, r, hello := ticketHello(f)
	now := r.client.Resume.Expires.Add(-time.Minute)
	f.Add(hello)
	f.Add(hello[:len(hello)-1])
	f.Fuzz(func(t *testing.T, datagram []byte) {
		v := sessions.VerifyHello(datagram, []byte(ticketHost), now)
		if v == nil {
			return
		}
		if sessions.open(v.Hello.Ticket, now) == nil || len(v.Hello.Cookie) > 0 || string(v.host) != ticketHost {
			t.Errorf("taken: %+v", v.Hello)
		}
		if m := NewServer(&r.server, v, now); m.Done() {
			t.Error("a handshake was done by one datagram")
		}
	})
}
