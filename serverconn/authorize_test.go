package serverconn_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/datagram"
	"gdtls/serverconn"
)

// Who is not authorized is told so, and costs no handshake.
func TestAuthorize(t *testing.T) {
	var configured atomic.Int32
	l := listenOn(t, loopback(t), func(c *serverconn.DtlsServerConnection) error {
		configured.Add(1)
		return configureTest(c)
	})
	var seen atomic.Pointer[serverconn.ClientHello]
	l.ConnectAuthorize(func(hello *serverconn.ClientHello) error { seen.Store(hello); return nil })
	refuse := l.ConnectAuthorize(func(hello *serverconn.ClientHello) error { return errors.New("not today") })
	client := dial(t, l.LocalAddress(), false)
	if err := client.Handshake(testContext(t)); err == nil || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("refused client: %v", err)
	}
	hello := seen.Load()
	local := client.BaseSocket().(*datagram.Socket).LocalAddress()
	if hello == nil || hello.Address() != local || hello.ServerName() != "server.example" {
		t.Errorf("%+v", hello)
	}
	if s := l.Stats(); s.Unauthorized != 1 || s.Failed != 0 || s.Peers != 0 || configured.Load() != 0 {
		t.Errorf("%+v, configured %d", s, configured.Load())
	}
	l.Disconnect(refuse)
	connect(t, l, false)
}

// An address that begins too many handshakes is held up, and goes on later.
func TestHandshakeRate(t *testing.T) {
	l := listen(t, serverconn.WithHandshakeRate(4, 2), serverconn.WithHelloRate(1000, 1000))
	start := time.Now()
	for range 3 { // the third repeats its hello after a second
		connect(t, l, true)
	}
	if s := l.Stats(); s.Limited == 0 || s.Handshakes != 3 || time.Since(start) < 250*time.Millisecond {
		t.Errorf("%+v after %v", s, time.Since(start))
	}
}

// Hellos beyond the rate are not answered.
func TestHelloRate(t *testing.T) {
	l := listen(t, serverconn.WithHelloRate(0.001, 5))
	hello := firstHello(t)
	attacker := netSocket(t, nil, l.LocalAddress())
	for range 20 {
		sendRaw(t, attacker, hello)
	}
	eventually(t, "all hellos are looked at", func() bool { s := l.Stats(); return s.Hellos+s.Limited == 20 })
	if s := l.Stats(); s.Hellos != 5 || s.Datagrams != 20 {
		t.Errorf("%+v", s)
	}
}
