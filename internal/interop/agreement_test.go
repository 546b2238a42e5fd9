package interop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/conn"
	machine "gdtls/internal/handshake"
)

// match is a connection between us and a peer.
type match struct {
	ours   *side
	theirs session
	server bool // we are the server
}

// setup is how both sides are set up.
type setup struct{ client, server options }

// connected makes a connection. server tells that we are the server.
func connected(t *testing.T, p peer, server bool, o setup, wrappers ...wrapper) *match {
	t.Helper()
	m := begun(t, p, server, o, wrappers...)
	m.ours.mustHandshake(t)
	m.theirs.established(t)
	return m
}

// begun is connected before the handshake.
func begun(t *testing.T, p peer, server bool, o setup, wrappers ...wrapper) *match {
	t.Helper()
	note(t, p, server)
	theirs, ours := o.server, o.client
	if server {
		theirs, ours = ours, theirs
	}
	if reason := p.lacks(!server, theirs, ours); reason != "" {
		leave(t, p, reason)
	}
	if server {
		ours := newServer(t, o.server, wrappers...)
		return &match{ours, p.connect(t, ours.local, o.client), true}
	}
	s := p.serve(t, o.server)
	return &match{newClient(t, s.address(), o.client, wrappers...), s, false}
}

// exchange sends a message of each size in both directions.
func (m *match) exchange(t *testing.T, sizes ...int) {
	t.Helper()
	for _, size := range sizes {
		text := message("ours", size)
		m.ours.send(t, text)
		if m.theirs.echoes() {
			m.ours.expectPieces(t, text)
			continue
		}
		m.theirs.expect(t, text)
		text = message("theirs", size)
		m.theirs.send(t, text)
		m.ours.expect(t, text)
	}
}

// message is a line of a size, by which it can be told from others. It begins with
// no letter that the programs take for a command.
func message(from string, size int) string {
	text := fmt.Sprintf("data %s %d ", from, size)
	return text[:min(len(text), size-1)] + strings.Repeat("x", max(size-1-len(text), 0)) + "\n"
}

// certificates are options with which both sides are content.
func certificates(c *credential) setup {
	return setup{options{trust: testPKI().root, name: serverName}, options{credential: c}}
}

// usual is what tests that are not about certificates use.
func usual() setup { return certificates(testPKI().p256) }

func TestCertificates(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		k := testPKI()
		for name, c := range map[string]*credential{"P-256": k.p256, "P-384": k.p384, "Ed25519": k.ed25519, "RSA": k.rsa} {
			t.Run(name, func(t *testing.T) {
				m := connected(t, p, server, certificates(c))
				m.exchange(t, 20, 1000)
				if server {
					if got := m.ours.ServerName(); got != serverName {
						t.Errorf("client asked for %q", got)
					}
				} else if got := m.ours.PeerCertificate(); got == nil || !got.X509().Equal(c.chain[0]) || m.ours.PeerCertificateErrors() != 0 {
					t.Errorf("peer certificate %v with errors %v", got, m.ours.PeerCertificateErrors())
				}
			})
		}
	})
}

// isRFC8442 tells suites that OpenSSL and GnuTLS do not have.
func isRFC8442(suite string) bool { return strings.HasPrefix(suite, "TLS_ECDHE_PSK_WITH_AES_") }

func TestCiphersuites(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		for id := range 1 << 16 {
			suite := machine.SuiteByID(uint16(id))
			if suite == nil {
				continue
			}
			t.Run(suite.Name, func(t *testing.T) {
				o := usual()
				switch {
				case suite.PSK():
					o.client = options{psk: &psk{identity: "somebody", key: "0123456789abcdef0123"}}
					o.server = o.client
				case strings.Contains(suite.Name, "_RSA_"):
					o.server.credential = testPKI().rsa
				}
				o.client.suite, o.server.suite = suite.Name, suite.Name
				m := connected(t, p, server, o)
				m.exchange(t, 20, 1000)
				if got := m.ours.CiphersuiteName(); got != suite.Name {
					t.Errorf("cipher suite %s", got)
				}
			})
		}
	})
}

// TestGroups uses RSA certificates: OpenSSL's groups also bound the curves of
// certificates.
func TestGroups(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		for _, group := range []string{"x25519", "secp256r1", "secp384r1"} {
			t.Run(group, func(t *testing.T) {
				o := certificates(testPKI().rsa)
				o.client.group, o.server.group = group, group
				m := connected(t, p, server, o)
				m.exchange(t, 20)
			})
		}
	})
}

func TestSignatureSchemes(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		for name, scheme := range map[string]uint16{
			"rsa_pss_rsae_sha256": 0x0804, "rsa_pss_rsae_sha384": 0x0805, "rsa_pss_rsae_sha512": 0x0806,
			"rsa_pkcs1_sha256": 0x0401, "rsa_pkcs1_sha384": 0x0501, "rsa_pkcs1_sha512": 0x0601,
		} {
			t.Run(name, func(t *testing.T) {
				o := certificates(testPKI().plainRSA)
				o.client.signature, o.server.signature = name, name
				o.server.group = "x25519"
				o.client.group = "x25519"
				m := connected(t, p, server, o)
				m.exchange(t, 20)
				if got := m.ours.trace.serverScheme(); server && got != scheme {
					t.Errorf("signed by %04x, want %04x", got, scheme)
				}
			})
		}
	})
}

func TestClientCertificates(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		k := testPKI()
		for _, test := range []struct {
			name string
			auth conn.TlsAuthenticationMode
			give *credential
		}{
			{"required/ECDSA", conn.AuthenticationRequired, k.client},
			{"required/RSA", conn.AuthenticationRequired, k.clientRSA},
			{"required/Ed25519", conn.AuthenticationRequired, k.ed25519},
			{"requested/ECDSA", conn.AuthenticationRequested, k.client},
			{"requested/missing", conn.AuthenticationRequested, nil},
		} {
			t.Run(test.name, func(t *testing.T) {
				o := usual()
				o.server.auth, o.server.trust, o.client.credential = test.auth, k.root, test.give
				m := connected(t, p, server, o)
				m.exchange(t, 20)
				if server {
					got := m.ours.PeerCertificate()
					if (got != nil) != (test.give != nil) || got != nil && !got.X509().Equal(test.give.chain[0]) {
						t.Errorf("client showed %v", got)
					}
					return
				}
				if got := m.theirs.reported().subject; test.give != nil && got != nil && *got != test.give.chain[0].Subject.CommonName {
					t.Errorf("server saw %q", *got)
				}
				if m.ours.client.AcceptedCAs() == nil {
					t.Error("accepted-cas was not set")
				}
			})
		}
	})
}

func TestPSK(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		for name, hint := range map[string]string{"hint": "which one", "no hint": ""} {
			t.Run(name, func(t *testing.T) {
				o := options{psk: &psk{identity: "somebody", key: "00112233445566778899aabbccddeeff", hint: hint}}
				m := connected(t, p, server, setup{o, o})
				m.exchange(t, 20)
				if got := m.ours.PskIdentity(); string(got) != o.psk.identity {
					t.Errorf("identity %q", got)
				}
				if got := m.ours.PskIdentityHint(); !server && string(got) != hint {
					t.Errorf("hint %q", got)
				}
			})
		}
	})
}

func TestALPN(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		for _, test := range []struct {
			name           string
			client, server []string
			want           string
		}{
			{"match", []string{"coap", "echo"}, []string{"echo"}, "echo"},
			{"only the client", []string{"coap"}, nil, ""},
			{"only the server", nil, []string{"coap"}, ""},
		} {
			t.Run(test.name, func(t *testing.T) {
				o := usual()
				o.client.alpn, o.server.alpn = test.client, test.server
				m := connected(t, p, server, o)
				m.exchange(t, 20)
				if got := m.ours.NegotiatedProtocol(); got != test.want {
					t.Errorf("we have %q, want %q", got, test.want)
				}
				if got := m.theirs.reported().alpn; got != nil && *got != test.want {
					t.Errorf("peer has %q, want %q", *got, test.want)
				}
			})
		}
	})
}

// TestNoCommonProtocol has servers of three minds: ours goes on as Gio does, and so
// does GnuTLS; OpenSSL and pion refuse, as RFC 7301 3.2 has it.
func TestNoCommonProtocol(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		o := usual()
		o.client.alpn, o.server.alpn = []string{"coap"}, []string{"echo"}
		m := begun(t, p, server, o)
		err := m.ours.handshake()
		if !server && !p.traits().lenient {
			expectError(t, err, conn.ErrMisc, "peer sent fatal TLS alert: no_application_protocol")
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		m.theirs.established(t)
		m.exchange(t, 20)
		if got := m.ours.NegotiatedProtocol(); got != "" {
			t.Errorf("we have %q", got)
		}
	})
}

// expectError compares an error with a sentinel, and looks for a part of its text.
func expectError(t *testing.T, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v; want %v with %q", err, want, text)
	}
}

func TestServerName(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		t.Run("acknowledged", func(t *testing.T) {
			o := certificates(testPKI().plain)
			o.server.name = serverName
			m := connected(t, p, server, o)
			m.exchange(t, 20)
			if got := m.theirs.reported().serverName; got != nil && *got != serverName {
				t.Errorf("server was asked for %q", *got)
			}
			if p.traits().acknowledgesName && !server {
				if length, found := m.ours.trace.serverExtension(0); !found || length != 0 {
					t.Errorf("acknowledgement: found %v with %d bytes", found, length)
				}
			}
		})
		t.Run("address", func(t *testing.T) {
			o := usual()
			o.client.name, o.client.byAddress = "", true
			m := connected(t, p, server, o)
			m.exchange(t, 20)
			if got := m.ours.ServerName(); got != "" {
				t.Errorf("client asked for %q", got)
			}
		})
	})
}

func TestExtendedMasterSecret(t *testing.T) {
	const extension = 23
	play(t, func(t *testing.T, p peer, server bool) {
		for name, off := range map[string]bool{"on": false, "off": true} {
			t.Run(name, func(t *testing.T) {
				o := usual()
				o.client.noEMS, o.server.noEMS = off, off
				m := connected(t, p, server, o)
				m.exchange(t, 20)
				off := off || p.traits().neverEMS
				if _, used := m.ours.trace.serverExtension(extension); used == off {
					t.Errorf("in ServerHello: %v", used)
				}
				if got := m.theirs.reported().ems; got != nil && *got == off {
					t.Errorf("peer reports %v", *got)
				}
			})
		}
	})
}

func TestHelloVerifyRequest(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		o := usual()
		o.server.cookie = true
		m := connected(t, p, server, o)
		m.exchange(t, 20)
		if m.ours.trace.find(server, handshake.TypeHelloVerifyRequest) == nil {
			t.Error("no HelloVerifyRequest was sent")
		}
	})
}

// TestLongHello offers so many protocols that the hello is longer than OpenSSL's
// datagrams of 256 bytes, and than our smallest MTU. It must come in one piece all
// the same, since a server that keeps nothing before the cookie cannot put it together.
func TestLongHello(t *testing.T) {
	var protocols []string
	for i := range 8 { // the most that GnuTLS takes
		protocols = append(protocols, fmt.Sprintf("%d: a protocol with a long name", i))
	}
	play(t, func(t *testing.T, p peer, server bool) {
		o := usual()
		o.client.alpn, o.server.alpn, o.server.cookie = protocols, protocols[5:6], true
		if !server {
			o.client.mtu = 256
		}
		m := connected(t, p, server, o)
		m.exchange(t, 20)
		if got := m.ours.NegotiatedProtocol(); got != protocols[5] {
			t.Errorf("negotiated %q", got)
		}
	})
}

func TestAcceptedCAs(t *testing.T) {
	root := testPKI().root
	for role, server := range map[string]bool{"client": false, "server": true} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			o := usual()
			o.client.credential, o.server.trust, o.server.auth = testPKI().client, root, conn.AuthenticationRequired
			m := begun(t, openssl{}, server, o)
			if server {
				m.ours.server.SetAcceptedCAs([][]byte{root.RawSubject})
			}
			m.ours.mustHandshake(t)
			m.theirs.established(t)
			if server {
				m.theirs.expect(t, "Acceptable client certificate CA names\nCN = gdtls root\n")
			} else if got := m.ours.client.AcceptedCAs(); len(got) != 1 || string(got[0]) != string(root.RawSubject) {
				t.Errorf("accepted CAs %q", got)
			}
		})
	}
}

// TestSmallMTU makes both sides split their flights, or only ours if the peer cannot:
// RSA certificates do not fit.
func TestSmallMTU(t *testing.T) {
	const mtu = 300
	play(t, func(t *testing.T, p peer, server bool) {
		o := certificates(testPKI().rsa)
		o.client.credential, o.server.trust, o.server.auth = testPKI().clientRSA, testPKI().root, conn.AuthenticationRequired
		traits, theirs := p.traits(), mtu
		if traits.fixedMTU {
			theirs = 0
		}
		if o.client.mtu, o.server.mtu = mtu, theirs; server {
			o.client.mtu, o.server.mtu = theirs, mtu
		}
		m := connected(t, p, server, o)
		m.exchange(t, 20, 200)
		expectSplit := func(sent bool, most int) {
			if fragments, largest := m.ours.trace.fragments(sent); fragments < 4 || largest > most {
				t.Errorf("sent %v: %d fragments, in datagrams of up to %d bytes", sent, fragments, largest)
			}
		}
		expectSplit(true, mtu)
		if !traits.fixedMTU {
			expectSplit(false, mtu+traits.mtuSlack)
		}
	})
}

func TestSizes(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		o := usual()
		sizes := []int{2, 100, 1200}
		if !p.traits().fixedMTU {
			sizes = append(sizes, 1500, 4000)
			o.client.mtu, o.server.mtu = 8000, 8000
		}
		m := connected(t, p, server, o)
		m.exchange(t, sizes...)
	})
}

func TestClose(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		t.Run("ours", func(t *testing.T) {
			o := usual()
			m := connected(t, p, server, o)
			m.exchange(t, 20)
			if err := m.ours.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			m.theirs.expectClose(t)
		})
		t.Run("theirs", func(t *testing.T) {
			for attempt := 1; ; attempt++ {
				m := connected(t, p, server, usual())
				m.exchange(t, 20)
				if reason := m.theirs.closes(); reason != "" {
					leave(t, p, reason)
				}
				m.theirs.close(t)
				if !p.traits().losesClose || attempt == 3 {
					m.ours.expectClose(t)
					return
				}
				if _, n, err := m.ours.receiveWithin(briefly); n == 0 && err == nil {
					return
				}
			}
		})
	})
}
