package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"testing/cryptotest"
	"time"
)

var update = flag.Bool("update", false, "record the golden transcripts anew, with openssl, gnutls-cli and gnutls-serv")

// golden is a recorded series of handshakes with another implementation. With the
// same randomness, and the same datagrams of the peer, ours must be the same, byte by
// byte.
type golden struct {
	Peer  string // "openssl" or "gnutls"
	Role  string // ours: "client" or "server"
	Suite string // that is agreed on
	Key   string // kind of the server's key: "ECDSA" or "RSA"; empty: a pre-shared key
	ID    bool   `json:",omitempty"` // sessions are resumed by id, not by ticket

	Chain      hexes // the server's certificate, leaf first
	PrivateKey hexed // PKCS #8; if we are the server
	Handshakes []goldenHandshake
}

// goldenHandshake is one handshake; the second of a series resumes the first.
type goldenHandshake struct {
	Resumed   bool
	Datagrams []goldenDatagram
}

type goldenDatagram struct {
	Ours bool
	Data hexed
}

type hexed []byte

func (h hexed) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }
func (h *hexed) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type hexes []hexed

// goldenFiles are recorded by TestRecordGolden.
func goldenFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden transcripts: %v", err)
	}
	return files
}

func TestGolden(t *testing.T) {
	if *update {
		t.Skip("the transcripts are being recorded")
	}
	for _, file := range goldenFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var g golden
			text, err := os.ReadFile(file)
			if err == nil {
				err = json.Unmarshal(text, &g)
			}
			if err != nil {
				t.Fatal(err)
			}
			side := newGoldenSide(t, &g)
			for i, h := range g.Handshakes {
				side.begin(t)
				for k, d := range h.Datagrams {
					if !d.Ours {
						side.receive(d.Data)
						continue
					}
					out := side.next()
					if !bytes.Equal(out, d.Data) {
						t.Fatalf("handshake %d, datagram %d: sent\n%x, recorded was\n%x", i, k, out, d.Data)
					}
				}
				if out := side.next(); out != nil {
					t.Errorf("handshake %d: also sent %x", i, out)
				}
				side.finish(t, h.Resumed)
			}
		})
	}
}

// goldenSide is our side of a series of handshakes. It lives at one moment: nothing
// is ever repeated.
type goldenSide struct {
	g       *golden
	cfg     Config
	cookies *Cookies
	m       *Machine
	saved   *SavedSession
	out     [][]byte
}

var (
	goldenIdentity = "somebody"
	goldenKey      = []byte("0123456789")
)

func newGoldenSide(t *testing.T, g *golden) *goldenSide {
	t.Helper()
	cryptotest.SetGlobalRandom(t, 1)
	s := &goldenSide{g: g}
	suite := SuiteByName(g.Suite)
	s.cfg = Config{Suites: []uint16{suite.ID}, PSK: suite.PSK(), ServerName: "server.example", Resumable: true}
	if g.Role == "client" {
		return s
	}
	s.cookies = NewCookies(puppetStart)
	s.cfg.Sessions = NewSessions(NewMemoryStore(10, 1<<16))
	if !suite.PSK() {
		key, err := x509.ParsePKCS8PrivateKey(g.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewCertificate([][]byte{g.Chain[0]}, key.(crypto.Signer))
		if err != nil {
			t.Fatal(err)
		}
		s.cfg.Certificates = []*Certificate{c}
	}
	return s
}

func (s *goldenSide) begin(t *testing.T) {
	t.Helper()
	s.m, s.out = nil, nil
	if s.g.Role == "server" {
		return
	}
	s.cfg.Resume = s.saved
	var err error
	if s.m, err = NewClient(&s.cfg, puppetStart); err != nil {
		t.Fatal(err)
	}
	s.settle()
}

func (s *goldenSide) receive(d []byte) {
	d = bytes.Clone(d)
	if s.m == nil {
		verified, reply := s.cookies.VerifyHello(d, puppetAddress, nil, puppetStart)
		if reply != nil {
			s.out = append(s.out, reply)
		}
		if verified != nil {
			s.m = NewServer(&s.cfg, verified, puppetStart)
		}
	} else if !s.m.Done() {
		s.m.Receive(d, puppetStart)
	}
	s.settle()
}

func (s *goldenSide) settle() {
	for s.m != nil {
		s.out = append(s.out, s.m.Output()...)
		switch s.m.Question() {
		case AskCertificate:
			s.m.AnswerCertificate(nil, puppetStart)
		case AskPSK:
			s.m.AnswerPSK([]byte(goldenIdentity), goldenKey, puppetStart)
		default:
			return
		}
	}
}

func (s *goldenSide) next() []byte {
	if len(s.out) == 0 {
		return nil
	}
	d := s.out[0]
	s.out = s.out[1:]
	return d
}

func (s *goldenSide) finish(t *testing.T, resumed bool) {
	t.Helper()
	if s.m == nil || !s.m.Done() {
		t.Fatal("handshake is not complete")
	}
	session := s.m.Session()
	if session.Suite.Name != s.g.Suite || session.Resumed != resumed {
		t.Fatalf("agreed on %s, resumed %v", session.Suite.Name, session.Resumed)
	}
	s.saved = session.Saved
}

// goldenCredential makes the server's certificate and key.
func goldenCredential(t *testing.T, kind string) (chain, key []byte) {
	t.Helper()
	var signer crypto.Signer
	var err error
	if kind == "RSA" {
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server.example"}, DNSNames: []string{"server.example"},
		NotBefore: puppetStart.Add(-24 * time.Hour), NotAfter: puppetStart.AddDate(100, 0, 0)}
	chain, err = x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = x509.MarshalPKCS8PrivateKey(signer); err != nil {
		t.Fatal(err)
	}
	return chain, key
}

func pemFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
