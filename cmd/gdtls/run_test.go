package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A wrong command line gets a sentence that says what to do.
func TestWrongFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "expected one of"},
		{[]string{"sreve"}, "gdtls --help"},
		{[]string{"serve", "--lisen", "x"}, "did you mean"},
		{[]string{"serve", "--reply", "shout"}, `must be one of "ack","echo","none"`},
		{[]string{"serve", "--max-peers", "0"}, "--max-peers must be at least 1"},
		{[]string{"serve", "--max-peers", "many"}, "gdtls serve --help"},
		{[]string{"serve", "--listen", "4433"}, "ADDR:PORT"},
		{[]string{"serve", "--psk", "xyz"}, "hexadecimal"},
		{[]string{"serve", "--psk", "123"}, "hexadecimal"},
		{[]string{"serve", "--psk-identity", "bob"}, "needs --psk"},
		{[]string{"serve", "--psk-hint", "h"}, "needs --psk"},
		{[]string{"serve", "--key", "k.pem"}, "--key needs --cert"},
		{[]string{"serve", "--alpn", "a,,b"}, "1 to 255 bytes"},
		{[]string{"connect"}, "<addr:port>"},
		{[]string{"connect", "localhost"}, "not ADDR:PORT"},
		{[]string{"connect", ":4433"}, "not ADDR:PORT"},
		{[]string{"connect", "localhost:1", "--psk", "1a"}, "needs --psk-identity"},
		{[]string{"connect", "localhost:1", "--psk", "1a", "--psk-identity", "a", "--cert", "c.pem"}, "exclude each other"},
		{[]string{"connect", "localhost:1", "--count=-1"}, "not be negative"},
		{[]string{"connect", "localhost:1", "--count", "1", "--send", "x"}, "give one of them"},
		{[]string{"connect", "localhost:1", "--size", "10"}, "needs --count"},
		{[]string{"connect", "localhost:1", "--count", "1", "--size", "16385"}, "1 to 16384"},
		{[]string{"connect", "localhost:1", "--interval", "5"}, "duration"},
		{[]string{"connect", "localhost:1", "--interval=-5s"}, "--interval must not be negative"},
		{[]string{"connect", "localhost:1", "--wait=-5s"}, "--wait must not be negative"},
		{[]string{"serve", "--accounts", "x"}, "for --console"},
		{[]string{"serve", "--console", "127.0.0.1:0", "--tls-key", "k.pem"}, "--tls-key needs --tls-cert"},
		{[]string{"serve", "--listen", "127.0.0.1:0", "--psk", "1a", "--console", "0.0.0.0:0"}, "give --tls-cert and --tls-key"},
		{[]string{"cert", "new", "--days", "0"}, "--days must be at least 1"},
		{[]string{"cert", "show"}, "gdtls cert show --help"},
	} {
		o := gdtls(t, "", test.args...)
		if o.code != exitUsage || !strings.HasPrefix(o.stderr, "gdtls: ") || !strings.Contains(o.stderr, test.want) || strings.Count(o.stderr, "\n") != 1 || o.stdout != "" {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s%s", test.args, o.code, exitUsage, test.want, o.stdout, o.stderr)
		}
		o = gdtls(t, "", append([]string{"--json"}, test.args...)...)
		if o.code != exitUsage || len(o.events) != 1 || o.stderr != "" {
			t.Errorf("%v: exit code %d\n%s%s", test.args, o.code, o.stdout, o.stderr)
			continue
		}
		compare(t, strings.Join(test.args, " "), o.events[0], object{"event": "error", "code": "G_IO_ERROR_INVALID_ARGUMENT"})
	}
}

// What cannot be done is a failure with Gio's code.
func TestFailures(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		args         []string
		domain, code string
	}{
		{[]string{"serve", "--listen", taken.LocalAddr().String()}, "G_IO_ERROR", "G_IO_ERROR_ADDRESS_IN_USE"},
		{[]string{"serve", "--cert", file("none.pem")}, "G_IO_ERROR", "G_IO_ERROR_NOT_FOUND"},
		{[]string{"serve", "--cert", file("server.pem"), "--key", file("client-key.pem")}, "G_TLS_ERROR", "G_TLS_ERROR_BAD_CERTIFICATE"},
		{[]string{"serve", "--cert", file("server.pem")}, "G_TLS_ERROR", "G_TLS_ERROR_BAD_CERTIFICATE"},
		{[]string{"serve", "--ca", file("server-key.pem")}, "G_TLS_ERROR", "G_TLS_ERROR_MISC"},
		{[]string{"connect", "127.0.0.1:1", "--ca", file("none.pem")}, "G_IO_ERROR", "G_IO_ERROR_NOT_FOUND"},
		{[]string{"connect", "127.0.0.1:1", "--keylog", file("none/keys")}, "G_IO_ERROR", "G_IO_ERROR_NOT_FOUND"},
	} {
		o := gdtls(t, "", append([]string{"--json"}, test.args...)...)
		if o.code != exitFailed {
			t.Errorf("%v: exit code %d\n%s", test.args, o.code, o.stdout)
		}
		compare(t, strings.Join(test.args, " "), o.one(t, "error"), object{"domain": test.domain, "code": test.code})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"connect", "--help"}, {"demo", "--help"}, {"cert", "new", "--help"}} {
		o := gdtls(t, "", args...)
		if o.code != exitOK || !strings.HasPrefix(o.stdout, "Usage: gdtls") || o.stderr != "" {
			t.Errorf("%v: exit code %d\n%s%s", args, o.code, o.stdout, o.stderr)
		}
	}
}

func TestLogLevel(t *testing.T) {
	server := startServer(t, append(serverFiles(), "--log-level", "info")...)
	o := gdtls(t, "", "connect", server.address, "--ca", file("ca.pem"), "--send", "x", "--log-level", "debug")
	if o.code != 0 || !strings.Contains(o.stderr, "level=DEBUG") {
		t.Errorf("client logs %q", o.stderr)
	}
	if end := server.end(); !strings.Contains(end.stderr, "level=INFO") || strings.Contains(end.stderr, "level=DEBUG") {
		t.Errorf("server logs %q", end.stderr)
	}
}

func TestDemo(t *testing.T) {
	dir := t.TempDir()
	o := gdtls(t, "", "demo", "--once", "--data", dir)
	if o.code != 0 {
		t.Fatalf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	for _, want := range []string{"ClientHello with cookie", "ALPN ping/1", "knows the client as CN=alice", "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256", `PSK hint "gdtls demo"`, ": ACK",
		"REDS, RS256 over UDP", "GREENS, ES256 over DTLS, shown by certificate", "BLUES, RS256 over DTLS, shown by pre-shared key", "#######  6 VIOLET  next 0", "2 conversations and 3 walks, as they should be"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("%q is not shown in\n%s", want, o.stdout)
		}
	}
	for line := range strings.Lines(o.stdout) {
		if strings.ContainsFunc(line, func(r rune) bool { return r > 126 || r < ' ' && r != '\n' }) {
			t.Errorf("not plain: %q", line)
		}
		if strings.HasPrefix(line, "  |") && len(line) != drawWidth+1 {
			t.Errorf("line of %d columns: %q", len(line), line)
		}
	}
	ca, err := os.ReadFile(dir + "/ca.pem")
	if err != nil {
		t.Fatal(err)
	}

	o = gdtls(t, "", "demo", "--once", "--json", "--data", dir)
	if o.code != 0 || o.one(t, "demo")["ok"] != true {
		t.Fatalf("exit code %d\n%s", o.code, o.stdout)
	}
	walks := o.only("jwt_walk")
	if len(walks) != len(demoWalks) {
		t.Fatalf("walks %v", walks)
	}
	for i, w := range demoWalks {
		compare(t, w.group, walks[i], object{"ok": true, "group": w.group, "transport": map[bool]string{false: "udp", true: "dtls"}[w.dtls], "acknowledged": 7.0})
	}
	count := map[string]int{}
	for _, e := range o.events {
		count[strings.Join([]string{e.name(), text(e["conversation"]), text(e["side"])}, " ")]++
	}
	for _, conversation := range []string{"certificate", "psk"} {
		for event, want := range map[string]int{"handshake": 1, "datagram": demoPings, "closed": 1} {
			for _, side := range []string{"client", "server"} {
				if got := count[event+" "+conversation+" "+side]; got != want {
					t.Errorf("%d events %s of the %s by %s, want %d", got, event, side, conversation, want)
				}
			}
		}
	}
	if again, _ := os.ReadFile(dir + "/ca.pem"); string(again) != string(ca) {
		t.Error("the second demonstration replaced the CA of the first")
	}
	for _, g := range gdtls(t, "", "jwt", "status", "--json", dir+"/lab").only("jwt_group") {
		compare(t, "what both demonstrations kept", g, object{"completed": 2.0, "rows": 14.0})
	}
}

func text(v any) string { s, _ := v.(string); return s }

// The binary ends cleanly by a signal.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot send an interrupt to another on Windows")
	}
	name, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	start := func(args ...string) (*exec.Cmd, *bufio.Scanner) {
		command := exec.CommandContext(ctx, name, args...)
		command.WaitDelay = time.Second
		command.Stderr = os.Stderr
		stdin, err := command.StdinPipe() // stays open
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stdin.Close() })
		stdout, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		return command, bufio.NewScanner(stdout)
	}
	await := func(lines *bufio.Scanner, name string) object {
		for lines.Scan() {
			if e := parseEvent(t, lines.Text()); e.name() == name {
				return e
			}
		}
		t.Fatalf("ended without event %q", name)
		return nil
	}
	server, serverLines := start("serve", "--json", "--listen", "127.0.0.1:0")
	address := await(serverLines, "listening")["address"].(string)
	client, clientLines := start("connect", "--json", address, "--accept", "always")
	await(clientLines, "handshake")
	await(serverLines, "handshake")
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	compare(t, "server", await(serverLines, "closed"), object{"clean": true})
	if err := server.Wait(); err != nil {
		t.Errorf("server: %v", err)
	}
	compare(t, "client", await(clientLines, "closed"), object{"clean": true, "reason": "closed by the server with close_notify"})
	if err := client.Wait(); err != nil {
		t.Errorf("client: %v", err)
	}

	demo, demoLines := start("demo", "--json")
	await(demoLines, "demo")
	if err := demo.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for demoLines.Scan() {
		parseEvent(t, demoLines.Text())
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("demo: %v", err)
	}
}

// Every event is one line of JSON with its name first, whatever stands in it.
func FuzzEncode(f *testing.F) {
	f.Add("text", "tag")
	f.Add("\x00\xff\u2028</script>\"\n", `"`)
	f.Fuzz(func(t *testing.T, text, tag string) {
		o := newOutput(io.Discard, io.Discard, true).tagged("side", tag)
		for _, e := range []event{warning{Message: text}, newReceived(text, []byte(text)), peerVerified{text}} {
			line := encode(e, o.tags)
			if strings.Count(line, "\n") != 1 || !strings.HasPrefix(line, `{"event":"`) || !json.Valid([]byte(line)) {
				t.Errorf("%q", line)
			}
		}
	})
}

// What comes over the wire cannot break the drawing.
func FuzzWire(f *testing.F) {
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{99, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		for _, from := range []string{"client", "server"} {
			for line := range strings.Lines(draw(false, newWire(from, datagram)) + "\n") {
				if n := len([]rune(line)); n != drawWidth+1 {
					t.Errorf("line of %d columns: %q", n, line)
				}
			}
		}
	})
}
