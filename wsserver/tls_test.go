package wsserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// selfSigned makes a certificate for loopback, and a pool that trusts it.
func selfSigned(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestOverTLS(t *testing.T) {
	certificate, pool := selfSigned(t)
	b := newBearer(t)
	s, address := listen(t, b, func(c *Config) {
		c.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		c.Limits.MaxStrangers = 1
	})
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, NextProtos: []string{"h2", "http/1.1"}},
	}}
	token := tokenFor(t, b, "ada", time.Hour).Text
	try := func(origin string) (*websocket.Conn, error) {
		c, _, err := websocket.Dial(testContext(t), "wss://"+address, &websocket.DialOptions{
			HTTPClient: client,
			HTTPHeader: header("Origin", origin, "Cookie", "gdtls_token="+token),
		})
		return c, err
	}
	for range 3 { // more than there may be strangers
		c, err := try("https://" + address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.CloseNow() }()
		if who := accept(t, s).Identity(); who.Name != "ada" {
			t.Errorf("it is %+v", who)
		}
	}
	if _, err := try("http://" + address); err == nil {
		t.Error("a page without TLS is let in")
	}
	// Who does not speak TLS gets no further.
	if answer := rawRequest(t, address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); len(answer) > 200 {
		t.Errorf("without TLS: %q", answer)
	}
	if got := s.Stats(); got.Accepted != 3 || got.Refused != 1 {
		t.Errorf("stats %+v", got)
	}
}

func TestTLSWithoutCertificate(t *testing.T) {
	s := NewWebSocketServer(anybody, Config{TLS: new(tls.Config)})
	if err := s.Listen(t.Context(), "127.0.0.1:0"); err == nil || s.IsListening() {
		closeServer(t, s)
		t.Errorf("it listens: %v", err)
	}
}
