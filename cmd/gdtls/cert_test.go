package main

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCertNew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pki")
	o := gdtls(t, "", "cert", "new", "--json", "--dir", dir, "--name", "a.example", "--name", "192.0.2.1", "--days", "30", "--rsa")
	if o.code != 0 {
		t.Fatal(o.stdout)
	}
	made := o.one(t, "certificate_made")
	compare(t, "cert new", made, object{"new_ca": true, "certificate": filepath.Join(dir, "server.pem"), "key": filepath.Join(dir, "server-key.pem"), "ca": filepath.Join(dir, "ca.pem")})
	info := object(made["info"].(map[string]any))
	compare(t, "cert new", info, object{"subject": "CN=a.example", "issuer": "CN=gdtls CA", "key": "RSA 2048 bits", "ca": false})
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server-key.pem")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"ca-key.pem", "server-key.pem"} {
		if stat, err := os.Stat(filepath.Join(dir, name)); err != nil || stat.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, stat.Mode(), err)
		}
	}

	before, _ := os.ReadFile(filepath.Join(dir, "server.pem"))
	o = gdtls(t, "", "cert", "new", "--json", "--dir", dir)
	if e := o.one(t, "error"); o.code != 1 || e["code"] != "G_IO_ERROR_EXISTS" || !strings.Contains(e["message"].(string), "--force") {
		t.Errorf("a second time: exit code %d, %v", o.code, e)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "server.pem")); string(after) != string(before) {
		t.Error("a certificate was overwritten without --force")
	}
	o = gdtls(t, "", "cert", "new", "--json", "--dir", dir, "--force")
	if o.code != 0 || o.one(t, "certificate_made")["new_ca"] != false {
		t.Errorf("--force: exit code %d\n%s", o.code, o.stdout)
	}
	if o = gdtls(t, "", "cert", "verify", filepath.Join(dir, "server.pem"), "--ca", filepath.Join(dir, "ca.pem"), "--identity", "localhost"); o.code != 0 {
		t.Errorf("the new certificate of the old CA: %s", o.stdout)
	}

	if err := os.Remove(filepath.Join(dir, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	o = gdtls(t, "", "cert", "new", "--dir", dir, "--client")
	if o.code != 1 || !strings.Contains(o.stderr, "without its counterpart") {
		t.Errorf("half a CA: exit code %d, %s", o.code, o.stderr)
	}
}

func TestCertShow(t *testing.T) {
	both := filepath.Join(t.TempDir(), "both.pem")
	var content []byte
	for _, name := range []string{"server.pem", "ca.pem"} {
		pem, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, pem...)
	}
	if err := os.WriteFile(both, content, 0o600); err != nil {
		t.Fatal(err)
	}
	o := gdtls(t, "", "cert", "show", "--json", both)
	if o.code != 0 || len(o.events) != 2 {
		t.Fatalf("exit code %d\n%s", o.code, o.stdout)
	}
	compare(t, "cert show", o.events[0], object{"index": 0.0, "subject": "CN=localhost", "key": "ECDSA P-256", "usages": []any{"server"}, "ca": false})
	compare(t, "cert show", o.events[1], object{"index": 1.0, "subject": "CN=gdtls CA", "ca": true})
	o = gdtls(t, "", "cert", "show", both)
	for _, want := range []string{"CN=localhost", "issued by CN=gdtls CA", "issued by itself", "localhost, 127.0.0.1, ::1", "certificate authority"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("%q is not shown in\n%s", want, o.stdout)
		}
	}
	if o = gdtls(t, "", "cert", "show", "--json", file("none.pem")); o.code != 1 || o.one(t, "error")["code"] != "G_IO_ERROR_NOT_FOUND" {
		t.Errorf("missing file: exit code %d\n%s", o.code, o.stdout)
	}
	if o = gdtls(t, "", "cert", "show", file("server-key.pem")); o.code != 1 || !strings.Contains(o.stderr, "no certificate") {
		t.Errorf("file without certificate: exit code %d, %s", o.code, o.stderr)
	}
}

func TestCertVerify(t *testing.T) {
	for _, test := range []struct {
		args  []string
		flags []any
	}{
		{[]string{file("server.pem"), "--ca", file("ca.pem")}, []any{}},
		{[]string{file("server.pem"), "--ca", file("ca.pem"), "--identity", "127.0.0.1", "--purpose", "server"}, []any{}},
		{[]string{file("client.pem"), "--ca", file("ca.pem"), "--purpose", "client"}, []any{}},
		{[]string{file("client.pem"), "--ca", file("ca.pem"), "--purpose", "server"}, []any{"GENERIC_ERROR"}},
		{[]string{file("server.pem"), "--ca", file("other/ca.pem")}, []any{"UNKNOWN_CA"}},
		{[]string{file("server.pem"), "--ca", file("ca.pem"), "--identity", "a.example"}, []any{"BAD_IDENTITY"}},
	} {
		o := gdtls(t, "", append([]string{"cert", "verify", "--json"}, test.args...)...)
		compare(t, strings.Join(test.args, " "), o.one(t, "verify"), object{"ok": len(test.flags) == 0, "flags": test.flags})
		if failed := len(test.flags) > 0; (o.code == 1) != failed {
			t.Errorf("%v: exit code %d", test.args, o.code)
		}
	}
	o := gdtls(t, "", "cert", "verify", file("server.pem"), "--ca", file("other/ca.pem"))
	if o.code != 1 || !strings.Contains(o.stdout, "UNKNOWN_CA: No trusted authority") || o.stderr != "" {
		t.Errorf("exit code %d, %s%s", o.code, o.stdout, o.stderr)
	}
}
