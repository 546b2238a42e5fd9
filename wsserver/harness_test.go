package wsserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// testContext ends before the test binary's patience does.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// testKeys are the keys of a ring, the first of which signs.
var testKeys = []Key{
	{ID: "k1", Secret: []byte(strings.Repeat("1", 32))},
	{ID: "k0", Secret: []byte(strings.Repeat("0", 32))},
}

func newBearer(t testing.TB, change ...func(*BearerConfig)) *BearerAuthenticator {
	t.Helper()
	keys, err := NewKeys(testKeys...)
	if err != nil {
		t.Fatal(err)
	}
	config := BearerConfig{Keys: keys, Leeway: -1}
	for _, f := range change {
		f(&config)
	}
	b, err := NewBearerAuthenticator(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tokenFor issues a token that lives for life.
func tokenFor(t testing.TB, b *BearerAuthenticator, name string, life time.Duration) Token {
	t.Helper()
	token, err := b.Issue(name, MethodPassword, life)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// anybody lets in whoever comes.
var anybody = AuthenticatorFunc(func(*http.Request) (Identity, error) { return Identity{Name: "anybody"}, nil })

// unlimited switches off the limits for each address, which all clients of a test share.
func unlimited(c *Config) {
	c.RequestsPerSecond = -1
	c.Limits.ConnectionsPerSecond = -1
	c.Limits.MaxStrangersPerAddress = -1
}

// listen starts a server that listens on loopback until the test ends, and gives its
// address.
func listen(t testing.TB, a Authenticator, change ...func(*Config)) (*WebSocketServer, string) {
	t.Helper()
	config := Config{}
	unlimited(&config)
	for _, f := range change {
		f(&config)
	}
	s := NewWebSocketServer(a, config)
	if err := s.Listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, s) })
	return s, s.ServerAddress().String()
}

// closeServer closes a server, with or without the consent of its clients.
func closeServer(t testing.TB, s *WebSocketServer) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
}

// header makes a request's header of pairs.
func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// dial connects a client that must be let in.
func dial(t testing.TB, address string, h http.Header, subprotocols ...string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(testContext(t), "ws://"+address, &websocket.DialOptions{HTTPHeader: h, Subprotocols: subprotocols})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// refused connects a client that must not be let in, and gives the answer.
func refused(t testing.TB, address string, h http.Header, subprotocols ...string) *http.Response {
	t.Helper()
	c, answer, err := websocket.Dial(testContext(t), "ws://"+address, &websocket.DialOptions{HTTPHeader: h, Subprotocols: subprotocols})
	if err == nil {
		_ = c.CloseNow()
		t.Fatal("the client was let in")
	}
	if answer == nil {
		t.Fatalf("no answer: %v", err)
	}
	return answer
}

func bearerHeader(token string) http.Header { return header("Authorization", "Bearer "+token) }

// accept gives the server's end of a connection.
func accept(t testing.TB, s *WebSocketServer) *Connection {
	t.Helper()
	c, err := s.Accept(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// keepReading reads until the connection ends, as an application must.
func keepReading(c *Connection) {
	go func() {
		for {
			if _, _, err := c.Read(context.Background()); err != nil {
				return
			}
		}
	}()
}

// drain reads until the connection ends, and gives the reason.
func drain(t testing.TB, c *websocket.Conn) error {
	t.Helper()
	for {
		if _, _, err := c.Read(testContext(t)); err != nil {
			return err
		}
	}
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// within waits for a channel.
func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

// rawRequest sends bytes to a server and gives what it answers until it closes.
func rawRequest(t testing.TB, address, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	// The server may answer, and close, before it has read all.
	_, _ = io.WriteString(c, request)
	answer, _ := io.ReadAll(c)
	return string(answer)
}

// upgradeRequest is a WebSocket handshake with further header lines.
func upgradeRequest(address string, lines ...string) string {
	return "GET / HTTP/1.1\r\nHost: " + address + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
		strings.Join(append(lines, ""), "\r\n") + "\r\n"
}
