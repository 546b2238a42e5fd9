package wsserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gdtls/conn"
)

func TestMessagesGoBothWays(t *testing.T) {
	b := newBearer(t)
	s, address := listen(t, b, func(c *Config) {
		c.Subprotocols = []string{"chat.v2", "chat.v1"}
		c.ServerName = "test server"
	})
	if s.ServerName() != "test server" || !slices.Equal(s.SupportedSubprotocols(), []string{"chat.v2", "chat.v1"}) {
		t.Errorf("it is %q and speaks %q", s.ServerName(), s.SupportedSubprotocols())
	}
	told := make(chan struct{}, 1)
	s.ConnectNewConnection(func() { told <- struct{}{} })
	token := tokenFor(t, b, "ada", time.Hour)
	client := dial(t, address, bearerHeader(token.Text), "chat.v1", "chat.v2")
	within(t, "newConnection", told)
	if !s.HasPendingConnections() || s.Stats() != (Stats{Accepted: 1, Open: 1, Pending: 1}) {
		t.Errorf("pending: %v, %+v", s.HasPendingConnections(), s.Stats())
	}
	c := s.NextPendingConnection()
	if c == nil {
		t.Fatal("no pending connection")
	}
	if s.NextPendingConnection() != nil || s.HasPendingConnections() {
		t.Error("the connection is given twice")
	}
	if c.Subprotocol() != "chat.v2" || client.Subprotocol() != "chat.v2" {
		t.Errorf("subprotocols %q and %q, not the server's first choice", c.Subprotocol(), client.Subprotocol())
	}
	if who := c.Identity(); who.Name != "ada" || who.LoginID != token.Identity.LoginID || !who.Expires.Equal(token.Identity.Expires) || who.Method != MethodPassword {
		t.Errorf("identity %+v, token's %+v", who, token.Identity)
	}
	if !c.Address().IsLoopback() {
		t.Errorf("address %v", c.Address())
	}

	ctx := testContext(t)
	for _, m := range []struct {
		kind MessageType
		text string
	}{{TextMessage, "text"}, {BinaryMessage, "\x00binary"}, {TextMessage, ""}} {
		if err := client.Write(ctx, m.kind, []byte(m.text)); err != nil {
			t.Fatal(err)
		}
		kind, text, err := c.Read(ctx)
		if err != nil || kind != m.kind || string(text) != m.text {
			t.Fatalf("server read %v %q, %v", kind, text, err)
		}
		if err := c.Write(ctx, kind, text); err != nil {
			t.Fatal(err)
		}
		kind, text, err = client.Read(ctx)
		if err != nil || kind != m.kind || string(text) != m.text {
			t.Fatalf("client read %v %q, %v", kind, text, err)
		}
	}

	go func() { _ = client.Close(websocket.StatusNormalClosure, "bye") }()
	if _, _, err := c.Read(ctx); CloseStatus(err) != StatusNormalClosure {
		t.Errorf("after the client's goodbye: %v", err)
	}
	within(t, "Done", c.Done())
	if got := s.Stats(); got != (Stats{Accepted: 1}) {
		t.Errorf("afterwards: %+v", got)
	}
	if err := c.Write(ctx, TextMessage, nil); err == nil {
		t.Error("an ended connection can be written to")
	}
}

func TestTokenPlaces(t *testing.T) {
	b := newBearer(t)
	s, address := listen(t, b, func(c *Config) { c.Subprotocols = []string{"chat"} })
	token := tokenFor(t, b, "ada", time.Hour).Text
	own := "http://" + address
	for name, test := range map[string]struct {
		header       http.Header
		subprotocols []string
		status       int // 0: let in
	}{
		"header":                          {header: bearerHeader(token)},
		"header, scheme in small letters": {header: header("Authorization", "bearer "+token)},
		"subprotocol":                     {subprotocols: []string{"chat", "bearer." + token}},
		"subprotocol, same origin":        {header: header("Origin", own), subprotocols: []string{"bearer." + token, "chat"}},
		"cookie":                          {header: header("Origin", own, "Cookie", "gdtls_token="+token)},
		"cookie among others":             {header: header("Origin", own, "Cookie", "a=b; gdtls_token="+token+"; c=d")},
		"none":                            {status: 401},
		"other scheme":                    {header: header("Authorization", "Basic "+token), status: 401},
		"two headers":                     {header: header("Authorization", "Bearer "+token, "Authorization", "Bearer "+token), status: 401},
		"two spaces":                      {header: header("Authorization", "Bearer  "+token), status: 401},
		"bad header, good cookie":         {header: header("Authorization", "Bearer x", "Origin", own, "Cookie", "gdtls_token="+token), status: 401},
		"subprotocol without prefix":      {subprotocols: []string{"chat", token}, status: 401},
		"cookie, no origin":               {header: header("Cookie", "gdtls_token="+token), status: 403},
		"cookie, other origin":            {header: header("Origin", "http://evil.example", "Cookie", "gdtls_token="+token), status: 403},
		"two cookies":                     {header: header("Origin", own, "Cookie", "gdtls_token="+token+"; gdtls_token="+token), status: 401},
		"cookie of another name":          {header: header("Origin", own, "Cookie", "token="+token), status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			if test.status == 0 {
				client := dial(t, address, test.header, test.subprotocols...)
				if len(test.subprotocols) > 0 && client.Subprotocol() != "chat" {
					t.Errorf("subprotocol %q", client.Subprotocol())
				}
				if who := accept(t, s).Identity(); who.Name != "ada" {
					t.Errorf("it is %+v", who)
				}
				return
			}
			answer := refused(t, address, test.header, test.subprotocols...)
			if answer.StatusCode != test.status {
				t.Errorf("status %d, not %d", answer.StatusCode, test.status)
			}
			challenge := answer.Header.Get("WWW-Authenticate")
			if want := `Bearer realm="gdtls"`; test.status == 401 && challenge != want || test.status != 401 && challenge != "" {
				t.Errorf("WWW-Authenticate: %q", challenge)
			}
		})
	}
}

// Whatever the reason, the client is told the status only, and the server all.
func TestReasonIsNotTold(t *testing.T) {
	b := newBearer(t)
	s, address := listen(t, b, func(c *Config) { c.ServerName = `a "name"` })
	reasons := make(chan Refusal, 1)
	id := s.ConnectRefused(func(r Refusal) { reasons <- r })
	token := tokenFor(t, b, "ada", time.Hour)
	if err := b.Revoke(t.Context(), token.Identity.LoginID); err != nil {
		t.Fatal(err)
	}
	answer := rawRequest(t, address, upgradeRequest(address, "Authorization: Bearer "+token.Text))
	if want := "HTTP/1.1 401 Unauthorized\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Server: a \"name\"\r\nWww-Authenticate: Bearer realm=\"a \\\"name\\\"\"\r\nX-Content-Type-Options: nosniff\r\n"; answer[:min(len(answer), len(want))] != want {
		t.Errorf("answer:\n%q\nnot\n%q", answer, want)
	}
	r := within(t, "refused", reasons)
	if !errors.Is(r.Reason, ErrRevokedToken) || r.Status != 401 || !r.Address.IsLoopback() {
		t.Errorf("refusal %+v", r)
	}
	s.Disconnect(id)
	refused(t, address, nil)
	if len(reasons) > 0 {
		t.Error("a disconnected handler was called")
	}
}

func TestStatusOfRefusals(t *testing.T) {
	for reason, want := range map[error]int{
		errors.New("any"):                          401,
		fmt.Errorf("wrapped: %w", ErrForbidden):    403,
		fmt.Errorf("%w: database", ErrUnavailable): 503,
	} {
		_, address := listen(t, AuthenticatorFunc(func(*http.Request) (Identity, error) { return Identity{}, reason }))
		answer := refused(t, address, nil)
		if answer.StatusCode != want {
			t.Errorf("%v: status %d, not %d", reason, answer.StatusCode, want)
		}
		if (want == 503) != (answer.Header.Get("Retry-After") != "") {
			t.Errorf("%v: Retry-After %q", reason, answer.Header.Get("Retry-After"))
		}
	}
	_, address := listen(t, nil)
	if answer := refused(t, address, nil); answer.StatusCode != 401 {
		t.Errorf("without an Authenticator: %v", answer.Status)
	}
}

func TestOrigin(t *testing.T) {
	s, address := listen(t, anybody, func(c *Config) { c.Origins = []string{"https://also.example"} })
	_, port, _ := net.SplitHostPort(address)
	try := func(origins ...string) bool {
		t.Helper()
		h := http.Header{}
		for _, o := range origins {
			h.Add("Origin", o)
		}
		c, answer, err := websocket.Dial(testContext(t), "ws://"+address, &websocket.DialOptions{HTTPHeader: h})
		if err != nil {
			if answer == nil || answer.StatusCode != 403 {
				t.Fatalf("origin %q: %v", origins, err)
			}
			return false
		}
		accept(t, s)
		_ = c.CloseNow()
		return true
	}
	for _, good := range []string{"http://" + address, "https://also.example"} {
		if !try(good) {
			t.Errorf("origin %q is refused", good)
		}
	}
	if !try() {
		t.Error("no origin is refused")
	}
	for _, bad := range []string{
		"https://" + address, "http://127.0.0.1", "http://localhost:" + port, "http://" + address + "0",
		"http://" + address + "/", "http://" + address + ".evil.example", "http://evil.example", "null", "", "http://",
		"ws://" + address, "https://also.example:443", "http://also.example", address,
	} {
		if try(bad) {
			t.Errorf("origin %q is let in", bad)
		}
	}
	if try("http://"+address, "http://"+address) {
		t.Error("two origins are let in")
	}

	var asked []string
	first := s.ConnectOriginAuthenticationRequired(func(a *CorsAuthenticator) {
		asked = append(asked, a.Origin())
		a.SetAllowed(!a.Allowed())
	})
	if !try("http://evil.example") || try("http://"+address) || try() {
		t.Error("the handler's answer does not count")
	}
	if want := []string{"http://evil.example", "http://" + address, ""}; !slices.Equal(asked, want) {
		t.Errorf("asked about %q, not %q", asked, want)
	}
	s.ConnectOriginAuthenticationRequired(func(a *CorsAuthenticator) { a.SetAllowed(true) })
	if !try("http://evil.example") || !try("http://"+address) {
		t.Error("the last handler's answer does not count")
	}
	s.Disconnect(first)
}

func TestNotAnUpgrade(t *testing.T) {
	asked := false
	_, address := listen(t, AuthenticatorFunc(func(*http.Request) (Identity, error) { asked = true; return Identity{}, nil }))
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
	} {
		if answer := rawRequest(t, address, request); answer[:min(len(answer), 12)] != "HTTP/1.1 426" {
			t.Errorf("%q: answer %q", request, answer)
		}
	}
	if asked {
		t.Error("the Authenticator was asked")
	}
}

// A handshake that is authorized but malformed leaves no place taken.
func TestBrokenUpgradeGivesItsPlaceBack(t *testing.T) {
	s, address := listen(t, anybody, func(c *Config) { c.MaxOpenConnections, c.MaxPendingConnections = 1, 1 })
	reasons := make(chan Refusal, 10)
	s.ConnectRefused(func(r Refusal) { reasons <- r })
	for range 3 {
		answer := rawRequest(t, address, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n")
		if answer[:min(len(answer), 12)] != "HTTP/1.1 400" {
			t.Errorf("answer %q", answer)
		}
		if r := within(t, "refused", reasons); r.Status != 400 || !strings.Contains(r.Reason.Error(), "anybody") {
			t.Errorf("refusal %+v", r)
		}
	}
	dial(t, address, nil)
	accept(t, s)
}

func TestLimitsOfConnections(t *testing.T) {
	s, address := listen(t, anybody, func(c *Config) { c.MaxOpenConnections, c.MaxPendingConnections = 3, 2 })
	reasons := make(chan Refusal, 10)
	s.ConnectRefused(func(r Refusal) { reasons <- r })
	expect := func(reason error) {
		t.Helper()
		answer := refused(t, address, nil)
		if r := within(t, "refused", reasons); answer.StatusCode != 503 || !errors.Is(r.Reason, reason) {
			t.Fatalf("%v for %v, not 503 for %v", answer.Status, r.Reason, reason)
		}
	}
	dial(t, address, nil)
	dial(t, address, nil)
	expect(errMaxPending)
	first := accept(t, s)
	dial(t, address, nil)
	accept(t, s)
	expect(errMaxOpen)
	first.abort()
	dial(t, address, nil)
	if s.MaxOpenConnections() != 3 || s.MaxPendingConnections() != 2 {
		t.Error("the limits are told wrong")
	}
	waitFor(t, "three connections", func() bool { return len(s.Connections()) == 3 })
}

func TestPauseAccepting(t *testing.T) {
	s, address := listen(t, anybody)
	before := dial(t, address, nil)
	c := accept(t, s)
	s.PauseAccepting()
	if answer := refused(t, address, nil); answer.StatusCode != 503 {
		t.Errorf("status %v", answer.Status)
	}
	if err := c.Write(testContext(t), TextMessage, []byte("still here")); err != nil {
		t.Error(err)
	}
	if _, text, err := before.Read(testContext(t)); err != nil || string(text) != "still here" {
		t.Errorf("an open connection read %q, %v", text, err)
	}
	s.ResumeAccepting()
	dial(t, address, nil)
	accept(t, s)
}

func TestPendingTimeout(t *testing.T) {
	s, address := listen(t, anybody, func(c *Config) { c.PendingTimeout = 20 * time.Millisecond })
	if err := drain(t, dial(t, address, nil)); CloseStatus(err) != StatusTryAgainLater {
		t.Errorf("nobody accepted: %v", err)
	}
	waitFor(t, "the connection is forgotten", func() bool { return s.Stats().Open == 0 })
	if s.NextPendingConnection() != nil {
		t.Error("an ended connection is given")
	}
}

func TestCloseTellsClients(t *testing.T) {
	s, address := listen(t, anybody)
	stopped := make(chan struct{}, 1)
	s.ConnectClosed(func() { stopped <- struct{}{} })
	var clients []*websocket.Conn
	for range 3 {
		clients = append(clients, dial(t, address, nil))
	}
	accept(t, s) // the others are pending
	reasons := make(chan error, len(clients))
	for _, c := range clients {
		go func() { reasons <- drain(t, c) }()
	}
	if err := s.Listen(t.Context(), "127.0.0.1:0"); err == nil {
		t.Error("a listening server listens again")
	}
	if err := s.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	for range clients {
		if err := within(t, "goodbye", reasons); CloseStatus(err) != StatusGoingAway {
			t.Errorf("a client saw %v", err)
		}
	}
	within(t, "closed", stopped)
	if s.IsListening() || s.ServerAddress() != nil {
		t.Error("the server still listens")
	}
	if _, err := s.Accept(testContext(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if err := s.Close(testContext(t)); err != nil {
		t.Errorf("a second Close: %v", err)
	}

	if err := s.Listen(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	dial(t, address, nil)
	accept(t, s)
}

// slowHijack takes over a connection only when it may.
type slowHijack struct {
	http.ResponseWriter
	begun chan<- struct{}
	may   <-chan struct{}
}

func (h slowHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	close(h.begun)
	<-h.may
	return http.NewResponseController(h.ResponseWriter).Hijack()
}

// Who is let in while Close begins is told goodbye, too.
func TestCloseWaitsForUpgrades(t *testing.T) {
	s := NewWebSocketServer(anybody, Config{})
	begun, may := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(slowHijack{w, begun, may}, r)
	}))
	defer server.Close()
	seen := make(chan error, 1)
	go func() {
		c, _, err := websocket.Dial(context.Background(), server.URL, nil)
		if err == nil {
			_, _, err = c.Read(context.Background())
		}
		seen <- err
	}()
	within(t, "the upgrade", begun)
	closed := make(chan error, 1)
	go func() { closed <- s.Close(testContext(t)) }()
	waitFor(t, "Close begins", func() bool { return s.accepting() != nil })
	close(may)
	if err := within(t, "goodbye", seen); CloseStatus(err) != StatusGoingAway {
		t.Errorf("the client saw %v", err)
	}
	if err := within(t, "Close", closed); err != nil {
		t.Error(err)
	}
}

func TestListenFails(t *testing.T) {
	_, address := listen(t, anybody)
	s := NewWebSocketServer(anybody, Config{})
	var told error
	s.ConnectServerError(func(err error) { told = err })
	if err := s.Listen(t.Context(), address); err == nil || told == nil {
		t.Errorf("a taken address: %v, told %v", err, told)
	}
	if s.IsListening() {
		t.Error("it listens")
	}
}

// Close does not wait for clients that do not answer longer than it may.
func TestCloseCutsOff(t *testing.T) {
	s, address := listen(t, anybody)
	dial(t, address, nil) // does not read
	c := accept(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
	within(t, "Done", c.Done())
}

func TestMounted(t *testing.T) {
	s := NewWebSocketServer(anybody, Config{ClientAddress: func(r *http.Request) netip.Addr {
		a, _ := netip.ParseAddr(r.Header.Get("X-Real-IP"))
		return a
	}})
	mux := http.NewServeMux()
	mux.Handle("GET /ws", s)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "page") })
	server := httptest.NewServer(mux)
	defer server.Close()
	address := server.Listener.Addr().String()
	dial(t, address+"/ws", header("X-Real-IP", "192.0.2.7"))
	if c := accept(t, s); c.Address() != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("address %v", c.Address())
	}
	if s.IsListening() {
		t.Error("a mounted server says that it listens")
	}
	closeServer(t, s)
	if answer := refused(t, address+"/ws", nil); answer.StatusCode != 503 {
		t.Errorf("after Close: %v", answer.Status)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestSignalsInOrder(t *testing.T) {
	s := NewWebSocketServer(anybody, Config{})
	var got []int
	var ids []conn.SignalHandlerID
	for i := range 3 {
		ids = append(ids, s.ConnectServerError(func(error) { got = append(got, i) }))
	}
	s.Disconnect(ids[1])
	s.fail(errors.New("x"))
	if !slices.Equal(got, []int{0, 2}) || slices.Contains(ids, 0) {
		t.Errorf("called %v, ids %v", got, ids)
	}
}
