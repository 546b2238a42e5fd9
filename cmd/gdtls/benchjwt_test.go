package main

import (
	"context"
	"strings"
	"testing"
)

func init() {
	schemas["bench jwt"] = object{"bench": "", "alg": "", "transport": "", "store": "", "per_s": 0.0, "p50_us": 0.0, "p99_us": 0.0, "bound_per_s": 0.0}
}

func TestBenchJWT(t *testing.T) {
	o := gdtls(t, "", "bench", "jwt", "--json", "--duration", "40ms", "--rounds", "2")
	if o.code != exitOK {
		t.Fatalf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
	}
	var got []string
	for _, e := range o.only("bench") {
		e.positive(t, "per_s", "p50_us", "p99_us", "bound_per_s")
		got = append(got, e["alg"].(string)+" "+e["transport"].(string)+" "+e["store"].(string))
	}
	if want := "RS256 udp memory, RS256 dtls memory, ES256 udp memory, ES256 dtls memory"; strings.Join(got, ", ") != want {
		t.Errorf("measured %v, want %s", got, want)
	}
	o = gdtls(t, "", "bench", "jwt", "--alg", "ES256", "--transport", "udp", "--duration", "10ms", "--rounds", "1")
	if !strings.Contains(o.stdout, "of the bound") || !strings.Contains(o.stdout, "ES256 over UDP") {
		t.Errorf("for people: %s%s", o.stdout, o.stderr)
	}
	if o := gdtls(t, "", "bench", "jwt", "--alg", "HS256"); o.code != exitUsage {
		t.Errorf("HS256: exit code %d", o.code)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o := gdtlsWith(ctx, t, strings.NewReader(""), "bench", "jwt", "--json", "--alg", "ES256"); o.code != exitFailed || o.one(t, "error")["code"] != "G_IO_ERROR_CANCELLED" {
		t.Errorf("broken off: exit code %d, %s", o.code, o.stdout)
	}
}
