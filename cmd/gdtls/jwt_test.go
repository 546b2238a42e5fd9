package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gdtls/jwtproto"
)

// newLab has the program make a lab folder.
func newLab(t *testing.T, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "lab")
	if o := gdtls(t, "", append([]string{"jwt", "keygen", dir}, args...)...); o.code != 0 {
		t.Fatalf("keygen: %s", o.stderr)
	}
	return dir
}

// startJWT starts "gdtls jwt serve --json" on a lab and waits until it listens.
func startJWT(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &running{t: t, stop: stop, lines: make(chan object, 1000), code: make(chan int, 1)}
	reader, writer := io.Pipe()
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			s.lines <- parseEvent(t, scanner.Text())
		}
	}()
	go func() {
		code := run(ctx, append([]string{"jwt", "serve", "--json", "127.0.0.1", "0", dir}, args...), strings.NewReader(""), writer, &s.stderr)
		writer.Close()
		s.code <- code
	}()
	t.Cleanup(func() { s.end() })
	s.address, _ = s.wait("jwt_listening")["address"].(string)
	return s
}

func TestJWT(t *testing.T) {
	dir := newLab(t, "--group", "reds,blues")
	server := startJWT(t, dir, "--cert", file("server.pem"), "--key", file("server-key.pem"))
	walks := []struct {
		name string
		args []string
	}{
		{"udp", []string{"--group", "REDS"}},
		{"dtls", []string{"--group", "blues", "--dtls", "--ca", file("ca.pem"), "--registration", "3"}},
		{"dtls by certificate", []string{"--group", "reds", "--dtls", "--ca", file("ca.pem"), "--show", "certificate"}},
		{"dtls by psk", []string{"--group", "blues", "--dtls", "--show", "psk"}},
	}
	for _, walk := range walks {
		t.Run(walk.name, func(t *testing.T) {
			o := gdtls(t, "", append([]string{"--json", "jwt", "walk", server.address, "--dir", dir}, walk.args...)...)
			if o.code != 0 {
				t.Fatalf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
			}
			compare(t, walk.name, o.one(t, "jwt_walk"), object{"ok": true, "acknowledged": 7.0, "sent": 7.0, "restarts": 0.0})
			steps := o.only("jwt_step")
			if len(steps) != 7 || steps[6]["next"] != 0.0 || steps[6]["colour"] != "VIOLET" {
				t.Errorf("steps %v", steps)
			}
			for n := range 7 {
				if e := server.wait("jwt_request"); e["number"] != float64(n) || e["refusal"] != "" {
					t.Errorf("the server tells of %v, and not of number %d", e, n)
				}
			}
		})
	}
	o := gdtls(t, "", "jwt", "walk", server.address, "--dir", dir, "--group", "reds")
	if o.code != 0 || !strings.Contains(o.stdout, "#######  6 VIOLET  next 0") || !strings.Contains(o.stdout, "all states reached") {
		t.Errorf("for people: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	o = gdtls(t, "", "--json", "jwt", "walk", server.address, "--dir", dir, "--group", "reds", "--registration", "99")
	if message, _ := o.one(t, "error")["message"].(string); o.code != exitFailed || !strings.Contains(message, "Registration not recognized") || o.one(t, "jwt_walk")["ok"] != false {
		t.Errorf("a stranger: %d\n%s", o.code, o.stdout)
	}
	if end := server.end(); end.code != 0 {
		t.Errorf("the server ended with %d: %s", end.code, end.stderr)
	}
	for _, name := range []string{jwtproto.LogRequests, jwtproto.LogPayloads, jwtproto.LogResponses, jwtproto.LogRegistrations, jwtproto.LogSuccess} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.HasPrefix(string(data), "20") {
			t.Errorf("%s: %v, %d bytes", name, err, len(data))
		}
	}
}

func TestJWTWithoutLogs(t *testing.T) {
	dir := newLab(t, "--alg", "es256", "--format", "ssh", "--no-psk")
	server := startJWT(t, dir, "--no-logs", "--transport", "udp", "--states", "3", "--fault-duplicate", "1")
	if o := gdtls(t, "", "jwt", "walk", server.address, "--dir", dir, "--group", "group2", "--states", "3"); o.code != 0 {
		t.Errorf("walk: %s", o.stderr)
	}
	if o := gdtls(t, "", "jwt", "walk", server.address, "--dir", dir, "--group", "group2", "--dtls", "--show", "psk"); o.code != exitFailed || !strings.Contains(o.stderr, "no pre-shared key") {
		t.Errorf("walk without a key: %d %s", o.code, o.stderr)
	}
	server.end()
	if logs, _ := filepath.Glob(filepath.Join(dir, "*.txt")); len(logs) > 0 {
		t.Errorf("there are %v", logs)
	}
}

func TestJWTUsage(t *testing.T) {
	dir := newLab(t)
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"keygen", dir}, exitFailed, "exist"},
		{[]string{"keygen", t.TempDir(), "--group", "a b"}, exitFailed, "space"},
		{[]string{"keygen", t.TempDir(), "--members", "0"}, exitUsage, "--members"},
		{[]string{"serve", "127.0.0.1", "0", t.TempDir()}, exitFailed, "keygen"},
		{[]string{"serve", "127.0.0.1", "0", dir, "--states", "1"}, exitUsage, "--states"},
		{[]string{"serve", "127.0.0.1", "0", dir, "--fault-drop", "2"}, exitUsage, "--fault-drop"},
		{[]string{"serve", "127.0.0.1", "0", dir, "--no-logs", "--logs", "x"}, exitUsage, "contradict"},
		{[]string{"serve", "127.0.0.1", "70000", dir}, exitUsage, "70000"},
		{[]string{"walk", "127.0.0.1"}, exitUsage, "--group"},
		{[]string{"walk", "127.0.0.1", "--dir", dir, "--group", "group1"}, exitUsage, "ADDR:PORT"},
		{[]string{"walk", "--dir", dir, "--group", "nobody"}, exitFailed, "NOBODY"},
		{[]string{"walk", "--dir", dir, "--group", "group1", "--show", "psk"}, exitUsage, "--dtls"},
		{[]string{"walk", "--dir", t.TempDir(), "--group", "group1"}, exitFailed, "secret"},
	} {
		o := gdtls(t, "", append([]string{"jwt"}, test.args...)...)
		if o.code != test.code || !strings.Contains(o.stderr, test.want) {
			t.Errorf("%v: exit code %d, %s", test.args, o.code, o.stderr)
		}
	}
}
