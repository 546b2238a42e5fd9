package jwtproto

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/ssh"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
)

// secretText is the secret of the original's clients, whose newline is part of it.
const secretText = "secret-key-for-dec7557\n"

var testPSK = bytes.Repeat([]byte{0x5a}, 16)

// Keys are made once: RSA keys take long.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(newECKey)
	thirdKey = sync.OnceValue(newECKey)
)

func newECKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func pkixPEM(key crypto.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(key))})
}

func sshLine(key crypto.PublicKey) []byte {
	return ssh.MarshalAuthorizedKey(must(ssh.NewPublicKey(key)))
}

// writeFiles makes files below a new folder.
func writeFiles(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const testGroups = `
[REDS]
members = [11, 12, 13]

[BLUES]
members = [21, 22]
psk = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"

[HEARTBEAT]
members = [1]
`

// testFiles are a lab: REDS with an RSA key, BLUES and HEARTBEAT with keys on P-256.
func testFiles() map[string][]byte {
	return map[string][]byte{
		SecretFolder + "/" + SecretFile:     []byte(secretText),
		GroupsFile:                          []byte(testGroups),
		KeysFolder + "/reds.pem":            pkixPEM(rsaKey().Public()),
		KeysFolder + "/first/Blues.ssh":     sshLine(ecKey().Public()),
		KeysFolder + "/first/hearTBeat.pem": pkixPEM(thirdKey().Public()),
	}
}

func testLab(t testing.TB) *Lab {
	t.Helper()
	lab, problems, err := OpenLab(writeFiles(t, testFiles()))
	if err != nil || len(problems) > 0 {
		t.Fatalf("OpenLab: %v, problems %v", err, problems)
	}
	return lab
}

// fields are the claims of a request, to be changed.
type fields map[string]any

// claimsFor are those of a good request.
func claimsFor(group string, n int) fields {
	members, registration := 3, 11
	switch group {
	case "BLUES":
		members, registration = 2, 21
	case TestGroup:
		members, registration = 1, 1
	}
	now := time.Now().Unix()
	return fields{
		"sub": group, "seq_state_number": n, "seq_state": Colour(n % 7), "seq_max": members, "registration": registration,
		"jti": newTokenID(), "iat": now, "exp": now + 60, "aud": Audience,
	}
}

func (f fields) with(name string, value any) fields { f[name] = value; return f }
func (f fields) without(name string) fields         { delete(f, name); return f }
func (f fields) json() []byte                       { return must(json.Marshal(f)) }

// sign makes a token of a payload.
func sign(algorithm jose.SignatureAlgorithm, key any, payload []byte) []byte {
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil))
	return []byte(must(must(signer.Sign(payload)).CompactSerialize()))
}

func redToken(f fields) []byte   { return sign(jose.RS256, rsaKey(), f.json()) }
func blueToken(f fields) []byte  { return sign(jose.ES256, ecKey(), f.json()) }
func heartToken(f fields) []byte { return sign(jose.ES256, thirdKey(), f.json()) }

// answerer sends a request and gives what is answered.
type answerer func(t testing.TB, token []byte) replyClaims

// startServer starts a server on loopback and gives its address.
func startServer(t testing.TB, config Config, over Transport) (*Server, datagram.Address) {
	t.Helper()
	if config.Lab == nil {
		config.Lab = testLab(t)
	}
	if config.Certificate == nil && over&DTLS != 0 {
		config.Certificate = selfSigned(t, thirdKey())
	}
	s, err := NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	base := datagram.New(must(net.ListenPacket("udp", "127.0.0.1:0")))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, base, over) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		s.Close()
		base.Close()
	})
	return s, base.LocalAddress()
}

// dialUDP is a socket that is connected to the address.
func dialUDP(t testing.TB, to datagram.Address) *datagram.Socket {
	t.Helper()
	base := datagram.New(must(net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to.AddrPort()))))
	t.Cleanup(func() { base.Close() })
	return base
}

// dialDTLS is a DTLS connection to the address, over what wrap makes of the socket.
func dialDTLS(t testing.TB, to datagram.Address, setUp func(*clientconn.DtlsClientConnection)) datagram.DatagramBased {
	t.Helper()
	c, err := clientconn.NewDtlsClientConnection(dialUDP(t, to), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetValidationFlags(0)
	c.SetSessionCache(nil)
	if err := c.SetMTU(4096); err != nil { // loopback's is larger
		t.Fatal(err)
	}
	if setUp != nil {
		setUp(c)
	}
	if err := c.Handshake(t.Context()); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func usePSK(identity string) func(*clientconn.DtlsClientConnection) {
	return func(c *clientconn.DtlsClientConnection) {
		c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			a.SetIdentity([]byte(identity))
			a.SetPreSharedKey(testPSK)
		})
	}
}

// useCertificate shows a certificate for the key.
func useCertificate(t testing.TB, key crypto.Signer) func(*clientconn.DtlsClientConnection) {
	return func(c *clientconn.DtlsClientConnection) { c.SetCertificate(selfSigned(t, key)) }
}

func selfSigned(t testing.TB, key crypto.Signer) *conn.TlsCertificate {
	t.Helper()
	certificate, err := MemberCertificate("test", key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// ask sends a request over an object and waits for the answer, which it verifies.
func ask(over datagram.DatagramBased) answerer {
	return func(t testing.TB, token []byte) replyClaims {
		t.Helper()
		if err := datagram.SendOne(t.Context(), over, token, datagram.Address{}, time.Second); err != nil {
			t.Fatalf("sending %d bytes: %v", len(token), err)
		}
		return receiveReply(t, over)
	}
}

func receiveReply(t testing.TB, over datagram.DatagramBased) replyClaims {
	t.Helper()
	buf := make([]byte, 4096)
	n, _, err := datagram.ReceiveOne(t.Context(), over, buf, 5*time.Second)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	claims, err := openReply(buf[:n], []byte(secretText))
	if err != nil {
		t.Fatalf("answer %q: %v", buf[:n], err)
	}
	return claims
}

// says describes an answer: the next number, or the error.
func says(c replyClaims) string {
	if c.Next != nil {
		return fmt.Sprint(*c.Next)
	}
	return strings.TrimPrefix(c.Response, errorPrefix)
}
