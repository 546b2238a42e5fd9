package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func init() {
	schemas["bench throughput"] = object{"bench": "", "peer": "", "size": 0.0, "batch": 0.0, "ns_per_datagram": 0.0, "per_s": 0.0, "lost": 0.0, "allocs_per_datagram": 0.0}
	schemas["bench handshake"] = object{"bench": "", "peer": "", "kind": "", "per_s": 0.0, "us_per_pair": 0.0, "allocs": 0.0, "bytes": 0.0}
	schemas["bench idle"] = object{"bench": "", "peer": "", "side": "", "connections": 0.0, "bytes_per_connection": 0.0, "goroutines_per_connection": 0.0}
}

// inProcess are the peers that every machine has.
const inProcess = "gdtls,pion,udp,udp-gso,aead"

// positive checks that members are above 0.
func (o object) positive(t *testing.T, members ...string) {
	t.Helper()
	for _, member := range members {
		if value, _ := o[member].(float64); value <= 0 {
			t.Errorf("%v: %s is %v", o, member, o[member])
		}
	}
}

// wantPeers checks that there is an event for each of the peers, in this order.
func wantPeers(t *testing.T, events []object, peers ...string) {
	t.Helper()
	var got []string
	for _, e := range events {
		peer, _ := e["peer"].(string)
		got = append(got, peer)
	}
	if strings.Join(got, " ") != strings.Join(peers, " ") {
		t.Errorf("events of %v, want %v", got, peers)
	}
}

func TestBenchThroughput(t *testing.T) {
	for _, direction := range []string{"one", "echo"} {
		plot := filepath.Join(t.TempDir(), "chart.svg")
		o := gdtls(t, "", "bench", "throughput", "--json", "--peer", inProcess, "--size", "100", "--batch", "8",
			"--direction", direction, "--duration", "40ms", "--rounds", "2", "--plot", plot)
		if o.code != exitOK {
			t.Fatalf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
		}
		events := o.only("bench")
		wantPeers(t, events, strings.Split(inProcess, ",")...)
		for _, e := range events {
			e.positive(t, "ns_per_datagram", "per_s")
			if lost := e["lost"].(float64); e["bench"] != "throughput" || e["size"] != 100.0 || e["batch"] != 8.0 || lost < 0 || lost > 1 {
				t.Errorf("%v", e)
			}
		}
		marks := wantSVG(t, plot)
		if want := 2 * len(events); marks != want { // and the legend
			t.Errorf("%d marks in the chart, want %d", marks, want)
		}
	}
}

// wantSVG checks that a file is a drawing, and counts its marks.
func wantSVG(t *testing.T, name string) (marks int) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	root := ""
	for decoder := xml.NewDecoder(file); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s is not XML: %v", name, err)
		}
		if start, ok := token.(xml.StartElement); ok {
			if root == "" {
				root = start.Name.Local
			}
			if start.Name.Local == "path" {
				marks++
			}
		}
	}
	if root != "svg" {
		t.Errorf("the root of %s is %q", name, root)
	}
	return marks
}

// Datagrams that a peer cannot have leave it out, and the others go on.
func TestBenchLongDatagrams(t *testing.T) {
	o := gdtls(t, "", "bench", "throughput", "--json", "--peer", "gdtls,pion,udp-gso", "--size", "16000", "--batch", "4", "--duration", "20ms", "--rounds", "1")
	if o.code != exitOK {
		t.Fatalf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
	}
	wantPeers(t, o.only("bench"), "gdtls", "udp-gso")
	if reason, _ := o.one(t, "warning")["message"].(string); !strings.Contains(reason, "pion is left out: it cannot receive 16000 bytes") {
		t.Errorf("the reason is %q", reason)
	}
	o = gdtls(t, "", "bench", "throughput", "--json", "--peer", "pion", "--size", "16000", "--batch", "4", "--duration", "20ms", "--rounds", "1")
	if message, _ := o.one(t, "error")["message"].(string); o.code != exitFailed || !strings.Contains(message, "nothing was measured") {
		t.Errorf("exit code %d, %q", o.code, message)
	}
}

func TestBenchHandshake(t *testing.T) {
	plot, profile := filepath.Join(t.TempDir(), "chart.svg"), filepath.Join(t.TempDir(), "cpu")
	o := gdtls(t, "", "bench", "handshake", "--json", "--peer", "gdtls,pion", "--duration", "10ms", "--rounds", "1", "--plot", plot, "--cpuprofile", profile)
	if o.code != exitOK {
		t.Fatalf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
	}
	events := o.only("bench")
	wantPeers(t, events, "gdtls", "pion", "gdtls", "pion")
	for i, e := range events {
		e.positive(t, "per_s", "us_per_pair", "allocs", "bytes")
		if kind := []string{"full", "resumed"}[i/2]; e["kind"] != kind {
			t.Errorf("%v", e)
		}
	}
	wantSVG(t, plot)
	if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
		t.Errorf("the profile: %v", err)
	}
}

func TestBenchIdle(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "chart.svg")
	o := gdtls(t, "", "bench", "idle", "--json", "--connections", "20", "--plot", plot)
	if o.code != exitOK {
		t.Fatalf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
	}
	events := o.only("bench")
	wantPeers(t, events, "gdtls", "gdtls", "pion", "pion")
	for i, e := range events {
		e.positive(t, "bytes_per_connection")
		side := []string{"client", "server"}[i%2]
		if e["side"] != side || e["connections"] != 20.0 {
			t.Errorf("%v", e)
		}
		if goroutines := e["goroutines_per_connection"].(float64); (goroutines < 1) != (e["peer"] == "gdtls") {
			t.Errorf("%v", e)
		}
	}
	wantSVG(t, plot)
}

func TestBenchOpenSSL(t *testing.T) {
	for _, args := range [][]string{
		{"throughput", "--size", "1200", "--batch", "8"},
		{"throughput", "--size", "1200", "--batch", "8", "--direction", "echo"},
		{"handshake", "--kind", "full,resumed"},
	} {
		o := gdtls(t, "", append(append([]string{"bench"}, args...), "--json", "--peer", "openssl", "--duration", "20ms", "--rounds", "1")...)
		if left := o.only("warning"); len(left) == 1 && o.code == exitFailed {
			t.Skipf("needs gcc and libssl-dev: %v", left[0]["message"])
		}
		if o.code != exitOK {
			t.Fatalf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
		}
		for _, e := range o.only("bench") {
			e.positive(t, "per_s")
			if e["peer"] != "openssl" {
				t.Errorf("%v", e)
			}
		}
	}
}

// What is missing for OpenSSL is told.
func TestBenchWithoutCompiler(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("CC", "")
	o := gdtls(t, "", "bench", "handshake", "--json", "--peer", "gdtls,openssl", "--duration", "10ms", "--rounds", "1")
	if reason, _ := o.one(t, "warning")["message"].(string); o.code != exitOK || !strings.Contains(reason, "openssl is left out: its program needs a C compiler") {
		t.Errorf("exit code %d, the reason is %q", o.code, reason)
	}
	wantPeers(t, o.only("bench"), "gdtls", "gdtls")
}

func TestBenchUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"throughput", "--peer", "gdtls,quic"}, `--peer takes gdtls, pion, udp, udp-gso, aead, openssl here, and not "quic"`},
		{[]string{"handshake", "--peer", "udp"}, `--peer takes gdtls, pion, openssl here, and not "udp"`},
		{[]string{"idle", "--peer", "openssl"}, `--peer takes gdtls, pion here, and not "openssl"`},
		{[]string{"throughput", "--size", "0"}, "--size takes 1 to 16384 bytes, and not 0"},
		{[]string{"throughput", "--size", "16385"}, "--size takes 1 to 16384 bytes, and not 16385"},
		{[]string{"throughput", "--batch", "8,513"}, "--batch takes 1 to 512 datagrams, and not 513"},
		{[]string{"throughput", "--rounds", "0"}, "--rounds must be at least 1"},
		{[]string{"handshake", "--duration", "1ms"}, "give it 25ms or more"},
		{[]string{"handshake", "--kind", "half"}, "--kind must be one of"},
		{[]string{"idle", "--connections", "1000000"}, "--connections takes 1 to 20000"},
		{[]string{"throughput", "--direction", "up"}, "--direction must be one of"},
	} {
		o := gdtls(t, "", append([]string{"bench"}, test.args...)...)
		if o.code != exitUsage || !strings.Contains(o.stderr, test.want) {
			t.Errorf("%v: exit code %d, %q, want %q", test.args, o.code, o.stderr, test.want)
		}
	}
	for _, args := range [][]string{{"--plot", "missing/chart.svg"}, {"--cpuprofile", "missing/cpu"}} {
		o := gdtls(t, "", append([]string{"bench", "handshake", "--peer", "gdtls", "--duration", "5ms", "--rounds", "1"}, args...)...)
		if o.code != exitFailed || !strings.Contains(o.stderr, "no such file") && !strings.Contains(o.stderr, "cannot find") {
			t.Errorf("%v: exit code %d, %q", args, o.code, o.stderr)
		}
	}
}

// What is broken off has not happened.
func TestBenchBrokenOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"throughput", "--peer", "udp"}, {"handshake", "--peer", "gdtls"}, {"idle", "--peer", "gdtls"}} {
		o := gdtlsWith(ctx, t, strings.NewReader(""), append(append([]string{"bench"}, args...), "--json")...)
		if e := o.one(t, "error"); o.code != exitFailed || e["code"] != "G_IO_ERROR_CANCELLED" {
			t.Errorf("%v: exit code %d, %v", args, o.code, e)
		}
	}
}

// People get tables, with the ratios.
func TestBenchTables(t *testing.T) {
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"throughput", "--peer", inProcess, "--size", "1200", "--batch", "4", "--duration", "5ms", "--rounds", "1"},
			[]string{"1200 bytes, batches of 4", "ns/datagram", "times as fast as pion", "of the limit", "lost"}},
		{[]string{"handshake", "--peer", "gdtls,pion", "--duration", "5ms", "--rounds", "1"}, []string{"full handshakes", "resumed handshakes", "µs/handshake", "times as fast as pion"}},
		{[]string{"idle", "--peer", "gdtls", "--connections", "2"}, []string{"idle connections", "gdtls client", "gdtls server"}},
	} {
		o := gdtls(t, "", append([]string{"bench"}, test.args...)...)
		for _, want := range test.want {
			if !strings.Contains(o.stdout, want) {
				t.Errorf("%v: no %q in\n%s%s", test.args, want, o.stdout, o.stderr)
			}
		}
	}
}

func TestGrouped(t *testing.T) {
	for value, want := range map[float64]string{0: "0.0", 3.14: "3.1", 99.94: "99.9", 100: "100", 1234.5: "1,234", 1e6: "1,000,000"} {
		if got := grouped(value); got != want {
			t.Errorf("%v is written %q, want %q", value, got, want)
		}
	}
}

// The bar is for a person who has waited a while, and leaves nothing behind.
func TestProgress(t *testing.T) {
	var stdout, stderr screen
	bar := newProgress(newOutput(&stdout, &stderr, true))
	bar.show(0.1, "at once")
	if bar.hide(); stderr.Len() > 0 {
		t.Errorf("a bar at once: %q", stderr.String())
	}
	bar.begun = bar.begun.Add(-2 * progressDelay)
	bar.show(0.5, "something")
	for _, want := range []string{" 50 %", "something", "2s left"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q in %q", want, stderr.String())
		}
	}
	if bar.hide(); !strings.HasSuffix(stderr.String(), "\r\x1b[K") || stdout.Len() > 0 {
		t.Errorf("left behind: %q, %q", stderr.String(), stdout.String())
	}
	var plain strings.Builder
	bar = newProgress(newOutput(io.Discard, &plain, false))
	bar.begun = bar.begun.Add(-2 * progressDelay)
	bar.show(0.5, "something")
	if bar.hide(); plain.Len() > 0 {
		t.Errorf("a bar in a file: %q", plain.String())
	}
}
