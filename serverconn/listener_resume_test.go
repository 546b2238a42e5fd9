package serverconn_test

import (
	"net"
	"runtime"
	"testing"

	"gdtls/conn"
	"gdtls/serverconn"
)

// Clients of a listener resume their sessions, by certificate and by key, unless the
// listener remembers none.
func TestListenerResumption(t *testing.T) {
	t.Parallel()
	for _, psk := range []bool{false, true} {
		for _, options := range [][]serverconn.ListenerOption{nil, {serverconn.WithSessions(nil)}} {
			l := listen(t, options...)
			cache := conn.NewSessionCache(0)
			for i := range 3 {
				client := dial(t, l.LocalAddress(), psk)
				client.SetSessionCache(cache)
				server := accept(t, l, client)
				want := i > 0 && options == nil
				if got := l.Stats(); got.Hellos != uint64(i+1) && !want || want && got.Hellos != 1 || got.Verified != uint64(i+1) {
					t.Errorf("connection %d: %d hellos were asked for a cookie, %d verified", i, got.Hellos, got.Verified)
				}
				if client.IsResumed() != want || server.IsResumed() != want {
					t.Errorf("with key %v, connection %d: resumed %v and %v, want %v", psk, i, client.IsResumed(), server.IsResumed(), want)
				}
				sendText(t, client, "there")
				wantText(t, server, "there")
				sendText(t, server, "back")
				wantText(t, client, "back")
			}
		}
	}
}

// Who sends another client's ticket from elsewhere is asked for a cookie.
func TestListenerTicketFromElsewhere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux, where all of 127.0.0.0/8 is there")
	}
	t.Parallel()
	l := listen(t)
	cache := conn.NewSessionCache(0)
	for i, host := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.1"} {
		client := dialFrom(t, netSocket(t, &net.UDPAddr{IP: net.ParseIP(host)}, l.LocalAddress()), false)
		client.SetSessionCache(cache)
		server := accept(t, l, client)
		if want := i > 0; client.IsResumed() != want || server.IsResumed() != want {
			t.Errorf("connection %d: resumed %v and %v, want %v", i, client.IsResumed(), server.IsResumed(), want)
		}
		if got := l.Stats(); got.Hellos != uint64(min(i+1, 2)) {
			t.Errorf("after the client at %s, %d hellos were asked for a cookie", host, got.Hellos)
		}
	}
}
