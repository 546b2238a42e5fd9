package main

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"gdtls/serverconn"
)

func TestMetrics(t *testing.T) {
	server := startServer(t, append(serverFiles(), "--metrics", "127.0.0.1:0")...)
	if o := gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--send", "x"); o.code != 0 {
		t.Fatal(o.stderr)
	}
	url, _ := server.seen[len(server.seen)-1]["metrics"].(string)
	response, err := http.Get(url) //nolint:noctx // a test on loopback
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"gdtls_handshakes_total 1", "gdtls_hellos_total 1", "gdtls_hellos_verified_total 1", "# TYPE gdtls_peers gauge", "# TYPE gdtls_datagrams_total counter", "go_goroutines "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if again, err := http.Get(strings.TrimSuffix(url, "metrics")); err != nil || again.StatusCode != http.StatusNotFound { //nolint:noctx // as above
		t.Error(err)
	} else {
		again.Body.Close()
	}
}

func TestMetricsAddress(t *testing.T) {
	if o := gdtls(t, "", append([]string{"serve", "--json", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:99999"}, serverFiles()...)...); o.code != 1 {
		t.Errorf("exit code %d", o.code)
	}
}

// Each counter of the listener is shown, but for two that are of Accept.
func TestMetricsAreComplete(t *testing.T) {
	const ofAccept = 2 // Waiting, Accepted
	if fields := reflect.TypeFor[serverconn.ListenerStats]().NumField(); len(serverMetrics)+ofAccept != fields {
		t.Errorf("%d metrics for %d counters", len(serverMetrics), fields)
	}
	for i, m := range serverMetrics {
		var stats serverconn.ListenerStats
		v := reflect.ValueOf(&stats).Elem()
		shown := 0
		for k := range v.NumField() {
			if f := v.Field(k); f.CanUint() {
				f.SetUint(1)
			} else {
				f.SetInt(1)
			}
			if m.value(&stats) == 1 {
				shown++
			}
			v.Field(k).SetZero()
		}
		if shown != 1 {
			t.Errorf("metric %d, %s, shows %d counters", i, m.name, shown)
		}
	}
}

// The limits of a server show in its counters.
func TestServeLimits(t *testing.T) {
	server := startServer(t, append(serverFiles(), "--idle-timeout", "200ms", "--handshake-rate", "2")...)
	for range 2 {
		if o := gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--send", "x"); o.code != 0 {
			t.Fatal(o.stderr)
		}
	}
	start := time.Now()
	o := gdtls(t, "", "connect", server.address, "--json", "--ca", file("ca.pem"), "--count", "2", "--interval", "1h", "--wait", "5s")
	if took := time.Since(start); took < 700*time.Millisecond { // its hello had to be repeated, and then it was idle
		t.Errorf("the third client was served within %v", took)
	}
	compare(t, "client", o.one(t, "closed"), object{"reason": "closed by the server with close_notify"})
}

func TestServeLimitsUsage(t *testing.T) {
	for _, flag := range []string{"--idle-timeout=-1s", "--handshake-rate=-1"} {
		if o := gdtls(t, "", "serve", "--json", flag); o.code != exitUsage {
			t.Errorf("%s: exit code %d", flag, o.code)
		}
	}
}
