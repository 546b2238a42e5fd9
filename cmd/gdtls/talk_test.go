package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serverFiles are the flags of a server with the certificate of the test's CA.
func serverFiles() []string {
	return []string{"--cert", file("server.pem"), "--key", file("server-key.pem")}
}

func TestConversations(t *testing.T) {
	clientFiles := []string{"--cert", file("client.pem"), "--key", file("client-key.pem")}
	strangerFiles := []string{"--cert", file("other/client.pem"), "--key", file("other/client-key.pem")}
	trust := []string{"--ca", file("ca.pem")}
	with := func(lists ...[]string) (all []string) {
		for _, list := range lists {
			all = append(all, list...)
		}
		return all
	}
	tests := []struct {
		name           string
		server, client []string
		code           int
		sees           object // by the client's handshake event
		serverSees     object // by the server's
		err            string // code of the client's error event
		serverErr      string // of the server's
		also           string // name of an event that the client must tell
	}{
		{
			name:   "certificate",
			server: serverFiles(), client: trust,
			sees:       object{"ok": true, "version": "DTLS 1.2", "ciphersuite": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "peer_certs": 1.0, "peer_cert_subject": "CN=localhost", "alpn": "", "sni": ""},
			serverSees: object{"ok": true, "version": "DTLS 1.2", "peer_certs": 0.0},
		},
		{
			name:   "server name and ALPN",
			server: with(serverFiles(), []string{"--alpn", "a,b"}), client: with(trust, []string{"--identity", "localhost", "--alpn", "c,b"}),
			sees:       object{"ok": true, "alpn": "b", "sni": "localhost"},
			serverSees: object{"ok": true, "alpn": "b", "sni": "localhost"},
		},
		{
			name:   "no common ALPN is no error",
			server: with(serverFiles(), []string{"--alpn", "a"}), client: with(trust, []string{"--alpn", "c"}),
			sees: object{"ok": true, "alpn": ""},
		},
		{
			name:   "pre-shared key",
			server: []string{"--psk", "1a2b3c4d5e6f", "--psk-hint", "which key?"}, client: []string{"--psk", "1a:2b:3c:4d:5e:6f", "--psk-identity", "bob"},
			sees:       object{"ok": true, "psk_identity": "bob", "psk_hint": "which key?", "peer_certs": 0.0, "ciphersuite": "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256"},
			serverSees: object{"ok": true, "psk_identity": "bob", "psk_hint": "which key?"},
		},
		{
			name:   "pre-shared key beside a certificate",
			server: with(serverFiles(), []string{"--psk", "0x1a2b", "--psk-identity", "bob"}), client: []string{"--psk", "1a2b", "--psk-identity", "bob"},
			sees: object{"ok": true, "psk_identity": "bob"},
		},
		{
			name:   "wrong pre-shared key",
			server: []string{"--psk", "1a2b"}, client: []string{"--psk", "1a2c", "--psk-identity", "bob"},
			code: 1, sees: object{"ok": false}, serverSees: object{"ok": false}, err: "G_TLS_ERROR_MISC", serverErr: "G_TLS_ERROR_MISC",
		},
		{
			name:   "unknown identity",
			server: []string{"--psk", "1a2b", "--psk-identity", "bob"}, client: []string{"--psk", "1a2b", "--psk-identity", "eve"},
			code: 1, sees: object{"ok": false}, err: "G_TLS_ERROR_MISC", serverErr: "G_TLS_ERROR_MISC",
		},
		{
			name:   "client certificate required",
			server: with(serverFiles(), trust, []string{"--client-auth", "required"}), client: with(trust, clientFiles),
			sees: object{"ok": true}, serverSees: object{"ok": true, "peer_certs": 1.0, "peer_cert_subject": "CN=alice"}, also: "accepted_cas",
		},
		{
			name:   "client certificate required and missing",
			server: with(serverFiles(), trust, []string{"--client-auth", "required"}), client: trust,
			code: 1, err: "G_TLS_ERROR_CERTIFICATE_REQUIRED", serverErr: "G_TLS_ERROR_CERTIFICATE_REQUIRED", also: "accepted_cas",
		},
		{
			name:   "client certificate requested and missing",
			server: with(serverFiles(), trust, []string{"--client-auth", "requested"}), client: trust,
			sees: object{"ok": true}, serverSees: object{"ok": true, "peer_certs": 0.0}, also: "accepted_cas",
		},
		{
			name:   "client certificate of another CA, flags",
			server: with(serverFiles(), trust, []string{"--client-auth", "required"}), client: with(trust, strangerFiles),
			code: 1, serverSees: object{"ok": false, "flags": []any{"UNKNOWN_CA"}, "peer_cert_subject": "CN=alice"}, err: "G_TLS_ERROR_MISC", serverErr: "G_TLS_ERROR_BAD_CERTIFICATE",
		},
		{
			name:   "client certificate of another CA, always",
			server: with(serverFiles(), trust, []string{"--client-auth", "required", "--accept", "always"}), client: with(trust, strangerFiles),
			sees: object{"ok": true}, serverSees: object{"ok": true, "flags": []any{"UNKNOWN_CA"}},
		},
		{
			name:   "good client certificate, never",
			server: with(serverFiles(), trust, []string{"--client-auth", "required", "--accept", "never"}), client: with(trust, clientFiles),
			code: 1, serverSees: object{"ok": false, "flags": []any{}}, serverErr: "G_TLS_ERROR_BAD_CERTIFICATE", err: "G_TLS_ERROR_MISC",
		},
		{
			name:   "unknown CA, always",
			server: serverFiles(), client: []string{"--ca", file("other/ca.pem"), "--accept", "always"},
			sees: object{"ok": true, "flags": []any{"UNKNOWN_CA"}}, also: "accept_certificate",
		},
		{
			name:   "unknown CA, never",
			server: serverFiles(), client: []string{"--ca", file("other/ca.pem"), "--accept", "never"},
			code: 1, sees: object{"ok": false, "flags": []any{"UNKNOWN_CA"}, "peer_cert_subject": "CN=localhost"}, err: "G_TLS_ERROR_BAD_CERTIFICATE", serverErr: "G_TLS_ERROR_MISC", also: "accept_certificate",
		},
		{
			name:   "unknown CA, flags",
			server: serverFiles(), client: []string{"--ca", file("other/ca.pem"), "--accept", "flags"},
			code: 1, sees: object{"ok": false}, err: "G_TLS_ERROR_BAD_CERTIFICATE", also: "accept_certificate",
		},
		{
			name:   "nobody to ask",
			server: serverFiles(), client: []string{"--ca", file("other/ca.pem")},
			code: 1, err: "G_TLS_ERROR_BAD_CERTIFICATE", also: "warning",
		},
		{
			name:   "another name",
			server: serverFiles(), client: with(trust, []string{"--identity", "elsewhere.example", "--accept", "never"}),
			code: 1, sees: object{"ok": false, "flags": []any{"BAD_IDENTITY"}}, err: "G_TLS_ERROR_BAD_CERTIFICATE",
		},
		{
			name:   "self-signed on the fly",
			client: []string{"--accept", "always"},
			sees:   object{"ok": true, "flags": []any{"UNKNOWN_CA"}}, also: "accept_certificate",
		},
		{
			name:   "nothing in common",
			server: serverFiles(), client: []string{"--psk", "1a2b", "--psk-identity", "bob"},
			code: 1, sees: object{"ok": false}, err: "G_TLS_ERROR_MISC", serverErr: "G_TLS_ERROR_MISC",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, test.server...)
			client := gdtls(t, "", append([]string{"connect", server.address, "--json", "--send", "hello"}, test.client...)...)
			if client.code != test.code {
				t.Errorf("exit code %d, want %d:\n%s%s", client.code, test.code, client.stdout, client.stderr)
			}
			compare(t, "client", client.one(t, "handshake"), test.sees)
			if test.err != "" {
				compare(t, "client", client.one(t, "error"), object{"code": test.err})
			}
			if test.also != "" {
				client.one(t, test.also)
			}
			handshake := server.wait("handshake")
			compare(t, "server", handshake, test.serverSees)
			if test.serverErr != "" {
				compare(t, "server", server.wait("error"), object{"code": test.serverErr, "peer": handshake["peer"]})
			}
			if test.code == 0 {
				compare(t, "client", client.one(t, "datagram"), object{"peer": server.address, "text": "to " + handshake["peer"].(string) + ": ACK"})
				compare(t, "client", client.one(t, "closed"), object{"clean": true, "peer": server.address})
				compare(t, "server", server.wait("datagram"), object{"size": 5.0, "text": "hello", "peer": handshake["peer"]})
				compare(t, "server", server.wait("closed"), object{"clean": true, "peer": handshake["peer"]})
			}
			if end := server.end(); end.code != 0 {
				t.Errorf("server's exit code %d: %s", end.code, end.stderr)
			}
		})
	}
}

// compare checks those members of an event that want has.
func compare(t *testing.T, who string, got, want object) {
	t.Helper()
	for member, value := range want {
		if list, ok := value.([]any); ok {
			gotList, _ := got[member].([]any)
			if len(list) == len(gotList) && (len(list) == 0 || list[0] == gotList[0]) {
				continue
			}
		} else if got[member] == value {
			continue
		}
		t.Errorf("%s's event %s: %s is %v, want %v", who, got.name(), member, got[member], value)
	}
}

func TestPings(t *testing.T) {
	server := startServer(t, append(serverFiles(), "--reply", "echo")...)
	o := gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--count", "5", "--size", "1200", "--interval", "0s")
	if o.code != 0 || len(o.only("datagram")) != 5 {
		t.Fatalf("exit code %d, %d answers:\n%s", o.code, len(o.only("datagram")), o.stdout)
	}
	for _, e := range o.only("datagram") {
		if e["size"] != 1200.0 || !strings.HasPrefix(e["text"].(string), "I am gdtls, please, accept our ping ") {
			t.Errorf("answer %v", e)
		}
	}
	o = gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--count", "3", "--interval", "30ms")
	for i, e := range o.only("datagram") {
		if want := "I am gdtls, please, accept our ping " + string(rune('1'+i)); e["text"] != want {
			t.Errorf("answer %v, want %q", e["text"], want)
		}
	}
	if len(o.only("datagram")) != 3 {
		t.Errorf("%d answers, want 3", len(o.only("datagram")))
	}
	o = gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--count", "1", "--size", "9000")
	if o.code != 1 || o.one(t, "error")["code"] != "G_IO_ERROR_MESSAGE_TOO_LARGE" {
		t.Errorf("a ping beyond the MTU: exit code %d\n%s", o.code, o.stdout)
	}
}

func TestSeveralTexts(t *testing.T) {
	server := startServer(t, append(serverFiles(), "--reply", "echo")...)
	o := gdtls(t, "", "connect", server.address, "three", "--json", "--ca", file("ca.pem"), "--send", "one, two", "--send", "ü")
	if o.code != 0 || len(o.only("datagram")) != 3 {
		t.Fatalf("exit code %d\n%s", o.code, o.stdout)
	}
	for i, want := range []object{{"text": "one, two"}, {"text": "ü", "hex": nil, "size": 2.0}, {"text": "three"}} {
		compare(t, "client", o.only("datagram")[i], want)
	}
}

func TestInputLines(t *testing.T) {
	server := startServer(t, append(serverFiles(), "--reply", "echo")...)
	o := gdtls(t, "one\n\nthree\n\xff\xfe", "connect", server.address, "--json", "--ca", file("ca.pem"))
	if o.code != 0 || len(o.only("datagram")) != 4 {
		t.Fatalf("exit code %d\n%s", o.code, o.stdout)
	}
	compare(t, "client", o.only("datagram")[3], object{"text": "\uFFFD\uFFFD", "hex": "fffe", "size": 2.0})
	for i, want := range []string{"one", "", "three"} {
		compare(t, "client", o.only("datagram")[i], object{"text": want, "size": float64(len(want))})
	}
	o = gdtls(t, strings.Repeat("x", maxLine+1), "connect", server.address, "--json", "--ca", file("ca.pem"))
	if o.code != 1 || !strings.Contains(o.one(t, "error")["message"].(string), "token too long") {
		t.Errorf("an endless line: exit code %d\n%s", o.code, o.stdout)
	}
}

func TestHalfClose(t *testing.T) {
	server := startServer(t, serverFiles()...)
	o := gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--send", "a", "--send", "b", "--shutdown-write")
	if o.code != 0 || len(o.only("datagram")) != 2 {
		t.Fatalf("exit code %d\n%s", o.code, o.stdout)
	}
	compare(t, "client", o.one(t, "closed"), object{"clean": true, "reason": "closed by the server with close_notify"})
	if len(o.only("warning")) != 0 {
		t.Errorf("warned: %v", o.only("warning"))
	}
}

func TestNoReply(t *testing.T) {
	server := startServer(t, append(serverFiles(), "--reply", "none")...)
	o := gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--send", "a", "--wait", "100ms")
	if o.code != 0 || !strings.Contains(o.one(t, "warning")["message"].(string), "0 of 1") {
		t.Errorf("exit code %d\n%s", o.code, o.stdout)
	}
	o = gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--send", "a", "--wait", "0s")
	if o.code != 0 || len(o.only("warning")) != 0 {
		t.Errorf("without waiting: exit code %d\n%s", o.code, o.stdout)
	}
}

func TestServerStops(t *testing.T) {
	server := startServer(t, serverFiles()...)
	reader, writer := net.Pipe() // an input that stays open
	defer writer.Close()
	defer reader.Close()
	done := make(chan outcome, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		done <- gdtlsWith(ctx, t, reader, "connect", server.address, "--json", "--ca", file("ca.pem"))
	}()
	server.wait("handshake")
	end := server.end()
	if end.code != 0 {
		t.Errorf("server's exit code %d", end.code)
	}
	compare(t, "server", end.one(t, "closed"), object{"clean": true, "reason": "the server stops"})
	o := <-done
	compare(t, "client", o.one(t, "closed"), object{"clean": true, "reason": "closed by the server with close_notify"})
	if o.code != 0 {
		t.Errorf("client's exit code %d", o.code)
	}
}

// silence is an input at which a person does not answer.
type silence struct{ net.Conn }

func (silence) IsTerminal() bool { return true }

func TestServerStopsDuringHandshake(t *testing.T) {
	server := startServer(t, serverFiles()...)
	reader, writer := net.Pipe()
	defer reader.Close()
	done := make(chan outcome, 1)
	go func() {
		done <- gdtlsWith(context.Background(), t, silence{reader}, "connect", server.address, "--ca", file("other/ca.pem"), "--send", "x")
	}()
	server.wait("peer_verified")
	end := server.end()
	compare(t, "server", end.one(t, "closed"), object{"clean": false, "reason": "the server stops during the handshake"})
	if len(end.only("error")) != 0 || end.code != 0 {
		t.Errorf("server's exit code %d\n%s", end.code, end.stdout)
	}
	writer.Close() // nobody answers any more: no
	if o := <-done; o.code != 1 {
		t.Errorf("client's exit code %d\n%s", o.code, o.stdout)
	}
}

// A server that goes before everything is sent leaves a client with a failure.
func TestServerStopsEarly(t *testing.T) {
	server := startServer(t, serverFiles()...)
	done := make(chan outcome, 1)
	go func() {
		done <- gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--count", "1000", "--interval", "1h")
	}()
	server.wait("datagram")
	server.end()
	o := <-done
	if o.code != 1 {
		t.Errorf("exit code %d", o.code)
	}
	compare(t, "client", o.one(t, "error"), object{"domain": "G_IO_ERROR", "code": "G_IO_ERROR_CONNECTION_CLOSED"})
}

func TestClientInterrupted(t *testing.T) {
	server := startServer(t, serverFiles()...)
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	done := make(chan outcome, 1)
	go func() {
		done <- gdtlsWith(ctx, t, strings.NewReader(""), "connect", server.address, "--json", "--ca", file("ca.pem"), "--count", "2", "--interval", "1h")
	}()
	server.wait("datagram")
	interrupt()
	o := <-done
	if o.code != 1 {
		t.Errorf("exit code %d", o.code)
	}
	compare(t, "client", o.one(t, "error"), object{"domain": "G_IO_ERROR", "code": "G_IO_ERROR_CANCELLED"})
	compare(t, "server", server.wait("closed"), object{"clean": true})
}

func TestMaxPeers(t *testing.T) {
	server := startServer(t, append(serverFiles(), "--max-peers", "1")...)
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	done := make(chan outcome, 1)
	go func() {
		done <- gdtlsWith(ctx, t, strings.NewReader(""), "connect", server.address, "--json", "--ca", file("ca.pem"), "--count", "2", "--interval", "1h")
	}()
	server.wait("datagram")
	o := gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--send", "x", "--wait", "300ms")
	if o.code != 1 || o.one(t, "error")["code"] != "G_IO_ERROR_TIMED_OUT" {
		t.Errorf("second peer: exit code %d\n%s", o.code, o.stdout)
	}
	leave()
	<-done
}

func TestNobodyThere(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	o := gdtls(t, "", "connect", silent.LocalAddr().String(), "--json", "--send", "x", "--wait", "200ms")
	e := o.one(t, "error")
	compare(t, "client", e, object{"domain": "G_IO_ERROR", "code": "G_IO_ERROR_TIMED_OUT"})
	if o.code != 1 || !strings.Contains(e["message"].(string), "200ms") {
		t.Errorf("silent peer: exit code %d\n%s", o.code, o.stdout)
	}

	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	o = gdtls(t, "", "connect", closed.LocalAddr().String(), "--json", "--send", "x")
	if o.code != 1 || o.one(t, "error")["code"] != "G_IO_ERROR_CONNECTION_REFUSED" {
		t.Errorf("closed port: exit code %d\n%s", o.code, o.stdout)
	}
}

func TestForeignPeer(t *testing.T) {
	echo, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		buf := make([]byte, 2000)
		for {
			_, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), from)
		}
	}()
	o := gdtls(t, "", "connect", echo.LocalAddr().String(), "--json", "--send", "x", "--wait", "300ms")
	compare(t, "client", o.one(t, "error"), object{"domain": "G_TLS_ERROR", "code": "G_TLS_ERROR_NOT_TLS"})
	if o.code != 1 {
		t.Errorf("exit code %d", o.code)
	}
}

// terminal is an input at which a person sits.
type terminal struct{ *bytes.Reader }

func (terminal) IsTerminal() bool { return true }

func TestAsk(t *testing.T) {
	server := startServer(t, serverFiles()...)
	for _, test := range []struct {
		typed string
		code  int
	}{{"y\n", 0}, {"Yes \n", 0}, {"n\n", 1}, {"\n", 1}, {"", 1}} {
		o := gdtlsWith(context.Background(), t, terminal{bytes.NewReader([]byte(test.typed))},
			"connect", server.address, "--ca", file("other/ca.pem"), "--send", "hello")
		if o.code != test.code {
			t.Errorf("answer %q: exit code %d, want %d\n%s%s", test.typed, o.code, test.code, o.stdout, o.stderr)
		}
		for _, want := range []string{"UNKNOWN_CA", "CN=localhost", "[y/N]"} {
			if !strings.Contains(o.stdout, want) {
				t.Errorf("answer %q: %q is not shown in\n%s", test.typed, want, o.stdout)
			}
		}
	}
}

// A person at a terminal need not see again what was typed, and ends it by Ctrl-D.
func TestPerson(t *testing.T) {
	server := startServer(t, serverFiles()...)
	o := gdtlsWith(context.Background(), t, terminal{bytes.NewReader([]byte("hello\n"))}, "connect", server.address, "--ca", file("ca.pem"))
	if o.code != 0 || !strings.Contains(o.stdout, "Ctrl-D ends") || strings.Contains(o.stdout, "hello") {
		t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	compare(t, "server", server.wait("datagram"), object{"text": "hello"})
	compare(t, "server", server.wait("closed"), object{"clean": true})
}

func TestKeylog(t *testing.T) {
	server := startServer(t, serverFiles()...)
	log := filepath.Join(t.TempDir(), "keys")
	for range 2 {
		if o := gdtls(t, "", "connect", server.address, "--ca", file("ca.pem"), "--send", "x", "--keylog", log); o.code != 0 {
			t.Fatal(o.stderr)
		}
	}
	text, err := os.ReadFile(log)
	if err != nil || strings.Count(string(text), "CLIENT_RANDOM ") != 2 {
		t.Errorf("key log has %q, %v; want two lines", text, err)
	}
	if info, _ := os.Stat(log); info.Mode().Perm() != 0o600 {
		t.Errorf("key log has mode %v", info.Mode())
	}
}

// What people read has no control characters of the peer.
func TestHostileText(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ünïcode 漢":   "plain, ünïcode 漢",
		"\x1b[31mred\a":      `\x1b[31mred\a`,
		"line\nbreak\r":      `line\nbreak\r`,
		"bad \xff byte":      `bad \xff byte`,
		"\u202Eright left":   `\u202eright left`,
		"replacement \uFFFD": "replacement \uFFFD",
	} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestForPeople(t *testing.T) {
	server := startServer(t, append(serverFiles(), "--reply", "echo")...)
	o := gdtls(t, "", "connect", server.address, "--ca", file("ca.pem"), "--send", "\x1b[31mhi")
	for _, want := range []string{"connected to " + server.address, "TLS_ECDHE_ECDSA", "→ \\x1b[31mhi", "← \\x1b[31mhi", "closed by this side"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("client does not show %q in\n%s", want, o.stdout)
		}
	}
	if strings.Contains(o.stdout, "\x1b") {
		t.Errorf("escape sequences go to what is no terminal: %q", o.stdout)
	}
	began := time.Now()
	ctx, stop := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer stop()
	o = gdtlsWith(ctx, t, strings.NewReader(""), "serve", "--listen", "127.0.0.1:0")
	if o.code != 0 || !strings.Contains(o.stdout, "listening on 127.0.0.1:") || !strings.Contains(o.stdout, "self-signed") {
		t.Errorf("server: exit code %d after %v\n%s%s", o.code, time.Since(began), o.stdout, o.stderr)
	}
}
