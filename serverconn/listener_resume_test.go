package serverconn_test

import (
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
