package main

import (
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

	"github.com/coder/websocket"
)

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
	p = newPage(t, text(opened["url"]))
	var grant struct {
		Identity string `json:"psk_identity"`
		Key      string `json:"psk"`
	}
	if status := p.post("/login", fmt.Sprintf(`{"username":"alice","password":%q}`, testPassword), &grant); status != http.StatusOK {
		t.Fatalf("login: %d", status)
	}
	// The key that comes with the token opens DTLS, until logout; who signs is checked as
	// ever.
	connect := func(patience string) outcome {
		return gdtls(t, "", "connect", server.address, "--psk", grant.Key, "--psk-identity", grant.Identity, "--send", "no token", "--wait", patience, "--json")
	}
	if o := connect(limit.String()); o.code != 0 || o.one(t, "handshake")["psk_identity"] != grant.Identity {
		t.Errorf("with the token's key: exit code %d, %s", o.code, o.stdout)
	}
	if e := server.wait("jwt_request"); e["transport"] != "dtls" || e["refusal"] == "" {
		t.Errorf("%v", e)
	}
	if status := p.post("/logout", "{}", nil); status != http.StatusNoContent {
		t.Errorf("logout: %d", status)
	}
	if o := connect("500ms"); o.code == 0 {
		t.Error("let in after logout")
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
	t.Run("serve", func(t *testing.T) {
		server := startServer(t, "--psk", "1a2b3c4d", "--console", "127.0.0.1:0")
		closePeer(t, server, "alice", "--psk", "1a2b3c4d", "--psk-identity", "alice")
	})
	t.Run("jwt serve", func(t *testing.T) {
		server := startJWT(t, newLab(t, "--group", "reds"), "--console", "127.0.0.1:0", "--no-logs")
		closePeer(t, server, "", "--accept", "always")
	})
}

// closePeer connects to a server, and has the connection closed from its console.
func closePeer(t *testing.T, server *running, identity string, flags ...string) {
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
		stay <- gdtlsWith(ctx, t, stdin, append([]string{"connect", server.address, "--json"}, flags...)...)
	}()
	if _, err := io.WriteString(typing, "hello\n"); err != nil {
		t.Fatal(err)
	}

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
				if got := frame.Peers[0]; got.Identity != identity || got.State != peerConnected || got.BytesIn != len("hello") {
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
	_ = typing.Close()
	if o := <-stay; o.one(t, "closed")["clean"] != true {
		t.Errorf("the peer says %s", o.stdout)
	}
}
