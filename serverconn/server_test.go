package serverconn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// texts collects what a server tells.
type texts struct {
	mu    sync.Mutex
	lines []string
}

func (s *texts) add(kind string) func(string) {
	return func(text string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines = append(s.lines, kind+": "+text)
	}
}

func (s *texts) has(parts ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.lines, func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
	})
}

// listening makes a server on loopback that knows the key of "somebody".
func listening(t *testing.T, configure func(*serverconn.DtlsServerConnection) error) (*serverconn.DtlsServer, *texts) {
	t.Helper()
	s := serverconn.NewDtlsServer(configure)
	said := &texts{}
	s.ConnectErrorMessage(said.add("error"))
	s.ConnectWarningMessage(said.add("warning"))
	s.ConnectInfoMessage(said.add("info"))
	s.ConnectPskRequired(func(a *conn.PreSharedKeyAuthenticator) {
		if string(a.Identity()) == "somebody" {
			a.SetPreSharedKey(testKey)
		}
	})
	if err := s.Listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	return s, said
}

// What Qt's example does: a message is told of, with the datagram that it came in, and
// answered; and all peers hear of the end.
func TestDtlsServer(t *testing.T) {
	s, said := listening(t, nil)
	type received struct {
		peer          datagram.Address
		cipher, plain []byte
	}
	got := make(chan received, 10)
	s.ConnectDatagramReceived(func(peer datagram.Address, cipherText, plainText []byte) {
		got <- received{peer, bytes.Clone(cipherText), bytes.Clone(plainText)}
	})
	client := shake(t, dial(t, s.LocalAddress(), true))
	local := client.BaseSocket().(*datagram.Socket).LocalAddress()
	for i := range 3 {
		text := fmt.Sprintf("I am client 1, please, accept our ping %d", i)
		sendText(t, client, text)
		wantText(t, client, fmt.Sprintf("to %v: ACK", local))
		r := <-got
		const overhead = 13 + 8 + 16
		if r.peer != local || string(r.plain) != text || len(r.cipher) != len(text)+overhead || r.cipher[0] != 23 || bytes.Contains(r.cipher, []byte("ping")) {
			t.Errorf("%v, %x, %q", r.peer, r.cipher, r.plain)
		}
	}
	sendText(t, client, "")
	wantText(t, client, fmt.Sprintf("to %v: ACK", local))
	if r := <-got; len(r.plain) != 0 {
		t.Errorf("%q", r.plain)
	}
	eventually(t, "the empty message is told of", func() bool { return said.has("warning: ", local.String(), "0 bytes") })
	s.SetReply(serverconn.Echo)
	sendText(t, client, "echo")
	wantText(t, client, "echo")
	s.SetReply(func(*serverconn.DtlsServerConnection, []byte) []byte { return make([]byte, 3000) })
	sendText(t, client, "too much")
	eventually(t, "the long answer is told of", func() bool { return said.has("warning: ", "3000 bytes") })
	s.SetReply(nil)
	sendText(t, client, "nothing")

	if !s.IsListening() {
		t.Error("does not listen")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, client)
	if s.IsListening() || s.LocalAddress().IsValid() || s.Stats() != (serverconn.ListenerStats{}) || s.Close(t.Context()) != nil {
		t.Error("listens after Close")
	}
	<-s.Done()
	for _, want := range [][]string{{"info: ", "shown its address"}, {"info: ", "TLS_PSK_WITH_AES_128_GCM_SHA256"}, {"info: ", "was closed"}} {
		if !said.has(want...) {
			t.Errorf("nobody said %q", want)
		}
	}
	if said.has("error: ") {
		t.Errorf("%q", said.lines)
	}
}

// The signals about peers that do not get in, and about the end of those that do.
func TestDtlsServerPeers(t *testing.T) {
	s, said := listening(t, func(c *serverconn.DtlsServerConnection) error {
		c.SetPskIdentityHint([]byte("a hint"))
		return nil
	})
	var encrypted, failed atomic.Int32
	ends := make(chan error, 1)
	s.ConnectEncrypted(func(*serverconn.DtlsServerConnection) { encrypted.Add(1) })
	s.ConnectHandshakeFailed(func(*serverconn.DtlsServerConnection, error) { failed.Add(1) })
	s.ConnectClosed(func(_ *serverconn.DtlsServerConnection, reason error) { ends <- reason })

	unwelcome := dial(t, s.LocalAddress(), true)
	keyless := dial(t, s.LocalAddress(), false)
	if err := keyless.Handshake(testContext(t)); err == nil {
		t.Error("a client without a key gets in")
	}
	eventually(t, "it is told", func() bool { return failed.Load() == 1 && said.has("error: ", "handshake") })

	refuse := s.ConnectAuthorize(func(*serverconn.ClientHello) error { return errors.New("too late") })
	if err := unwelcome.Handshake(testContext(t)); err == nil || !said.has("warning: ", "too late") {
		t.Error(err, said.lines)
	}
	s.Disconnect(refuse)

	client := shake(t, dial(t, s.LocalAddress(), true))
	if string(client.PskIdentityHint()) != "a hint" {
		t.Errorf("hint %q", client.PskIdentityHint())
	}
	_ = client.Close(context.Background())
	if reason := <-ends; !errors.Is(reason, io.EOF) || encrypted.Load() != 1 || !said.has("info: ", "has closed") {
		t.Error(reason, encrypted.Load())
	}
	if err := s.Listen(t.Context(), "127.0.0.1:0"); err == nil {
		t.Error("it listens twice")
	}
}

func TestDtlsServerCannotListen(t *testing.T) {
	s := serverconn.NewDtlsServer(configureTest)
	said := &texts{}
	s.ConnectErrorMessage(said.add("error"))
	if err := s.Listen(t.Context(), "127.0.0.1:99999"); err == nil || s.IsListening() || !said.has("error: cannot listen") {
		t.Error(err)
	}
}

// A base that fails ends the server, which tells so and can listen again.
func TestDtlsServerBaseFails(t *testing.T) {
	s := serverconn.NewDtlsServer(configureTest)
	said := &texts{}
	s.ConnectErrorMessage(said.add("error"))
	base := loopback(t)
	if err := s.ListenOn(base); err != nil {
		t.Fatal(err)
	}
	done := s.Done()
	_ = base.Close()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("goes on without its base")
	}
	if s.IsListening() || !said.has("error: server cannot go on") {
		t.Errorf("%q", said.lines)
	}
	if err := s.ListenOn(loopback(t)); err != nil {
		t.Fatal(err)
	}
	shake(t, dial(t, s.LocalAddress(), false))
	if err := s.Close(testContext(t)); err != nil {
		t.Error(err)
	}
}
