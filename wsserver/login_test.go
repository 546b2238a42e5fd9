package wsserver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

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
