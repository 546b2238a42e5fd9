package handshake

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"
)

func savedSession(t testing.TB) *SavedSession {
	return &SavedSession{
		Suite: SuiteByID(0xc02b), MasterSecret: [48]byte{1, 2, 3}, ServerName: "server.example", Own: [32]byte{4},
		PeerChain: testCertificate(t, "ECDSA P-256").Chain, PeerErrors: 5, PSKIdentity: []byte("me"),
		keyProof: [32]byte{6}, Expires: time.Unix(1_800_000_000, 0),
	}
}

// TestTicketKeys asserts how keys are shared, rotated and dropped.
func TestTicketKeys(t *testing.T) {
	saved := savedSession(t)
	now := saved.Expires.Add(-time.Minute)
	one, two := [32]byte{1}, [32]byte{2}
	node := func(keys ...[32]byte) *Sessions {
		s := NewSessions(nil)
		s.SetTicketKeys(keys...)
		return s
	}
	ticket := node(one).seal(saved, maxTicket, now)
	if got := node(one).open(ticket, now); !reflect.DeepEqual(got, saved) {
		t.Fatalf("another node opens %+v, want %+v", got, saved)
	}
	if node(two, one).open(ticket, now) == nil {
		t.Error("an older key does not open")
	}
	if node(two).open(ticket, now) != nil || NewSessions(nil).open(ticket, now) != nil {
		t.Error("opened without the key")
	}
	if node(two).open(node(two, one).seal(saved, maxTicket, now), now) == nil {
		t.Error("the first key does not seal")
	}
	if bytes.Equal(ticket, node(one).seal(saved, maxTicket, now)) {
		t.Error("two tickets are equal")
	}
	for i := range ticket {
		changed := bytes.Clone(ticket)
		changed[i] ^= 1
		if node(one).open(changed, now) != nil {
			t.Fatalf("opened with byte %d changed", i)
		}
	}
	for n := range len(ticket) {
		if node(one).open(ticket[:n], now) != nil {
			t.Fatalf("opened %d bytes", n)
		}
	}
	if node(one).seal(saved, ticketOverhead, now) != nil {
		t.Error("a ticket is longer than allowed")
	}
}

// TestTicketTimes asserts that random keys rotate, and that no ticket lives longer
// than the lifetime.
func TestTicketTimes(t *testing.T) {
	s := NewSessions(nil)
	saved := savedSession(t)
	start := saved.Expires.Add(-DefaultSessionLifetime)
	ticket := s.seal(saved, maxTicket, start)
	first := s.keys[0]
	for _, test := range []struct {
		after time.Duration
		opens bool
	}{{0, true}, {DefaultSessionLifetime - time.Second, true}, {DefaultSessionLifetime, false}} {
		if got := s.open(ticket, start.Add(test.after)) != nil; got != test.opens {
			t.Errorf("opens after %v: %v", test.after, got)
		}
	}
	s.at(start.Add(DefaultSessionLifetime))
	if s.keys[0] == first || len(s.keys) != 2 || s.keys[1] != first {
		t.Error("the key was not rotated after one lifetime")
	}
	s.at(start.Add(5 * DefaultSessionLifetime))
	if len(s.keys) != 1 {
		t.Error("a key that is too old is kept")
	}
	s.SetLifetime(time.Minute)
	if s.open(s.seal(saved, maxTicket, start), start) != nil {
		t.Error("a lifetime that was shortened does not count")
	}
	s.SetLifetime(0)
	s.SetTicketKeys()
	if keys, lifetime := s.at(start); len(keys) != 1 || lifetime != DefaultSessionLifetime {
		t.Errorf("%d keys, lifetime %v", len(keys), lifetime)
	}
}

func TestSavedSessionEncoding(t *testing.T) {
	for _, host := range hosts {
		saved := savedSession(t)
		if host != "" {
			saved.host = []byte(host)
		}
		encoded, err := saved.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if again, ok := unmarshalSaved(encoded); !ok || !reflect.DeepEqual(again, saved) {
			t.Errorf("became %+v, was %+v", again, saved)
		}
		for n := range len(encoded) {
			if _, ok := unmarshalSaved(encoded[:n]); ok {
				t.Fatalf("%d bytes of %d were accepted", n, len(encoded))
			}
		}
		version := 1
		if host != "" {
			version += 1 + len(host)
		}
		for _, at := range []int{0, version, version + 2} { // format, protocol version, suite
			changed := bytes.Clone(encoded)
			changed[at] ^= 0x55
			if _, ok := unmarshalSaved(changed); ok {
				t.Errorf("accepted with byte %d changed", at)
			}
		}
	}
}

func TestSameKey(t *testing.T) {
	s := &SavedSession{MasterSecret: [48]byte{1}}
	s.keyProof = keyProof(&s.MasterSecret, []byte("key"))
	if !s.SameKey([]byte("key")) || s.SameKey([]byte("kez")) || s.SameKey(nil) {
		t.Error("keys are told apart wrongly")
	}
}

// TestMemoryStore asserts the bounds in number, bytes and time.
func TestMemoryStore(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := NewMemoryStore(3, 100)
	save := func(id string, size int) { s.Save([]byte(id), make([]byte, size), now.Add(time.Minute), now) }
	has := func(ids ...string) {
		t.Helper()
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			want := false
			for _, have := range ids {
				want = want || have == id
			}
			if got := s.Load([]byte(id), now) != nil; got != want {
				t.Errorf("%s is there: %v, want %v", id, got, want)
			}
		}
	}
	save("a", 10)
	save("b", 10)
	save("c", 10)
	has("a", "b", "c")
	save("a", 20) // counts as new
	save("d", 10)
	has("c", "a", "d")
	save("e", 80) // 20 + 10 + 80 is more than there may be
	has("d", "e")
	save("c", 101)
	has("d", "e")
	s.Delete([]byte("d"))
	s.Delete([]byte("unknown"))
	has("e")
	now = now.Add(time.Minute)
	has()
	if s.bytes != 0 || s.order.Len() != 0 || len(s.byID) != 0 {
		t.Errorf("%d bytes, %d sessions are left", s.bytes, len(s.byID))
	}
	for i := range 10 {
		save(fmt.Sprint(i), 1)
	}
	now = now.Add(time.Hour)
	save("a", 1)
	if len(s.byID) != 1 {
		t.Errorf("%d sessions are kept, of which all but one have expired", len(s.byID))
	}
}

func FuzzSavedSession(f *testing.F) {
	encoded, err := savedSession(f).marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Fuzz(func(t *testing.T, encoded []byte) {
		s, ok := unmarshalSaved(encoded)
		if !ok {
			return
		}
		again, err := s.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, encoded) {
			t.Fatalf("%x became %x", encoded, again)
		}
	})
}
