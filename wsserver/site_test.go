package wsserver

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const adasPassword = "correct horse"

// adasHash is cheap: the race detector makes real costs last long.
var adasHash = sync.OnceValue(func() string {
	return hashPassword(adasPassword, argonParams{memory: minArgonMemory, passes: 1, threads: 1}).String()
})

func adasAccount(t testing.TB) *MemoryAccounts {
	t.Helper()
	accounts := new(MemoryAccounts)
	if err := accounts.SetPasswordHash("ada", adasHash()); err != nil {
		t.Fatal(err)
	}
	return accounts
}

// site is a server with a login.
type site struct {
	bearer   *BearerAuthenticator
	login    *Login
	accounts *MemoryAccounts
	server   *httptest.Server
	log      *lockedBuffer
}

// lockedBuffer is a log for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newSite(t testing.TB, change ...func(*LoginConfig)) *site {
	t.Helper()
	s := &site{bearer: newBearer(t), accounts: adasAccount(t), log: new(lockedBuffer)}
	config := LoginConfig{
		Accounts:        s.accounts,
		LoginsPerSecond: -1,
		Logger:          slog.New(slog.NewTextHandler(s.log, nil)),
	}
	for _, f := range change {
		f(&config)
	}
	s.login = NewLogin(s.bearer, config)
	s.server = httptest.NewServer(s.login.Handler())
	t.Cleanup(s.server.Close)
	return s
}

// post sends JSON, unless the header says that it is something else, and gives the
// answer with its body.
func (s *site) post(t testing.TB, path, body string, h http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, s.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for key, values := range h {
		r.Header[key] = values
	}
	answer, err := s.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

func credentials(name, password string) string {
	body, err := json.Marshal(map[string]string{"username": name, "password": password})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// logIn logs ada in.
func (s *site) logIn(t testing.TB) (grant, *http.Cookie) {
	t.Helper()
	answer, body := s.post(t, "/login", credentials("ada", adasPassword), nil)
	return s.granted(t, answer, body)
}

// granted reads an answer that must be a grant.
func (s *site) granted(t testing.TB, answer *http.Response, body string) (grant, *http.Cookie) {
	t.Helper()
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "application/json" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("answer %v %v %s", answer.Status, answer.Header, body)
	}
	var g grant
	if err := json.Unmarshal([]byte(body), &g); err != nil {
		t.Fatal(err)
	}
	cookies := answer.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	return g, cookies[0]
}

// ownPage is the header of a page of the site with its cookie.
func (s *site) ownPage(c *http.Cookie) http.Header {
	return header("Origin", s.server.URL, "Cookie", c.Name+"="+c.Value)
}
