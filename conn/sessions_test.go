package conn

import (
	"fmt"
	"testing"
	"time"

	"gdtls/internal/handshake"
)

func named(server string) sessionKey { return sessionKey{identity: server} }

// TestSessionCache asserts the bounds of the cache (G213).
func TestSessionCache(t *testing.T) {
	now := time.Now()
	s := NewSessionCache(0)
	session := func() *handshake.SavedSession { return &handshake.SavedSession{Expires: now.Add(SessionLifetime)} }
	for i := range 60 {
		s.put(named(fmt.Sprint(i)), session())
	}
	for i := range 60 {
		if got, want := s.get(named(fmt.Sprint(i)), now) != nil, i >= 10; got != want {
			t.Errorf("session %d is there: %v", i, got)
		}
	}
	again := session()
	s.put(named("30"), again)
	if s.get(named("30"), now) != again || s.order.Len() != 50 {
		t.Errorf("%d sessions after one was replaced", s.order.Len())
	}
	s.put(named("30"), nil)
	if s.get(named("30"), now) != nil || s.order.Len() != 49 {
		t.Errorf("%d sessions after one was forgotten", s.order.Len())
	}
	if s.get(named("31"), now.Add(SessionLifetime-1)) == nil || s.get(named("31"), now.Add(SessionLifetime)) != nil || s.order.Len() != 48 {
		t.Error("a session does not end with its lifetime")
	}
	s.Clear()
	if s.get(named("32"), now) != nil || s.order.Len() != 0 || len(s.byKey) != 0 {
		t.Error("sessions are left")
	}
	s.put(named("1"), session())
	if s.get(named("1"), now) == nil {
		t.Error("nothing is kept after Clear")
	}
}

func TestSessionKey(t *testing.T) {
	one := newTestCA(t, "one").with(t)
	host := NetworkAddress{Hostname: "server.example", Port: 5}
	keys := []sessionKey{
		newSessionKey(host, nil),
		newSessionKey(NetworkAddress{Hostname: "server.example", Port: 6}, nil),
		newSessionKey(host, []*TlsCertificate{one}),
		newSessionKey(host, []*TlsCertificate{newTestCA(t, "two").with(t)}),
	}
	seen := map[sessionKey]bool{}
	for _, key := range keys {
		if seen[key] || key == (sessionKey{}) {
			t.Errorf("key %v", key)
		}
		seen[key] = true
	}
	if newSessionKey(nil, nil) != (sessionKey{}) || newSessionKey(host, []*TlsCertificate{one}) != keys[2] {
		t.Error("keys are not what they were")
	}
}
