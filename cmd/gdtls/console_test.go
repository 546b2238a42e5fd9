package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
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

// pageOf is a client that talks to a console as its page does.
type pageOf struct {
	t       *testing.T
	url     string
	client  *http.Client
	cookies []*http.Cookie // that were set
}

func newPage(t *testing.T, url string) *pageOf {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &pageOf{t: t, url: strings.TrimSuffix(url, "/"), client: &http.Client{Jar: jar, Transport: transport, Timeout: limit}}
}

func (p *pageOf) post(path, body string, into any) int {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", p.url)
	answer, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	p.cookies = append(p.cookies, answer.Cookies()...)
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			p.t.Fatalf("%s: %v", text, err)
		}
	}
	return answer.StatusCode
}

// Who has logged in can talk DTLS by the key that comes with the token, until logout.
func TestTokenOpensDTLS(t *testing.T) {
	path := newAccounts(t, filepath.Join(t.TempDir(), "accounts.toml"), "alice")
	server := startServer(t, "--console", "127.0.0.1:0", "--accounts", path)
	var opened object
	for _, e := range server.seen {
		if e.name() == "console" {
			opened = e
		}
	}
	if text(opened["url"]) == "" || opened["login"] != nil {
		t.Fatalf("the console is %v", opened)
	}
	p := newPage(t, text(opened["url"]))
	var grant struct {
		Identity string `json:"psk_identity"`
		Key      string `json:"psk"`
	}
	if status := p.post("/login", fmt.Sprintf(`{"username":"alice","password":%q}`, testPassword), &grant); status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	connect := func(identity, key, patience string) outcome {
		return gdtls(t, "", "connect", server.address, "--psk", key, "--psk-identity", identity, "--send", "hello", "--wait", patience, "--json")
	}
	if o := connect(grant.Identity, grant.Key, limit.String()); o.code != 0 || o.one(t, "handshake")["psk_identity"] != grant.Identity {
		t.Errorf("with the token's key: exit code %d, %s", o.code, o.stdout)
	}
	wrong := strings.Repeat("00", len(grant.Key)/2)
	for name, other := range map[string][2]string{
		"wrong key":         {grant.Identity, wrong},
		"unknown identity":  {"alice", grant.Key},
		"tampered identity": {"bob" + strings.TrimPrefix(grant.Identity, "alice"), grant.Key},
	} {
		if o := connect(other[0], other[1], "500ms"); o.code == 0 {
			t.Errorf("%s: let in", name)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	stay := make(chan outcome, 1)
	stdin, typing := io.Pipe()
	defer typing.Close()
	go func() {
		stay <- gdtlsWith(ctx, t, stdin, "connect", server.address, "--psk", grant.Key, "--psk-identity", grant.Identity, "--json")
	}()
	if _, err := io.WriteString(typing, "I stay\n"); err != nil {
		t.Fatal(err)
	}
	for e := server.wait("datagram"); e["text"] != "I stay"; e = server.wait("datagram") {
	}
	if status := p.post("/logout", "{}", nil); status != http.StatusNoContent {
		t.Errorf("logout: %d", status)
	}
	for e := server.wait("closed"); e["reason"] != "the server closed the connection"; e = server.wait("closed") {
	}
	_ = typing.Close()
	if o := <-stay; o.one(t, "closed")["clean"] != true {
		t.Errorf("who was there at the logout: %s", o.stdout)
	}
	if o := connect(grant.Identity, grant.Key, "500ms"); o.code == 0 {
		t.Error("let in after logout")
	}
}

// Without --accounts a lab's own accounts count, and without any a link logs in.
func TestConsoleOfJWTServer(t *testing.T) {
	dir := newLab(t, "--group", "reds")
	server := startJWT(t, dir, "--console", "127.0.0.1:0", "--no-logs")
	opened := server.seen[0]
	_, ticket, _ := strings.Cut(text(opened["login"]), "#ticket=")
	p := newPage(t, text(opened["url"]))
	if status := p.post("/login/once", fmt.Sprintf(`{"ticket":%q}`, ticket), nil); status != http.StatusOK {
		t.Errorf("the link: %d", status)
	}
	server.end()

	newAccounts(t, filepath.Join(dir, accountsFile), "alice")
	server = startJWT(t, dir, "--console", "127.0.0.1:0", "--no-logs")
	opened = server.seen[0]
	if opened["login"] != nil {
		t.Errorf("a link although there are accounts: %v", opened)
	}
	if status := newPage(t, text(opened["url"])).post("/login", fmt.Sprintf(`{"username":"alice","password":%q}`, testPassword), nil); status != http.StatusOK {
		t.Errorf("login: %d", status)
	}
}

// A reader that stalls holds up nobody, and is told what it has missed.
func TestPrintQueue(t *testing.T) {
	reader, writer := io.Pipe()
	out := newOutput(writer, io.Discard, true).queued()
	const all = 10 * maxUnprinted
	begun := time.Now()
	for i := range all {
		out.emit(received{Peer: "127.0.0.1:1", Size: i})
	}
	if took := time.Since(begun); took > limit/2 {
		t.Errorf("printing took %v", took)
	}
	var text []byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		text, err = io.ReadAll(reader)
	}()
	out.close()
	_ = writer.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	printed, dropped := 0, 0
	for line := range strings.Lines(string(text)) {
		switch e := parseEvent(t, line); e.name() {
		case "datagram":
			printed++
		case "warning":
			var n int
			if _, err := fmt.Sscanf(e["message"].(string), "%d events were not printed", &n); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			dropped += n
		}
	}
	if printed+dropped != all || dropped < all-2*maxUnprinted || printed < maxUnprinted {
		t.Errorf("%d printed and %d dropped of %d", printed, dropped, all)
	}
}

// A reader that never comes back does not hold up the end.
func TestPrintQueueEnds(t *testing.T) {
	_, writer := io.Pipe()
	defer writer.Close() // lets the goroutine go
	out := newOutput(writer, io.Discard, true).queued()
	out.emit(received{})
	begun := time.Now()
	out.close()
	if took := time.Since(begun); took > drainTime+limit/4 {
		t.Errorf("the end took %v", took)
	}
}

func TestToldWatch(t *testing.T) {
	w := newToldWatch()
	lines := []string{
		`{"event":"listening","address":"127.0.0.1:1","certificate":"CN=x","psk":false}`,
		`{"event":"peer_verified","peer":"192.0.2.1:7"}`,
		`{"event":"handshake","ok":true,"peer":"192.0.2.1:7","ciphersuite":"TLS_X","psk_identity":"alice"}`,
		`{"event":"datagram","peer":"192.0.2.1:7","size":5,"text":"hello"}`,
		`{"event":"datagram","peer":"192.0.2.1:7","size":-5,"text":""}`,
		`{"event":"peer_verified","peer":"192.0.2.1:8"}`,
		`{"event":"handshake","ok":false,"peer":"192.0.2.1:8"}`,
		`{"event":"peer_verified","peer":"192.0.2.1:9"}`,
		`{"event":"closed","peer":"192.0.2.1:9","clean":true,"reason":"x"}`,
		`{"event":"jwt_listening","address":"a","groups":["REDS"],"states":7}`,
		`{"event":"jwt_request","peer":"192.0.2.1:7","group":"REDS","registration":1,"number":0,"step":"restarted"}`,
		`{"event":"jwt_request","peer":"192.0.2.1:7","group":"REDS","registration":1,"number":1,"step":"advanced"}`,
		`{"event":"jwt_request","peer":"192.0.2.1:7","group":"REDS","refusal":"signature"}`,
		`{"event":"new kind","of":"event"}`, `no event`, `{`, ``, `{"event":"datagram","size":"five"}`,
	}
	for _, line := range lines {
		w.take(line)
	}
	if n := w.hub.Last(); n != uint64(len(lines)-1) { // all but the empty one
		t.Errorf("%d events of %d lines", n, len(lines))
	}
	s := w.source()
	peers := s.Peers()
	if len(peers) != 1 || peers[0].Identity != "alice" || peers[0].BytesIn != 5 || peers[0].MessagesIn != 1 || peers[0].State != peerConnected {
		t.Errorf("%+v", peers)
	}
	if c := s.Counters(); c.Datagrams != 4 || c.Handshakes != 1 || c.Requests != 3 || c.Peers != 1 {
		t.Errorf("%+v", c)
	}
	r := s.Groups()
	if len(r.Groups) != 1 || r.Groups[0].Last != 1 || !r.Groups[0].Members[0].Reached.Has(0) || !r.Groups[0].Members[0].Reached.Has(1) {
		t.Errorf("%+v", r)
	}
}

func FuzzToldWatch(f *testing.F) {
	for _, line := range []string{
		`{"event":"handshake","ok":true,"peer":"192.0.2.1:7","ciphersuite":"TLS_X","flags":["A"]}`,
		`{"event":"jwt_request","group":"G","registration":-1,"number":-1,"step":"advanced"}`,
		`{"event":"jwt_listening","groups":["G"],"states":7}`, `{"event":"trace","kind":"flight","messages":["x"]}`, `{"event":"error"}`, `x`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		w := newToldWatch()
		w.take(`{"event":"jwt_listening","groups":["G"],"states":7}`)
		w.take(line)
		w.take(line)
		s := w.source()
		_ = s.Counters()
		if n := len(s.Peers()); n > 1 {
			t.Errorf("%d peers of one line", n)
		}
		_ = s.Groups()
	})
}

// gdtls console shows what comes in on standard input, and stays when no more comes.
func TestConsoleWatch(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	stdin := `{"event":"warning","message":"look at this"}` + "\n"
	code := make(chan int, 1)
	go func() {
		defer writer.Close()
		code <- run(ctx, []string{"console", "--json"}, strings.NewReader(stdin), writer, io.Discard)
	}()
	line := make([]byte, 1000)
	n, err := reader.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	opened := parseEvent(t, string(line[:n]))
	_, ticket, _ := strings.Cut(text(opened["login"]), "#ticket=")
	if status := newPage(t, text(opened["url"])).post("/login/once", fmt.Sprintf(`{"ticket":%q}`, ticket), nil); status != http.StatusOK {
		t.Errorf("the link: %d", status)
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
}

// Nobody sees the link of somebody else in the console's log.
func TestLinkIsNotPublished(t *testing.T) {
	w := newWatch()
	w.publish(consoleOpened{URL: "http://127.0.0.1/", Login: "http://127.0.0.1/login#ticket=secret"})
	if n := w.hub.Last(); n != 0 {
		t.Errorf("%d events", n)
	}
	w.publish(note{"said"})
	if n := w.hub.Last(); n != 1 {
		t.Errorf("%d events", n)
	}
}

// With a certificate the console speaks HTTPS, and its cookie goes no other way.
func TestConsoleByTLS(t *testing.T) {
	server := startServer(t, "--console", "127.0.0.1:0", "--tls-cert", file("server.pem"), "--tls-key", file("server-key.pem"))
	opened := server.seen[slices.IndexFunc(server.seen, func(e object) bool { return e.name() == "console" })]
	if !strings.HasPrefix(text(opened["url"]), "https://") {
		t.Fatalf("the console is %v", opened)
	}
	ca, err := os.ReadFile(file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	p := newPage(t, text(opened["url"]))
	p.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	_, ticket, _ := strings.Cut(text(opened["login"]), "#ticket=")
	if status := p.post("/login/once", fmt.Sprintf(`{"ticket":%q}`, ticket), nil); status != http.StatusOK {
		t.Errorf("the link: %d", status)
	}
	if status := p.post("/session", "{}", nil); status != http.StatusOK {
		t.Errorf("the session: %d", status)
	}
	if len(p.cookies) != 1 || !p.cookies[0].Secure || !p.cookies[0].HttpOnly || p.cookies[0].SameSite != http.SameSiteStrictMode {
		t.Errorf("cookies %v", p.cookies)
	}
}

// A peer is listed with what it sent, and closed from the page.
func TestPeersOnConsole(t *testing.T) {
	server := startServer(t, "--psk", "1a2b3c4d", "--console", "127.0.0.1:0")
	opened := server.seen[slices.IndexFunc(server.seen, func(e object) bool { return e.name() == "console" })]
	_, ticket, _ := strings.Cut(text(opened["login"]), "#ticket=")
	p := newPage(t, text(opened["url"]))
	var grant struct{ Token string }
	if status := p.post("/login/once", fmt.Sprintf(`{"ticket":%q}`, ticket), &grant); status != http.StatusOK {
		t.Fatalf("the link: %d", status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	stdin, typing := io.Pipe()
	defer typing.Close()
	stay := make(chan outcome, 1)
	go func() {
		stay <- gdtlsWith(ctx, t, stdin, "connect", server.address, "--psk", "1a2b3c4d", "--psk-identity", "alice", "--json")
	}()
	if _, err := io.WriteString(typing, "hello\n"); err != nil {
		t.Fatal(err)
	}
	server.wait("datagram")

	c, _, err := websocket.Dial(ctx, p.url+"/ws", &websocket.DialOptions{HTTPClient: p.client, HTTPHeader: http.Header{"Authorization": {"Bearer " + grant.Token}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	say := func(text string) {
		if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	say(`{"type":"resume"}`)
	for closed := false; !closed; {
		_, message, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var frame struct {
			Type, Error string
			Peers       []struct {
				ID       int
				Identity string
				State    string
				BytesIn  int `json:"bytes_in"`
				BytesOut int `json:"bytes_out"`
			}
		}
		if err := json.Unmarshal(message, &frame); err != nil {
			t.Fatalf("%s: %v", message, err)
		}
		switch frame.Type {
		case "peers":
			if len(frame.Peers) == 1 && frame.Peers[0].BytesOut > 0 {
				if got := frame.Peers[0]; got.Identity != "alice" || got.State != peerConnected || got.BytesIn != len("hello") {
					t.Errorf("%+v", got)
				}
				say(fmt.Sprintf(`{"type":"close","id":%d}`, frame.Peers[0].ID))
			}
		case "done":
			closed = true
			if frame.Error != "" {
				t.Error(frame.Error)
			}
		}
	}
	if e := server.wait("closed"); e["reason"] != "the server closed the connection" || e["clean"] != true {
		t.Errorf("%v", e)
	}
	_ = typing.Close()
	<-stay
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
