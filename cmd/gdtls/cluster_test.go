package main

import (
	"strings"
	"testing"
)

func TestPostgresAddress(t *testing.T) {
	const password = "pass-5ecret"
	for text, want := range map[string]string{
		"postgres://user:" + password + "@host:5432/db?sslmode=disable": "postgres://user:xxxxx@host:5432/db",
		"postgresql://host/db?password=" + password:                     "postgres://host/db",
		"postgres://user:" + password + "@[::1/db":                      "postgres:",
	} {
		address, err := parseStore(text)
		if err != nil || address.String() != want {
			t.Errorf("%s is shown as %s, want %s: %v", text, address, want, err)
		}
		if o := gdtls(t, "", "jwt", "serve", "127.0.0.1", "0", newLab(t), "--store", strings.Replace(text, "host", "127.0.0.1:1", 1)); o.code != exitFailed || strings.Contains(o.stdout+o.stderr, password) {
			t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
		}
	}
	if o := gdtls(t, "", "jwt", "serve", "127.0.0.1", "0", t.TempDir(), "--store", "postgres:host"); o.code == exitOK || strings.Contains(o.stderr, "panic") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
}
