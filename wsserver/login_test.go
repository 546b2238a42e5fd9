package wsserver

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
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

func TestLogin(t *testing.T) {
	s := newSite(t)
	before := time.Now()
	g, cookie := s.logIn(t)
	who, err := s.bearer.Verify(g.Token)
	if err != nil || who.Name != "ada" || who.Method != MethodPassword || who.Expires.Unix() != g.Expires {
		t.Errorf("token of %+v, %v; expires %d", who, err, g.Expires)
	}
	if life := time.Unix(g.Expires, 0).Sub(before); life < DefaultLife || life > DefaultLife+5*time.Second {
		t.Errorf("it lives for %v", life)
	}
	key, _, err := s.bearer.PSK([]byte(g.PSKIdentity))
	if err != nil || hex.EncodeToString(key) != g.PSK {
		t.Errorf("psk %s of %s is not %x, %v", g.PSK, g.PSKIdentity, key, err)
	}
	if cookie.Name != "gdtls_token" || cookie.Value != g.Token || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode ||
		cookie.Path != "/" || cookie.Secure || cookie.Domain != "" || cookie.MaxAge < 3590 || cookie.MaxAge > 3601 {
		t.Errorf("cookie %+v", cookie)
	}
	if log := s.log.String(); !strings.Contains(log, "logged in") || strings.Contains(log, g.Token) || strings.Contains(log, adasPassword) {
		t.Errorf("log: %s", log)
	}
}

func TestLoginOverTLS(t *testing.T) {
	for name, secure := range map[string]bool{"TLS": false, "behind a proxy": true} {
		login := NewLogin(newBearer(t), LoginConfig{Secure: secure})
		ticket, err := login.NewTicket("ada")
		if err != nil {
			t.Fatal(err)
		}
		url := "https://x/"
		if secure {
			url = "http://x/"
		}
		r := httptest.NewRequest("POST", url, strings.NewReader(`{"ticket":"`+ticket+`"}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		login.ServeOnce(w, r)
		if cookies := w.Result().Cookies(); len(cookies) != 1 || !cookies[0].Secure {
			t.Errorf("%s: %d, cookies %v", name, w.Code, cookies)
		}
	}
}

// All who may not come in get the same answer.
func TestLoginRefused(t *testing.T) {
	s := newSite(t)
	var first string
	for i, body := range []string{
		credentials("ada", "wrong horse"),
		credentials("bob", adasPassword),
		credentials("", ""),
		credentials("ada", ""),
		credentials("ada", strings.Repeat("x", MaxPasswordLength+1)),
		credentials(strings.Repeat("x", MaxNameLength+1), adasPassword),
		credentials("a\nb", adasPassword),
		`{}`,
		`null`,
	} {
		answer, text := s.post(t, "/login", body, nil)
		answer.Header.Del("Date")
		got := fmt.Sprint(answer.Status, answer.Header, text)
		if i == 0 {
			first = got
		}
		if got != first || answer.StatusCode != 401 || len(answer.Cookies()) > 0 || answer.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: answer\n%s\nnot\n%s", body, got, first)
		}
	}
	if log := s.log.String(); strings.Contains(log, "horse") {
		t.Errorf("the log has passwords:\n%s", log)
	}
}

// What no page of this site, and no program, would send is refused by all.
func TestLoginRequests(t *testing.T) {
	s := newSite(t)
	good := credentials("ada", adasPassword)
	own := s.server.URL
	for name, test := range map[string]struct {
		body   string
		header http.Header
		status int
	}{
		"own page":                   {good, header("Origin", own), 200},
		"own page, Fetch Metadata":   {good, header("Origin", own, "Sec-Fetch-Site", "same-origin"), 200},
		"charset":                    {good, header("Content-Type", "application/json; charset=utf-8"), 200},
		"other page":                 {good, header("Origin", "http://evil.example"), 403},
		"opaque origin":              {good, header("Origin", "null"), 403},
		"other scheme":               {good, header("Origin", strings.Replace(own, "http", "https", 1)), 403},
		"cross-site":                 {good, header("Sec-Fetch-Site", "cross-site"), 403},
		"same-site":                  {good, header("Sec-Fetch-Site", "same-site"), 403},
		"form":                       {good, header("Content-Type", "application/x-www-form-urlencoded"), 415},
		"text":                       {good, header("Content-Type", "text/plain"), 415},
		"no type":                    {good, header("Content-Type", ""), 415},
		"two types":                  {good, header("Content-Type", "text/plain, application/json"), 415},
		"not JSON":                   {"username=ada", nil, 400},
		"empty":                      {"", nil, 400},
		"list":                       {"[]", nil, 400},
		"another member":             {`{"username":"ada","password":"` + adasPassword + `","x":1}`, nil, 400},
		"two objects":                {good + good, nil, 400},
		"number":                     {`{"username":1,"password":2}`, nil, 400},
		"too long":                   {`{"username":"` + strings.Repeat(" ", maxLoginBody) + `"}`, nil, 413},
		"too long behind the object": {good + strings.Repeat(" ", maxLoginBody), nil, 413},
	} {
		t.Run(name, func(t *testing.T) {
			answer, text := s.post(t, "/login", test.body, test.header)
			if answer.StatusCode != test.status {
				t.Errorf("answer %v, not %d: %s", answer.Status, test.status, text)
			}
			if test.status != 200 && text != http.StatusText(test.status) {
				t.Errorf("the client is told %q", text)
			}
		})
	}
	for _, path := range []string{"/login", "/login/once", "/logout", "/renew"} {
		answer, err := s.server.Client().Get(s.server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 405 {
			t.Errorf("GET %s: %v", path, answer.Status)
		}
		if answer, _ := s.post(t, path, "{}", header("Origin", "http://evil.example")); answer.StatusCode != 403 {
			t.Errorf("POST %s of another page: %v", path, answer.Status)
		}
	}
	w := httptest.NewRecorder()
	s.login.ServeLogin(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET where all methods are mounted: %d", w.Code)
	}
}

func TestLogout(t *testing.T) {
	s := newSite(t)
	ws, address := listen(t, s.bearer)
	g, cookie := s.logIn(t)
	client := dial(t, address, bearerHeader(g.Token))
	keepReading(accept(t, ws))

	// A token that came from the same login goes, too.
	answer, body := s.post(t, "/renew", "{}", s.ownPage(cookie))
	renewed, cookie := s.granted(t, answer, body)

	if answer, _ := s.post(t, "/logout", "{}", header("Cookie", cookie.Name+"="+cookie.Value)); answer.StatusCode != 403 {
		t.Errorf("logout by a cookie of no page: %v", answer.Status)
	}
	answer, _ = s.post(t, "/logout", "{}", s.ownPage(cookie))
	if cookies := answer.Cookies(); answer.StatusCode != 204 || len(cookies) != 1 || cookies[0].MaxAge >= 0 || cookies[0].Value != "" || !cookies[0].HttpOnly {
		t.Errorf("logout: %v, %v", answer.Status, cookies)
	}
	if err := drain(t, client); CloseStatus(err) != StatusLoginEnded {
		t.Errorf("the connection saw %v", err)
	}
	for _, token := range []string{g.Token, renewed.Token} {
		if answer := refused(t, address, bearerHeader(token)); answer.StatusCode != 401 {
			t.Errorf("afterwards: %v", answer.Status)
		}
		for _, path := range []string{"/logout", "/renew"} {
			if answer, _ := s.post(t, path, "{}", bearerHeader(token)); answer.StatusCode != 401 {
				t.Errorf("%s afterwards: %v", path, answer.Status)
			}
		}
	}
	if answer, _ := s.post(t, "/logout", "{}", nil); answer.StatusCode != 401 {
		t.Errorf("logout of nobody: %v", answer.Status)
	}
}

func TestLogoutWhenTheDatabaseIsAway(t *testing.T) {
	b := newBearer(t, func(c *BearerConfig) { c.Revocations = failing{write: errors.New("away")} })
	login := NewLogin(b, LoginConfig{})
	token := tokenFor(t, b, "ada", time.Hour)
	r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
	r.Header = header("Content-Type", "application/json", "Authorization", "Bearer "+token.Text)
	w := httptest.NewRecorder()
	login.ServeLogout(w, r)
	if w.Code != 503 || len(w.Result().Cookies()) != 1 {
		t.Errorf("answer %d, cookies %v", w.Code, w.Result().Cookies())
	}
	if _, err := b.Verify(token.Text); !errors.Is(err, ErrRevokedToken) {
		t.Errorf("the token: %v", err)
	}
}

func TestRenewal(t *testing.T) {
	s := newSite(t, func(c *LoginConfig) { c.MaxSession = time.Hour })
	g, cookie := s.logIn(t)
	first, err := s.bearer.Verify(g.Token)
	if err != nil {
		t.Fatal(err)
	}
	answer, body := s.post(t, "/renew", "{}", s.ownPage(cookie))
	next, _ := s.granted(t, answer, body)
	who, err := s.bearer.Verify(next.Token)
	if err != nil || who.Name != "ada" || who.LoginID != first.LoginID || !who.Since.Equal(first.Since) || who.Method != first.Method {
		t.Errorf("renewed %+v from %+v, %v", who, first, err)
	}
	if _, err := s.bearer.Verify(g.Token); err != nil {
		t.Errorf("the old token, which connections still use: %v", err)
	}

	// What was logged in too long ago has to log in again.
	old, err := s.bearer.issue(Identity{Name: "ada", LoginID: "abc", Method: MethodPassword, Since: time.Now().Add(-time.Hour - time.Minute)}, time.Now(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if answer, _ := s.post(t, "/renew", "{}", bearerHeader(old.Text)); answer.StatusCode != 401 {
		t.Errorf("an old login: %v", answer.Status)
	}
	// As has somebody whose account is gone or has another password, unless a ticket
	// let them in.
	for what, change := range map[string]func(){
		"without an account": func() { s.accounts.Remove("ada") },
		"with another password": func() {
			another := hashPassword(adasPassword, argonParams{memory: minArgonMemory, passes: 1, threads: 1})
			if err := s.accounts.SetPasswordHash("ada", another.String()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		for _, token := range []string{g.Token, next.Token} {
			if answer, _ := s.post(t, "/renew", "{}", bearerHeader(token)); answer.StatusCode != 401 {
				t.Errorf("%s: %v", what, answer.Status)
			}
		}
	}
	if log := s.log.String(); !strings.Contains(log, errOtherPassword.Error()) || !strings.Contains(log, errSessionOver.Error()) {
		t.Errorf("log: %s", log)
	}
	ticket, err := s.login.NewTicket("console")
	if err != nil {
		t.Fatal(err)
	}
	answer, body = s.post(t, "/login/once", `{"ticket":"`+ticket+`"}`, nil)
	byTicket, _ := s.granted(t, answer, body)
	if answer, _ := s.post(t, "/renew", "{}", bearerHeader(byTicket.Token)); answer.StatusCode != 200 {
		t.Errorf("of a ticket: %v", answer.Status)
	}
}

func TestTicket(t *testing.T) {
	s := newSite(t, func(c *LoginConfig) { c.Accounts = nil })
	ticket, err := s.login.NewTicket("console")
	if err != nil {
		t.Fatal(err)
	}
	if len(ticket) != 22 || !isID(ticket, 22) {
		t.Errorf("ticket %q", ticket)
	}
	for _, wrong := range []string{"", "x", ticket + "x", ticket[1:]} {
		if answer, _ := s.post(t, "/login/once", `{"ticket":"`+wrong+`"}`, nil); answer.StatusCode != 401 {
			t.Errorf("ticket %q: %v", wrong, answer.Status)
		}
	}
	answer, body := s.post(t, "/login/once", `{"ticket":"`+ticket+`"}`, nil)
	g, _ := s.granted(t, answer, body)
	if who, err := s.bearer.Verify(g.Token); err != nil || who.Name != "console" || who.Method != MethodTicket {
		t.Errorf("it lets in %+v, %v", who, err)
	}
	if answer, _ := s.post(t, "/login/once", `{"ticket":"`+ticket+`"}`, nil); answer.StatusCode != 401 {
		t.Errorf("a second time: %v", answer.Status)
	}
	if answer, _ := s.post(t, "/login", credentials("ada", adasPassword), nil); answer.StatusCode != 401 {
		t.Errorf("a password where there are no accounts: %v", answer.Status)
	}
	if _, err := s.login.NewTicket(""); err == nil {
		t.Error("a ticket for nobody")
	}
	if strings.Contains(s.log.String(), ticket) {
		t.Errorf("the log has the ticket:\n%s", s.log.String())
	}
}

func TestTickets(t *testing.T) {
	var tickets tickets
	now := time.Unix(1000, 0)
	a := tickets.add("ada", now, time.Minute)
	if name, ok := tickets.use(a, now.Add(time.Minute)); ok {
		t.Errorf("an expired one lets in %q", name)
	}
	if _, ok := tickets.use(a, now); ok {
		t.Error("what was tried late is good again")
	}
	first := tickets.add("first", now, time.Minute)
	var last string
	for range maxTickets {
		last = tickets.add("ada", now.Add(time.Second), time.Minute)
	}
	if len(tickets.owner) != maxTickets {
		t.Errorf("%d tickets", len(tickets.owner))
	}
	if _, ok := tickets.use(first, now); ok {
		t.Error("the oldest is not the one that goes")
	}
	if name, ok := tickets.use(last, now); !ok || name != "ada" {
		t.Errorf("the newest: %q, %v", name, ok)
	}
}

func TestLoginRate(t *testing.T) {
	s := newSite(t, func(c *LoginConfig) {
		c.LoginsPerSecond, c.LoginBurst = 1e-3, 2
		c.ClientAddress = func(r *http.Request) netip.Addr {
			a, _ := netip.ParseAddr(r.Header.Get("X-Real-IP"))
			return a
		}
	})
	for i := range 3 {
		answer, _ := s.post(t, "/login/once", `{"ticket":"x"}`, header("X-Real-IP", "192.0.2.1"))
		if want := []int{401, 401, 429}[i]; answer.StatusCode != want {
			t.Errorf("request %d: %v, not %d", i, answer.Status, want)
		}
	}
	if answer, _ := s.post(t, "/login", credentials("ada", adasPassword), header("X-Real-IP", "192.0.2.2")); answer.StatusCode != 200 {
		t.Errorf("from another address: %v", answer.Status)
	}
}

// A locked account answers as for a wrong password, to the right one, too.
func TestLockedAccount(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"ada", "nobody"} {
		for range freeAttempts {
			s.post(t, "/login", credentials(name, "wrong horse"), nil)
		}
		answer, text := s.post(t, "/login", credentials(name, adasPassword), nil)
		if answer.StatusCode != 401 || text != "Unauthorized" || answer.Header.Get("Retry-After") != "" {
			t.Errorf("%s: %v %s %v", name, answer.Status, text, answer.Header)
		}
	}
	log := s.log.String()
	if !strings.Contains(log, "locked for 2s") || !strings.Contains(log, "account is locked") {
		t.Errorf("the log does not tell:\n%s", log)
	}
}

// accountsFunc is a function as Accounts.
type accountsFunc func(context.Context, string) (string, error)

func (f accountsFunc) PasswordHash(ctx context.Context, name string) (string, error) {
	return f(ctx, name)
}

// Trouble of the store is no wrong password: it says so, and locks nobody.
func TestLoginWhenTheDatabaseIsAway(t *testing.T) {
	hash, err := "", errors.New("away")
	s := newSite(t, func(c *LoginConfig) {
		c.Accounts = accountsFunc(func(context.Context, string) (string, error) { return hash, err })
	})
	for range 2 * freeAttempts {
		if answer, _ := s.post(t, "/login", credentials("ada", adasPassword), nil); answer.StatusCode != 503 {
			t.Fatalf("answer %v", answer.Status)
		}
	}
	hash, err = "not a hash", nil
	for range 2 * freeAttempts {
		if answer, _ := s.post(t, "/login", credentials("ada", adasPassword), nil); answer.StatusCode != 401 {
			t.Fatalf("a bad hash: answer %v", answer.Status)
		}
	}
	hash = adasHash()
	s.logIn(t)
}

func TestLockout(t *testing.T) {
	l := newLockout()
	now := time.Unix(1000, 0)
	fail := func() time.Duration {
		t.Helper()
		attempt, ok := l.begin("ada", now)
		if !ok {
			t.Fatal("locked")
		}
		return attempt.lock
	}
	for i := range freeAttempts - 1 {
		if lock := fail(); lock != 0 {
			t.Fatalf("failure %d locks for %v", i+1, lock)
		}
	}
	var locks []time.Duration
	for range 12 {
		lock := fail()
		locks = append(locks, lock)
		now = now.Add(lock - 1)
		if _, ok := l.begin("ada", now); ok {
			t.Fatalf("not locked %v later", lock-1)
		}
		now = now.Add(1)
	}
	want := "[2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 8m32s 15m0s 15m0s 15m0s]"
	if got := fmt.Sprint(locks); got != want {
		t.Errorf("locked for %s, not %s", got, want)
	}
	attempt, ok := l.begin("ada", now)
	if !ok {
		t.Fatal("locked")
	}
	l.succeeded(attempt)
	if lock := fail(); lock != 0 {
		t.Errorf("after a success a failure locks for %v", lock)
	}
	for range freeAttempts - 2 {
		fail()
	}
	now = now.Add(forgetAttempts + 1)
	if lock := fail(); lock != 0 {
		t.Errorf("after a long time a failure locks for %v", lock)
	}
	for range 3 {
		fail()
	}
	for range 3 {
		attempt, ok := l.begin("ada", now)
		if !ok || attempt.lock == 0 {
			t.Fatalf("attempt %+v, %v", attempt, ok)
		}
		l.withdraw(attempt)
	}
	l.withdraw(attempt)
}

// Made-up names neither fill the memory nor push out a name under attack.
func TestLockoutIsBounded(t *testing.T) {
	l := newLockout()
	now := time.Unix(1000, 0)
	for range freeAttempts {
		l.begin("ada", now)
	}
	for i := range 2 * maxAccounts {
		l.begin(fmt.Sprint("name ", i), now)
	}
	if len(l.accounts) > maxAccounts {
		t.Errorf("%d accounts", len(l.accounts))
	}
	if _, ok := l.begin("ada", now); ok {
		t.Error("ada's lock was pushed out")
	}
	now = now.Add(forgetAttempts + 1)
	l.begin("one more", now)
	if len(l.accounts) > maxAccounts {
		t.Errorf("%d accounts", len(l.accounts))
	}
}

// Many guesses at once are no more guesses than one after another.
func TestGuessesAtOnce(t *testing.T) {
	s := newSite(t)
	var looked sync.Map
	s.login.config.Accounts = accountsFunc(func(_ context.Context, name string) (string, error) {
		n, _ := looked.LoadOrStore(name, new(counter))
		n.(*counter).add()
		return adasHash(), nil
	})
	var guesses sync.WaitGroup
	for i := range 4 * freeAttempts {
		guesses.Go(func() {
			if _, err := s.login.checkPassword(t.Context(), "ada", fmt.Sprint("guess number ", i)); err == nil {
				t.Error("a guess is right")
			}
		})
	}
	guesses.Wait()
	n, _ := looked.Load("ada")
	if got := n.(*counter).n; got > freeAttempts {
		t.Errorf("%d guesses were looked at, not %d", got, freeAttempts)
	}
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}
