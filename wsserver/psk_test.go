package wsserver

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

func TestPSK(t *testing.T) {
	b := newBearer(t)
	for _, name := range []string{"ada", "ada@example.org", "a.1.b.c", "Brontë", strings.Repeat("n", MaxNameLength)} {
		token := tokenFor(t, b, name, time.Hour)
		if len(token.PSKIdentity) > 128 || len(token.PSK) != 32 {
			t.Errorf("%s: identity of %d bytes, key of %d", name, len(token.PSKIdentity), len(token.PSK))
		}
		key, who, err := b.PSK([]byte(token.PSKIdentity))
		if err != nil || !bytes.Equal(key, token.PSK) {
			t.Errorf("%s: key %x, not %x, %v", name, key, token.PSK, err)
		}
		if who.Name != name || who.LoginID != token.Identity.LoginID || !who.Expires.Equal(token.Identity.Expires) {
			t.Errorf("%s: identity %+v", name, who)
		}
	}
	token := tokenFor(t, b, "ada", time.Hour)
	if _, _, err := b.pskAt([]byte(token.PSKIdentity), token.Identity.Expires); !errors.Is(err, ErrExpiredToken) {
		t.Errorf("expired: %v", err)
	}
	for name, identity := range map[string]string{
		"empty":             "",
		"no dots":           "ada",
		"three parts":       "4000000000.abc.k1",
		"no name":           ".4000000000.abc.k1",
		"unknown key":       "ada.4000000000.abc.k9",
		"no key":            "ada.4000000000.abc.",
		"no login":          "ada.4000000000..k1",
		"strange login":     "ada.4000000000.a/b.k1",
		"no time":           "ada..abc.k1",
		"time in hex":       "ada.0xffffff.abc.k1",
		"leading zero":      "ada.0" + token.PSKIdentity[4:],
		"sign":              "ada.+" + token.PSKIdentity[4:],
		"before 1970":       "ada.-1.abc.k1",
		"long time":         "ada.99999999999999999999.abc.k1",
		"too far away":      "ada.4000000000.abc.k1",
		"over the limit":    "ada.1099511627777.abc.k1",
		"line break":        "a\nda" + token.PSKIdentity[3:],
		"not UTF-8":         "a\xffda" + token.PSKIdentity[3:],
		"too long":          strings.Repeat("a", 100) + token.PSKIdentity,
		"very long":         strings.Repeat("a", 1<<16),
		"an ended one":      "ada.1000000000.abc.k1",
		"something behind":  token.PSKIdentity + ".k1",
		"another's ID late": token.PSKIdentity + " ",
	} {
		if key, who, err := b.PSK([]byte(identity)); err == nil {
			t.Errorf("%s: %q has the key %x, %+v", name, identity, key, who)
		}
	}
	// Every other identity has another key.
	key, _, err := b.PSK([]byte("bob" + token.PSKIdentity[3:]))
	if err != nil || bytes.Equal(key, token.PSK) {
		t.Errorf("bob has ada's key: %v", err)
	}
}

// The token that opens a WebSocket opens a DTLS server, too; and who has none that is
// good is turned away in the handshake.
func TestPSKOpensDTLS(t *testing.T) {
	t.Parallel() // with other tests that wait: a wrong key is noticed after two seconds
	b := newBearer(t)
	ctx := testContext(t)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := datagram.New(packets)
	defer base.Close()
	configure := func(c *serverconn.DtlsServerConnection) error {
		c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			if key, _, err := b.PSK(a.Identity()); err == nil {
				a.SetPreSharedKey(key)
			}
		})
		return nil
	}
	failures := make(chan error, 1)
	listener, err := serverconn.NewDtlsListener(base, configure,
		serverconn.WithHandshakeFailed(func(_ *serverconn.DtlsServerConnection, err error) { failures <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := listener.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}()
	handshake := func(identity string, key []byte) (*clientconn.DtlsClientConnection, error) {
		socket, err := net.Dial("udp", packets.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		clientBase := datagram.New(socket.(*net.UDPConn))
		t.Cleanup(func() { _ = clientBase.Close() })
		c, err := clientconn.NewDtlsClientConnection(clientBase, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			a.SetIdentity([]byte(identity))
			a.SetPreSharedKey(key)
		})
		return c, c.Handshake(ctx)
	}

	token := tokenFor(t, b, "ada", time.Hour)
	client, err := handshake(token.PSKIdentity, token.PSK)
	if err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, who, err := b.PSK(server.PskIdentity()); err != nil || who.Name != "ada" {
		t.Errorf("the server's peer is %+v, %v", who, err)
	}
	if err := client.Close(ctx); err != nil {
		t.Error(err)
	}
	_ = server.Close(ctx)

	revoked := tokenFor(t, b, "ada", time.Hour)
	if err := b.Revoke(ctx, revoked.Identity.LoginID); err != nil {
		t.Fatal(err)
	}
	const unknown = "unknown_psk_identity"
	expired := "ada.1000000000.abc.k1"
	signing, _ := b.keys.find("k1")
	for name, try := range map[string]struct {
		identity string
		key      []byte
		alert    string
	}{
		"revoked":           {revoked.PSKIdentity, revoked.PSK, unknown},
		"expired":           {expired, pskOf(signing, expired), unknown},
		"unknown identity":  {"somebody", token.PSK, unknown},
		"another's key":     {"bob" + token.PSKIdentity[3:], token.PSK, "decrypt_error"},
		"longer than given": {strings.Replace(token.PSKIdentity, ".", ".1", 1), token.PSK, unknown},
	} {
		_, err := handshake(try.identity, try.key)
		if err == nil || !strings.Contains(err.Error(), try.alert) {
			t.Errorf("%s: the handshake ended by %v, not %s", name, err, try.alert)
		}
		within(t, name+" fails at the server", failures)
	}
	if c, err := listener.Accept(expiredContext()); err == nil {
		t.Errorf("the server has accepted %q", c.PskIdentity())
	}
}

func expiredContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
