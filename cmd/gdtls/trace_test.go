package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gdtls/conn"
)

// --trace tells what goes on in a handshake, on both sides and in both forms.
func TestTrace(t *testing.T) {
	conn.DefaultSessionCache().Clear()
	server := startServer(t, append(serverFiles(), "--trace")...)
	o := gdtls(t, "", "connect", server.address, "--json", "--trace", "--ca", file("ca.pem"), "--send", "x")
	if o.code != 0 {
		t.Fatal(o.stderr)
	}
	var kinds []string
	for _, e := range o.events {
		if e["event"] == "trace" {
			kinds = append(kinds, e["kind"].(string))
		}
	}
	want := "flight message flight message message message message question answer flight"
	if got := strings.Join(kinds, " "); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " done") {
		t.Errorf("client told %q, want %q", got, want)
	}
	compare(t, "server", server.wait("trace"), object{"kind": "flight", "messages": []any{"ServerHello", "Certificate", "ServerKeyExchange", "ServerHelloDone"}})

	conn.DefaultSessionCache().Clear()
	o = gdtls(t, "", "connect", server.address, "--trace", "--ca", file("ca.pem"), "--send", "x")
	for _, want := range []string{"→ ClientHello (", "← HelloVerifyRequest (", "waits for verdict on the peer's certificate", "handshake is done"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("no %q in\n%s", want, o.stdout)
		}
	}
	o = gdtls(t, "", "connect", server.address, "--trace", "--accept", "never", "--send", "x")
	for _, want := range []string{"→ alert unknown_ca (fatal)", "handshake has failed: unacceptable TLS certificate: "} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("no %q in\n%s", want, o.stdout)
		}
	}
}

// Both sides write the same line into their key logs, of which SSLKEYLOGFILE names one.
func TestKeylogOfBothSides(t *testing.T) {
	dir := t.TempDir()
	server := startServer(t, append(serverFiles(), "--keylog", filepath.Join(dir, "server"))...)
	t.Setenv("SSLKEYLOGFILE", filepath.Join(dir, "client"))
	if o := gdtls(t, "", "connect", server.address, "--ca", file("ca.pem"), "--send", "x"); o.code != 0 {
		t.Fatal(o.stderr)
	}
	client, err := os.ReadFile(filepath.Join(dir, "client"))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile(filepath.Join(dir, "server"))
	if err != nil || len(client) == 0 || string(client) != string(ours) {
		t.Errorf("client wrote %q, server %q, %v", client, ours, err)
	}
}
