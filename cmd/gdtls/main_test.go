package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// limit is how long anything may take that a test waits for.
const limit = 20 * time.Second

// pkiDir holds ca.pem, server.pem (localhost, 127.0.0.1), client.pem (alice) and
// their keys, and in other/ the same of another CA. Every file was made by the
// program itself.
var pkiDir string

// runTests runs the tests, with what some of them share.
var runTests = (*testing.M).Run

func file(name string) string { return filepath.Join(pkiDir, filepath.FromSlash(name)) }

func TestMain(m *testing.M) {
	code, err := setUp(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func setUp(m *testing.M) (int, error) {
	var err error
	if pkiDir, err = os.MkdirTemp("", "gdtls-test-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(pkiDir)
	for _, dir := range []string{pkiDir, file("other")} {
		for _, args := range [][]string{
			{"cert", "new", "--dir", dir},
			{"cert", "new", "--dir", dir, "--client", "--name", "alice"},
		} {
			var stderr bytes.Buffer
			if run(context.Background(), args, strings.NewReader(""), io.Discard, &stderr) != 0 {
				return 0, fmt.Errorf("%v: %s", args, &stderr)
			}
		}
	}
	code := runTests(m)
	if code == 0 {
		err = goleak.Find(goleak.IgnoreCurrent())
	}
	return code, err
}

// binary builds the program, once.
var binary = sync.OnceValues(func() (string, error) {
	name := file("gdtls.exe")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", name, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return name, err
})

// object is an event as a program reads it.
type object map[string]any

func (o object) name() string { s, _ := o["event"].(string); return s }

// outcome is how a command ended.
type outcome struct {
	code           int
	stdout, stderr string
	events         []object // if it was called with --json
}

// only gives the events of that name.
func (o outcome) only(name string) []object {
	return slices.DeleteFunc(slices.Clone(o.events), func(e object) bool { return e.name() != name })
}

// one gives the only event of that name.
func (o outcome) one(t *testing.T, name string) object {
	t.Helper()
	found := o.only(name)
	if len(found) != 1 {
		t.Fatalf("%d events %q, want one, in\n%s", len(found), name, o.stdout)
	}
	return found[0]
}

// gdtls runs the program in this process.
func gdtls(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return gdtlsWith(ctx, t, strings.NewReader(stdin), args...)
}

func gdtlsWith(ctx context.Context, t *testing.T, stdin io.Reader, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	o := outcome{code: run(ctx, args, stdin, &stdout, &stderr)}
	o.stdout, o.stderr = stdout.String(), stderr.String()
	if slices.Contains(args, "--json") {
		for line := range strings.Lines(o.stdout) {
			o.events = append(o.events, parseEvent(t, line))
		}
	}
	return o
}

// running is a server in this process.
type running struct {
	t       *testing.T
	address string
	stop    context.CancelFunc
	lines   chan object
	seen    []object
	code    chan int
	stderr  bytes.Buffer
}

// startServer starts "gdtls serve --json" and waits until it listens.
func startServer(t *testing.T, args ...string) *running {
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
		code := run(ctx, append([]string{"serve", "--json", "--listen", "127.0.0.1:0"}, args...), strings.NewReader(""), writer, &s.stderr)
		writer.Close()
		s.code <- code
	}()
	t.Cleanup(func() { s.end() })
	s.address, _ = s.wait("listening")["address"].(string)
	return s
}

// wait waits for an event of that name.
func (s *running) wait(name string) object {
	s.t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case e, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("server ended without event %q; it told %v", name, s.seen)
			}
			if s.seen = append(s.seen, e); e.name() == name {
				return e
			}
		case <-timer.C:
			s.t.Fatalf("no event %q; it told %v", name, s.seen)
		}
	}
}

// end stops the server and gives how it ended.
func (s *running) end() outcome {
	s.stop()
	for e := range s.lines {
		s.seen = append(s.seen, e)
	}
	code := <-s.code
	s.code <- code // for a second call
	return outcome{code: code, events: s.seen, stdout: fmt.Sprint(s.seen), stderr: s.stderr.String()}
}

// schemas tells for each event which members it must have, with a value of the
// type that JSON gives them.
var schemas = map[string]object{
	"listening":     {"address": "", "certificate": "", "psk": false},
	"peer_verified": {"peer": ""},
	"handshake": {"ok": false, "peer": "", "version": "", "ciphersuite": "", "alpn": "", "sni": "", "psk_identity": "", "psk_hint": "",
		"peer_certs": 0.0, "peer_cert_subject": "", "flags": []any{}, "resumed": false},
	"accept_certificate": {"flags": []any{}, "chain": []any{}, "accepted": false},
	"accepted_cas":       {"names": []any{}},
	"datagram":           {"peer": "", "size": 0.0, "text": ""},
	"closed":             {"peer": "", "clean": false, "reason": ""},
	"error":              {"domain": "", "code": "", "message": ""},
	"warning":            {"message": ""},
	"wire":               {"from": "", "size": 0.0, "content": "", "encrypted": false},
	"demo":               {"ok": false, "conversations": []any{}, "walks": []any{}},
	"certificate": {"index": 0.0, "subject": "", "issuer": "", "serial": "", "names": []any{}, "not_before": "", "not_after": "",
		"key": "", "signature": "", "ca": false, "usages": []any{}, "sha256": ""},
	"certificate_made": {"ca": "", "new_ca": false, "certificate": "", "key": "", "info": map[string]any{}},
	"verify":           {"ok": false, "subject": "", "flags": []any{}},
	"jwt_listening":    {"address": "", "transport": "", "groups": []any{}, "states": 0.0, "certificate": ""},
	"jwt_request": {"peer": "", "transport": "", "group": "", "registration": 0.0, "number": 0.0, "next": 0.0, "step": "",
		"refusal": ""},
	"jwt_step": {"group": "", "number": 0.0, "colour": "", "next": 0.0, "sent": 0.0, "rejected": 0.0, "lost": false, "seconds": 0.0},
	"jwt_walk": {"ok": false, "group": "", "server": "", "transport": "", "acknowledged": 0.0, "sent": 0.0, "restarts": 0.0,
		"seconds": 0.0},
	"jwt_remote": {"group": "", "seq": 0.0, "registration": 0.0, "number": 0.0, "next": 0.0, "step": ""},
	"jwt_secret": {"kind": "", "name": "", "fingerprint": "", "since": "", "use": ""},
	"jwt_lab":    {"dir": "", "groups": []any{}, "clients": ""},
	"trace":      {"peer": "", "kind": "", "seconds": 0.0},

	"console":  {"url": ""},
	"account":  {"name": "", "where": "", "change": ""},
	"accounts": {"names": []any{}},
}

// optional are the members that an event may have, too.
var optional = map[string]object{
	"datagram":  {"hex": ""},
	"listening": {"metrics": ""},
	"error":     {"peer": ""},
	"console":   {"login": ""},
	"warning":   {"peer": ""},
	"trace": {"messages": []any{}, "bytes": 0.0, "datagrams": 0.0, "repetition": 0.0, "timeout": 0.0, "alert": "", "fatal": false,
		"received": false, "question": "", "resumed": false, "message": ""},
}

// parseEvent reads a line and checks it against the schema of its event.
func parseEvent(t *testing.T, line string) object {
	t.Helper()
	var e object
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Errorf("not a JSON object: %q: %v", line, err)
		return nil
	}
	kind := e.name()
	if measured, ok := e["bench"].(string); ok { // each measurement has its own members
		kind += " " + measured
	}
	schema, ok := schemas[kind]
	if !ok {
		t.Errorf("unknown event in %s", line)
	}
	for member, value := range schema {
		if got := fmt.Sprintf("%T", e[member]); got != fmt.Sprintf("%T", value) {
			t.Errorf("%s: member %q is %s, want %T", line, member, got, value)
		}
	}
	for member := range e {
		_, required := schema[member]
		_, allowed := optional[e.name()][member]
		if !required && !allowed && !slices.Contains([]string{"event", "conversation", "side"}, member) {
			t.Errorf("%s: member %q is not in the schema", line, member)
		}
	}
	return e
}
