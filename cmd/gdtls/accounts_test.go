package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const testPassword = "correct horse"

// newAccounts makes a file of accounts with these names, all with testPassword.
func newAccounts(t *testing.T, path string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if o := gdtls(t, testPassword+"\n", "console", "account", "add", name, "--accounts", path); o.code != 0 {
			t.Fatalf("account add: %s", o.stderr)
		}
	}
	return path
}

func TestAccounts(t *testing.T) {
	path := newAccounts(t, filepath.Join(t.TempDir(), "accounts.toml"), "alice", "bob")
	list := func() string {
		return fmt.Sprint(gdtls(t, "", "console", "account", "list", "--json", "--accounts", path).one(t, "accounts")["names"])
	}
	if got := list(); got != "[alice bob]" {
		t.Errorf("names %s", got)
	}
	if info, err := os.Stat(path); err != nil || checkModes && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil || bytes.Contains(text, []byte(testPassword)) || bytes.Count(text, []byte("$argon2id$")) != 2 {
		t.Errorf("%s, %v", text, err)
	}
	if o := gdtls(t, "another one\r\n", "console", "account", "add", "bob", "--json", "--accounts", path); o.one(t, "account")["change"] != "password changed" {
		t.Errorf("%s", o.stdout)
	}
	if o := gdtls(t, "", "console", "account", "remove", "alice", "--json", "--accounts", path); o.one(t, "account")["change"] != "removed" {
		t.Errorf("%s", o.stdout)
	}
	if got := list(); got != "[bob]" {
		t.Errorf("names %s", got)
	}
	for name, test := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"too short":     {"short\n", []string{"add", "carl"}, "8 characters"},
		"no password":   {"", []string{"add", "carl"}, "line of standard input"},
		"no name":       {testPassword, []string{"add", " "}, "name"},
		"nobody":        {"", []string{"remove", "carl"}, `no account "carl"`},
		"no such file":  {"", []string{"list", "--accounts", path + "x"}, "no such file"},
		"nothing there": {testPassword, []string{"add", "carl", "--accounts", filepath.Join(path, "x")}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"console", "account"}, test.args...)
			if !slices.Contains(args, "--accounts") {
				args = append(args, "--accounts", path)
			}
			if o := gdtls(t, test.stdin, args...); o.code == 0 || !strings.Contains(o.stderr, test.want) {
				t.Errorf("exit code %d: %s", o.code, o.stderr)
			}
		})
	}
	if checkModes {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if o := gdtls(t, "", "console", "account", "list", "--accounts", path); o.code == 0 || !strings.Contains(o.stderr, "chmod 600") {
			t.Errorf("a file that others can read: exit code %d, %s", o.code, o.stderr)
		}
	}
	for _, content := range []string{"[accounts]\nalice = 7\n", "[accounts]\nalice = \"plain text\"\n", "nonsense"} {
		if err := os.WriteFile(path+"2", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if o := gdtls(t, "", "console", "account", "list", "--accounts", path+"2"); o.code == 0 || !strings.Contains(o.stderr, path+"2") {
			t.Errorf("%q: exit code %d, %s", content, o.code, o.stderr)
		}
	}
}

// An account is good as soon as it is in the file, and no longer than it is.
func TestAccountsAreReadAgain(t *testing.T) {
	path := newAccounts(t, filepath.Join(t.TempDir(), "accounts.toml"), "alice")
	known, err := openAccounts(path)
	if err != nil {
		t.Fatal(err)
	}
	has := func(name string) bool {
		hash, err := known.PasswordHash(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return hash != ""
	}
	if !has("alice") || has("bob") {
		t.Error("not as in the file")
	}
	newAccounts(t, path, "bob")
	if !has("bob") {
		t.Error("bob was not seen")
	}
	if there, err := known.RemoveAccount(t.Context(), "alice"); err != nil || !there || has("alice") {
		t.Errorf("alice is still there: %v", err)
	}
}

// A store has the accounts, the keys of tokens and who has logged out: logins outlive a
// server, and so do logouts.
func TestLoginsByStore(t *testing.T) {
	dir := newLab(t, "--group", "reds")
	store := "sqlite:" + filepath.Join(dir, "store", "gdtls.sqlite")
	if o := gdtls(t, "", "console", "account", "remove", "alice", "--store", store); o.code == 0 || !strings.Contains(o.stderr, `no account "alice"`) {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
	for _, change := range []string{"added", "password changed"} {
		if o := gdtls(t, testPassword, "console", "account", "add", "alice", "--json", "--store", store); o.code != 0 || o.one(t, "account")["change"] != change {
			t.Errorf("%s: exit code %d: %s", change, o.code, o.stdout)
		}
	}
	if got := fmt.Sprint(gdtls(t, "", "console", "account", "list", "--json", "--store", store).one(t, "accounts")["names"]); got != "[alice]" {
		t.Errorf("names %s", got)
	}
	if o := gdtls(t, "", "console", "account", "list", "--store", "memory:"); o.code != exitUsage || !strings.Contains(o.stderr, "has no accounts") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}

	serve := func(address string) (*running, *pageOf) {
		t.Helper()
		server := startJWT(t, dir, "--console", address, "--no-logs")
		opened := server.seen[slices.IndexFunc(server.seen, func(e object) bool { return e.name() == "console" })]
		if opened["login"] != nil {
			t.Errorf("a link although there are accounts: %v", opened)
		}
		return server, newPage(t, text(opened["url"]))
	}
	first, p := serve("127.0.0.1:0")
	if status := p.post("/login", fmt.Sprintf(`{"username":"alice","password":%q}`, testPassword), nil); status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	first.end()
	p.client.CloseIdleConnections()
	address := strings.TrimPrefix(p.url, "http://")
	second, _ := serve(address)
	if status := p.post("/session", "{}", nil); status != http.StatusOK {
		t.Errorf("after a restart: %d", status)
	}
	before := p.cookies[len(p.cookies)-1]
	if status := p.post("/logout", "{}", nil); status != http.StatusNoContent {
		t.Errorf("logout: %d", status)
	}
	second.end()
	p.client.CloseIdleConnections()
	serve(address)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/session", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(before)
	r.Header.Set("Origin", p.url)
	answer, err := p.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token that was revoked before a restart: %s", answer.Status)
	}

	// A new key for tokens counts at once for those who check, and later for who signs.
	if o := gdtls(t, "", "jwt", "secret", "rotate", "token", "--store", store); o.code != 0 {
		t.Errorf("rotate: %s", o.stderr)
	}
	if status := p.post("/login", fmt.Sprintf(`{"username":"alice","password":%q}`, testPassword), nil); status != http.StatusOK {
		t.Errorf("login after the rotation: %d", status)
	}
	if status := p.post("/session", "{}", nil); status != http.StatusOK {
		t.Errorf("a session after the rotation: %d", status)
	}
}
