package conn_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
)

// The scenarios of glib-networking's tls/tests/connection.c under their names (G217),
// as far as they have a meaning for datagrams. Here each is as short as it can be;
// other tests go into the details. Scenarios of streams that are not here:
// readwrite-after-connection-destroyed and socket-client*.
func TestUpstreamConnectionScenarios(t *testing.T) {
	root := testCA()
	accept := func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool { return true }
	// meets makes a pair that shows the server's chain, and tells what the client
	// thinks of it.
	meets := func(t *testing.T, server *conn.TlsCertificate, database conn.TlsDatabase) (*pair, error) {
		p := newPair(t)
		p.server.SetCertificate(server)
		p.client.SetDatabase(database)
		client, _ := p.handshake(t)
		return p, client
	}
	verified := func(chain func(*testing.T) *conn.TlsCertificate, trusted func(*testing.T) *conn.TlsCertificate) func(*testing.T) {
		return func(t *testing.T) {
			p, err := meets(t, chain(t), conn.NewDatabaseFromCertificates(trusted(t)))
			if err != nil {
				t.Fatal(err)
			}
			converse(t, p)
		}
	}
	authenticates := func(mode conn.TlsAuthenticationMode, set func(*pair), want func(client, server error) bool) func(*testing.T) {
		return func(t *testing.T) {
			p := newPair(t)
			p.server.SetAuthenticationMode(mode)
			p.server.ConnectAcceptCertificate(accept)
			set(p)
			if client, server := p.handshake(t); !want(client, server) {
				t.Errorf("client %v, server %v", client, server)
			}
		}
	}
	fine := func(client, server error) bool { return client == nil && server == nil }
	required := func(client, server error) bool {
		return errors.Is(client, conn.ErrCertificateRequired) && errors.Is(server, conn.ErrCertificateRequired)
	}
	const demanded, asked = conn.AuthenticationRequired, conn.AuthenticationRequested
	declined := errors.New("declined")
	interaction := func(certificate *conn.TlsCertificate, err error) conn.TlsInteraction {
		return asker{certificate: func(_ context.Context, c *conn.DtlsConnection, _ conn.TlsCertificateRequestFlags) (conn.TlsInteractionResult, error) {
			if err != nil {
				return conn.InteractionFailed, err
			}
			c.SetCertificate(certificate)
			return conn.InteractionHandled, nil
		}}
	}

	middle := root.Intermediate(t, "middle")
	leaf := middle.Leaf(t)
	otherRoot := conn.NewTestCA(t, "other root")
	middleByOther := middle.CrossSignedBy(t, otherRoot)
	cyclicA := conn.NewTestCA(t, "A")
	cyclicB := cyclicA.Intermediate(t, "B")
	cyclicAByB := cyclicA.CrossSignedBy(t, cyclicB)
	shows := func(above ...*conn.TestAuthority) func(*testing.T) *conn.TlsCertificate {
		return func(t *testing.T) *conn.TlsCertificate { return leaf.Certificate(t, above...) }
	}
	trusts := func(ca *conn.TestAuthority) func(*testing.T) *conn.TlsCertificate {
		return func(t *testing.T) *conn.TlsCertificate { return ca.Certificate(t) }
	}
	alpn := func(client, server []string, want string) func(*testing.T) {
		return func(t *testing.T) {
			p := newPair(t)
			p.client.SetAdvertisedProtocols(client)
			p.server.SetAdvertisedProtocols(server)
			mustHandshake(t, p)
			if a, b := p.client.NegotiatedProtocol(), p.server.NegotiatedProtocol(); a != want || b != want {
				t.Errorf("negotiated %q and %q", a, b)
			}
		}
	}
	binding := func(kind conn.TlsChannelBindingType) func(*testing.T) {
		return func(t *testing.T) { bothBindings(t, connected(t), kind) }
	}

	for name, scenario := range map[string]func(*testing.T){
		"basic": func(t *testing.T) {
			p := newPair(t)
			p.client.SetValidationFlags(0)
			mustHandshake(t, p)
			converse(t, p)
		},
		"verified":       verified(func(*testing.T) *conn.TlsCertificate { return serverCert() }, trusts(root)),
		"verified-chain": verified(shows(middle), trusts(root)),
		"verified-chain-with-redundant-root-cert":   verified(shows(middle, root), trusts(root)),
		"verified-chain-with-duplicate-server-cert": verified(shows(leaf, middle), trusts(root)),
		"verified-unordered-chain":                  verified(shows(root, middle), trusts(root)),
		"verified-chain-with-alternative-ca-cert":   verified(shows(middle, middleByOther), trusts(otherRoot)),
		"invalid-chain-with-alternative-ca-cert": func(t *testing.T) {
			_, err := meets(t, leaf.Certificate(t), conn.NewDatabaseFromCertificates(otherRoot.Certificate(t)))
			wantTLS(t, err, conn.TlsErrorBadCertificate)
		},
		"cyclic-chain": func(t *testing.T) {
			p := newPair(t)
			p.server.SetCertificate(cyclicB.Leaf(t).Certificate(t, cyclicB, cyclicAByB))
			p.client.ConnectAcceptCertificate(accept)
			mustHandshake(t, p)
			if flags := p.client.PeerCertificateErrors(); flags != unknownCA {
				t.Errorf("flags are %v", flags)
			}
		},

		"client-auth":         authenticates(demanded, func(p *pair) { p.client.SetCertificate(clientCert()) }, fine),
		"client-auth-failure": authenticates(demanded, func(*pair) {}, required),
		"client-auth-fail-missing-client-private-key": authenticates(demanded, func(p *pair) {
			p.client.SetCertificate(root.Leaf(t).PublicCertificate(t))
		}, required),
		"client-auth-request-cert": authenticates(demanded, func(p *pair) { p.client.SetInteraction(interaction(clientCert(), nil)) }, fine),
		"client-auth-request-fail": authenticates(demanded, func(p *pair) { p.client.SetInteraction(interaction(nil, declined)) },
			func(client, server error) bool {
				return client == declined && errors.Is(server, conn.ErrCertificateRequired)
			}),
		"client-auth-request-none": authenticates(asked, func(*pair) {}, fine),
		"client-auth-pkcs11": func(t *testing.T) {
			_, err := conn.NewCertificateFromPKCS11URIs("pkcs11:object=mine", "")
			wantIO(t, err, datagram.CodeNotSupported)
		},

		"no-database": func(t *testing.T) {
			p := newPair(t)
			p.client.SetDatabase(nil)
			p.client.ConnectAcceptCertificate(func(_ *conn.DtlsConnection, _ *conn.TlsCertificate, errors conn.TlsCertificateFlags) bool {
				return errors == unknownCA
			})
			mustHandshake(t, p)
		},
		"failed": func(t *testing.T) {
			p := newPair(t)
			p.client.SetDatabase(conn.NewDatabaseFromCertificates())
			server := p.server.HandshakeAsync(background, 0, nil)
			wantTLS(t, p.client.HandshakeFinish(p.client.HandshakeAsync(background, 0, nil)), conn.TlsErrorBadCertificate)
			if err := p.server.HandshakeFinish(server); err == nil {
				t.Error("server has not noticed")
			}
		},
		"read-time-out-then-write": func(t *testing.T) {
			p := connected(t)
			_, _, err := receiveOne(p.client, time.Millisecond)
			wantIO(t, err, datagram.CodeTimedOut)
			converse(t, p)
		},
		"simultaneous-sync": func(t *testing.T) {
			p := connected(t)
			const messages = 100
			errs := make(chan error, 4)
			for _, c := range p.both() {
				go func() {
					for range messages {
						if err := sendOne(c, patience); err != nil {
							errs <- err
							return
						}
					}
					errs <- nil
				}()
				go func() {
					_, err := c.ReceiveMessages(background, room(messages, 10), 0, patience)
					errs <- err
				}()
			}
			for range 4 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
		},
		"simultaneous-async": func(t *testing.T) {
			p := connected(t)
			got := make(chan string, 2)
			for _, c := range p.both() {
				source := c.CreateSource(background, datagram.In)
				defer source.Destroy()
				source.Attach(func(c datagram.DatagramBased, _ datagram.IOCondition) bool {
					if text, n, _ := receiveOne(c, 0); n == 1 {
						got <- text
					}
					return datagram.SourceContinue
				})
			}
			for _, c := range p.both() {
				send(t, c, "x")
			}
			for range 2 {
				<-got
			}
		},
		"close-immediately": func(t *testing.T) {
			p := newPair(t)
			for _, c := range p.both() {
				if err := c.CloseFinish(c.CloseAsync(background, 0, nil)); err != nil {
					t.Error(err)
				}
			}
		},
		"unclean-close-by-server": func(t *testing.T) {
			for _, strict := range []bool{true, false} {
				p := connected(t)
				p.client.SetRequireCloseNotify(strict)
				if err := p.server.BaseSocket().(*datagram.Pipe).Close(); err != nil {
					t.Fatal(err)
				}
				_, n, err := receiveOne(p.client, patience)
				if n != 0 || errors.Is(err, conn.ErrEOF) != strict || !strict && err != nil {
					t.Errorf("required %v: %d, %v", strict, n, err)
				}
			}
		},
		"async-implicit-handshake": func(t *testing.T) {
			p := newPair(t)
			_, _, err := receiveOne(p.client, 0)
			wantIO(t, err, datagram.CodeWouldBlock)
			send(t, p.server, "x")
			source := p.client.CreateSource(background, datagram.In)
			defer source.Destroy()
			condition := <-source.C()
			if condition != datagram.In {
				t.Errorf("source has %v", condition)
			}
			receive(t, p.client, "x")
		},
		"output-stream-close": func(t *testing.T) {
			p := connected(t)
			for range 2 {
				if err := p.client.Shutdown(background, false, true); err != nil {
					t.Error(err)
				}
			}
			wantIO(t, sendOne(p.client, 0), datagram.CodeClosed)
			send(t, p.server, "x")
			receive(t, p.client, "x")
		},
		"garbage-database": func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "garbage.pem")
			if err := os.WriteFile(name, []byte("garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := conn.NewFileDatabase(name)
			wantTLS(t, err, conn.TlsErrorMisc)
			_, err = meets(t, serverCert(), nil)
			wantTLS(t, err, conn.TlsErrorBadCertificate)
		},

		"alpn/match":       alpn([]string{"foo", "bar"}, []string{"bar", "foo"}, "foo"),
		"alpn/no-match":    alpn([]string{"foo"}, []string{"bar"}, ""),
		"alpn/client-only": alpn([]string{"foo"}, nil, ""),
		"alpn/server-only": alpn(nil, []string{"foo"}, ""),

		"sync-op-during-handshake": func(t *testing.T) {
			p := newPair(t)
			p.client.SetDatabase(nil)
			p.client.ConnectAcceptCertificate(func(c *conn.DtlsConnection, _ *conn.TlsCertificate, _ conn.TlsCertificateFlags) bool {
				wantIO(t, c.Close(background), datagram.CodeFailed)
				return true
			})
			mustHandshake(t, p)
		},
		"socket-timeout": func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPair(t)
				p.client.SetHandshakePatience(time.Second)
				wantIO(t, p.client.Handshake(background), datagram.CodeTimedOut)
			})
		},
		"missing-server-identity": func(t *testing.T) {
			p := newPair(t)
			p.client.SetServerIdentity(nil)
			client, _ := p.handshake(t)
			wantTLS(t, client, conn.TlsErrorBadCertificate)
			p = newPair(t)
			p.client.SetServerIdentity(nil)
			p.client.SetValidationFlags(conn.CertificateValidateAll &^ badIdentity)
			mustHandshake(t, p)
		},
		"peer-certificate-notify": func(t *testing.T) {
			p := newPair(t)
			p.client.SetDatabase(nil)
			var notified []string
			p.client.ConnectNotify(conn.PropertyPeerCertificate, func(_ *conn.DtlsConnection, property string) { notified = append(notified, property) })
			p.client.ConnectAcceptCertificate(func(c *conn.DtlsConnection, _ *conn.TlsCertificate, _ conn.TlsCertificateFlags) bool {
				if len(notified) != 0 || c.PeerCertificate() != nil {
					t.Error("notified before the handler has decided")
				}
				return false
			})
			client, _ := p.handshake(t)
			wantTLS(t, client, conn.TlsErrorBadCertificate)
			if len(notified) != 1 || p.client.PeerCertificate() == nil {
				t.Errorf("notified %v", notified)
			}
		},
		"binding/match-tls-unique":           binding(conn.ChannelBindingTLSUnique),
		"binding/match-tls-server-end-point": binding(conn.ChannelBindingTLSServerEndPoint),
		"binding/match-tls-exporter":         binding(conn.ChannelBindingTLSExporter),
		"tls-info": func(t *testing.T) {
			p := newPair(t)
			if p.client.ProtocolVersion() != conn.ProtocolUnknown || p.client.CiphersuiteName() != "" {
				t.Error("known before the handshake")
			}
			mustHandshake(t, p)
			if p.client.ProtocolVersion() != conn.ProtocolDTLS12 || p.client.CiphersuiteName() == "" {
				t.Error("not known after the handshake")
			}
		},
		"session/resume_multiple_times": func(t *testing.T) {
			f := newFamily()
			f.meet(t, false)
			for range 3 {
				converse(t, f.meet(t, true))
			}
		},
		"session/reuse_ten_minute_expiry": func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFamily()
				f.meet(t, false)
				time.Sleep(9 * time.Minute)
				f.meet(t, true)
				time.Sleep(time.Minute + time.Second) // not put off by use
				f.meet(t, false)
			})
		},
	} {
		t.Run(name, scenario)
	}
}
