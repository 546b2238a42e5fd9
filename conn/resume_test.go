package conn_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/internal/record"
	"gdtls/serverconn"
)

// family makes pairs whose clients share a cache, and whose servers share what they
// remember.
type family struct {
	cache    *conn.SessionCache
	sessions *serverconn.Sessions
	set      func(*pair) // for every pair
}

func newFamily() *family {
	return &family{cache: conn.NewSessionCache(0), sessions: serverconn.NewSessions(nil), set: func(*pair) {}}
}

func (f *family) pair(t testing.TB) *pair {
	t.Helper()
	return f.adopt(newPair(t))
}

func (f *family) adopt(p *pair) *pair {
	p.client.SetSessionCache(f.cache)
	p.server.SetSessions(f.sessions)
	f.set(p)
	return p
}

// meet makes a pair and its handshake, and asserts whether it resumed a session.
func (f *family) meet(t testing.TB, resumed bool, set ...func(*pair)) *pair {
	t.Helper()
	p := f.pair(t)
	for _, set := range set {
		set(p)
	}
	mustHandshake(t, p)
	if p.client.IsResumed() != resumed || p.server.IsResumed() != resumed {
		t.Fatalf("resumed: client %v, server %v, want %v", p.client.IsResumed(), p.server.IsResumed(), resumed)
	}
	return p
}

// A client resumes its session without asking handlers again, and knows afterwards
// what it would know after a full handshake (G196).
func TestResumption(t *testing.T) {
	f := newFamily()
	f.set = func(p *pair) {
		p.client.SetAdvertisedProtocols([]string{"a"})
		p.server.SetAdvertisedProtocols([]string{"a"})
	}
	first := f.meet(t, false)
	var notified []string
	second := f.meet(t, true, func(p *pair) {
		p.client.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool {
			t.Error("accept-certificate was emitted")
			return false
		})
		p.client.ConnectNotify("", func(_ *conn.DtlsConnection, property string) { notified = append(notified, property) })
	})
	converse(t, second)
	if want := []string{"peer-certificate", "peer-certificate-errors", "negotiated-protocol", "protocol-version", "ciphersuite-name"}; !slices.Equal(notified, want) {
		t.Errorf("notified %v, want %v", notified, want)
	}
	if c := second.client; !c.PeerCertificate().IsSame(serverCert()) || c.PeerCertificateErrors() != 0 || c.NegotiatedProtocol() != "a" ||
		c.CiphersuiteName() != first.client.CiphersuiteName() {
		t.Errorf("afterwards: %v, %v, %q, %s", c.PeerCertificate(), c.PeerCertificateErrors(), c.NegotiatedProtocol(), c.CiphersuiteName())
	}
	f.meet(t, true)
}

func TestResumptionWithKey(t *testing.T) {
	f := newFamily()
	f.set = func(p *pair) { p.usesPSK() }
	f.meet(t, false)
	p := f.meet(t, true)
	if string(p.server.PskIdentity()) != "me" || string(p.client.PskIdentity()) != "me" {
		t.Errorf("identities %q and %q", p.client.PskIdentity(), p.server.PskIdentity())
	}
	f.set = func(p *pair) {
		p.client.ConnectPskRequired(giveKey("me", "another key"))
		p.server.ConnectPskRequired(giveKey("", "another key"))
	}
	f.meet(t, false)
	f.meet(t, true)
}

// A server that has accepted a client resumes its session without asking again, as
// long as its certificate is no worse than it was.
func TestResumptionWithClientCertificate(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		f := newFamily()
		asked := 0
		f.set = func(p *pair) {
			p.client.SetCertificate(clientCert())
			p.server.SetAuthenticationMode(conn.AuthenticationRequired)
			if !trusted {
				p.server.SetDatabase(nil)
			}
			p.server.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool {
				asked++
				return true
			})
		}
		first := f.meet(t, false)
		p := f.meet(t, true)
		if asked != 1 {
			t.Errorf("handler was asked %d times", asked)
		}
		if !p.server.PeerCertificate().IsSame(clientCert()) || p.server.PeerCertificateErrors() != first.server.PeerCertificateErrors() {
			t.Errorf("server knows %v, %v", p.server.PeerCertificate(), p.server.PeerCertificateErrors())
		}
		f.meet(t, !trusted, func(p *pair) { p.server.SetDatabase(nil) })
		f.meet(t, false, func(p *pair) { p.client.SetCertificate(testCA().Leaf(t).Certificate(t)) })
		f.meet(t, false, func(p *pair) { p.server.SetAuthenticationMode(conn.AuthenticationNone) })
	}
}

// What today's client would not accept by itself is not resumed.
func TestNotResumed(t *testing.T) {
	accepting := func(p *pair) {
		p.client.SetDatabase(nil)
		p.client.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool { return true })
	}
	lenient := func(p *pair) {
		p.client.SetDatabase(nil)
		p.client.SetValidationFlags(0)
	}
	for name, test := range map[string]struct {
		first, second func(*pair)
		resumed       bool
	}{
		"accepted by a handler":  {accepting, accepting, false},
		"not validated":          {lenient, lenient, true},
		"less is trusted":        {nil, accepting, false},
		"not enabled, client":    {nil, func(p *pair) { p.client.SetSessionResumptionEnabled(false) }, false},
		"not enabled, server":    {nil, func(p *pair) { p.server.SetSessionResumptionEnabled(false) }, false},
		"not enabled at first":   {func(p *pair) { p.client.SetSessionResumptionEnabled(false) }, nil, false},
		"no cache":               {nil, func(p *pair) { p.client.SetSessionCache(nil) }, false},
		"server remembers none":  {nil, func(p *pair) { p.server.SetSessions(nil) }, false},
		"other identity":         {nil, func(p *pair) { p.client.SetServerIdentity(conn.ParseIdentity("127.0.0.1")) }, false},
		"no identity":            {lenient, func(p *pair) { lenient(p); p.client.SetServerIdentity(nil) }, false},
		"other port":             {nil, func(p *pair) { p.client.SetServerIdentity(conn.ParseIdentity("server.example:1")) }, false},
		"own certificate":        {nil, func(p *pair) { p.client.SetCertificate(clientCert()) }, false},
		"other server's keys":    {nil, func(p *pair) { p.server.SetSessions(serverconn.NewSessions(nil)) }, false},
		"other suite":            {nil, func(p *pair) { _ = p.client.SetCiphersuites("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384") }, false},
		"other certificate":      {nil, func(p *pair) { p.server.SetCertificate(testCA().Leaf(t).Certificate(t)) }, false},
		"nothing that matters":   {nil, func(p *pair) { p.client.SetDatabase(conn.NewDatabaseFromCertificates(testCA().Certificate(t))) }, true},
		"enabled as it had been": {nil, func(p *pair) { p.client.SetSessionResumptionEnabled(true) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFamily()
			set := []func(*pair){test.first}
			if test.first == nil {
				set = nil
			}
			f.meet(t, false, set...)
			set = []func(*pair){test.second}
			if test.second == nil {
				set = nil
			}
			f.meet(t, test.resumed, set...)
		})
	}
	p := newPair(t)
	if p.client.SetSessionResumptionEnabled(false); p.client.SessionResumptionEnabled() || !p.server.SessionResumptionEnabled() {
		t.Error("session-resumption-enabled is not what was set")
	}
}

// Nodes with the same ticket keys resume each other's sessions.
func TestResumptionAcrossNodes(t *testing.T) {
	one, two := [32]byte{1}, [32]byte{2}
	node := func(keys ...[32]byte) func(*pair) {
		s := serverconn.NewSessions(nil)
		s.SetTicketKeys(keys...)
		return func(p *pair) { p.server.SetSessions(s) }
	}
	f := newFamily()
	f.meet(t, false, node(one))
	f.meet(t, true, node(one))
	f.meet(t, true, node(two, one))
	f.meet(t, false, node(two))
	f.meet(t, true, node(two))
}

// A session lives ten minutes from its full handshake, however often it is resumed
// (G213), and as long as the server says.
func TestResumptionExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFamily()
		f.meet(t, false)
		for range 3 {
			time.Sleep(3 * time.Minute)
			f.meet(t, true)
		}
		time.Sleep(time.Minute)
		f.meet(t, false)
		f.sessions.SetLifetime(time.Minute)
		f.cache.Clear()
		f.meet(t, false)
		time.Sleep(59 * time.Second)
		f.meet(t, true)
		time.Sleep(time.Second)
		f.meet(t, false)
	})
}

// losing is a base that loses one of the datagrams that are sent.
type losing struct {
	datagram.DatagramBased
	lose int64
	sent atomic.Int64
}

func (l *losing) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	for i := range messages {
		if l.sent.Add(1) == l.lose {
			return i + 1, nil
		}
		if n, err := l.DatagramBased.SendMessages(ctx, messages[i:i+1], flags, timeout); n != 1 || err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

// A client that comes with a ticket to the address where it got it needs no cookie, also
// when the server's answer is lost and both repeat themselves.
func TestResumptionWithoutCookie(t *testing.T) {
	f := newFamily()
	meet := func(lose int64, want ...string) {
		t.Helper()
		a, b := udpPair(t)
		p := f.adopt(newPairOver(t, a, &losing{DatagramBased: b, lose: lose}))
		var got []string
		p.client.SetHandshakeObserver(func(e conn.HandshakeEvent) {
			if e.Kind == "message" {
				got = append(got, e.Messages...)
			}
		})
		mustHandshake(t, p)
		converse(t, p)
		resumed := len(want) <= 3
		if !slices.Equal(got, want) || p.client.IsResumed() != resumed || p.server.IsResumed() != resumed {
			t.Errorf("resumed %v: client got %q, want %q", p.client.IsResumed(), got, want)
		}
	}
	meet(0, "HelloVerifyRequest", "ServerHello", "Certificate", "ServerKeyExchange", "ServerHelloDone", "NewSessionTicket", "Finished")
	for lose := range int64(2) {
		meet(lose, "ServerHello", "Finished")
	}
	f.sessions.SetCookieAlways(true)
	meet(0, "HelloVerifyRequest", "ServerHello", "Finished")
}

// When a session is resumed, the client's Finished is the last datagram of all. Its
// connection repeats it for a server that missed it, while it is read from.
func TestResumptionLosesLastFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFamily()
		f.meet(t, false)
		a, b := datagram.NewPipe()
		base := &losing{DatagramBased: a, lose: 3} // two hellos, Finished
		p := f.adopt(newPairOver(t, base, b))
		client, server := make(chan error, 1), make(chan error, 1)
		go func() { server <- p.server.Handshake(background) }()
		if err := p.client.Handshake(background); err != nil || !p.client.IsResumed() {
			t.Fatalf("%v, resumed %v", err, p.client.IsResumed())
		}
		go func() {
			text, _, err := receiveOne(p.client, patience)
			if text != "x" && err == nil {
				err = fmt.Errorf("received %q", text)
			}
			client <- err
		}()
		if err := <-server; err != nil {
			t.Fatal(err)
		}
		send(t, p.server, "x")
		if err := <-client; err != nil {
			t.Fatal(err)
		}
	})
}

// A session with which a handshake failed is not offered again.
func TestFailedResumption(t *testing.T) {
	f := newFamily()
	f.meet(t, false)
	p := f.pair(t)
	p.server.SetCertificate(clientCert()) // not the one of the session
	if err := p.server.SetCiphersuites("TLS_PSK_WITH_AES_128_GCM_SHA256"); err != nil {
		t.Fatal(err)
	}
	client, server := p.handshake(t)
	wantTLS(t, client, conn.TlsErrorMisc)
	wantTLS(t, server, conn.TlsErrorMisc)
	f.meet(t, false)
}

// What happens in a handshake is told in its order, by whichever side observes.
func TestHandshakeObserver(t *testing.T) {
	var told []string
	p := newPair(t)
	p.client.SetHandshakeObserver(func(e conn.HandshakeEvent) {
		text := e.Kind
		if e.Kind == "alert" {
			text += " " + e.Alert
		}
		if e.Question != "" {
			text += " " + e.Question
		}
		if e.Err != nil {
			text += " " + e.Err.Error()
		}
		if e.Time.IsZero() {
			t.Errorf("%s: no time", text)
		}
		told = append(told, text)
	})
	p.client.SetDatabase(nil)
	client, _ := p.handshake(t)
	wantTLS(t, client, conn.TlsErrorBadCertificate)
	want := []string{"flight", "message", "flight", "message", "message", "message", "message",
		"question verdict on the peer's certificate", "answer verdict on the peer's certificate",
		"alert unknown_ca", "failed unacceptable TLS certificate: UNKNOWN_CA"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// A server drops a session that it keeps by its id when the connection ends with a
// fatal alert, whether that began the session or resumed it (RFC 5246 7.2.2). A ticket
// is the client's.
func TestFatalAlertEndsStoredSession(t *testing.T) {
	long := make([]string, 20) // too long for a ticket
	for i := range long {
		long[i] = fmt.Sprintf("%s-%d.example", strings.Repeat("long", 10), i)
	}
	for name, certificate := range map[string]*conn.TlsCertificate{
		"by id":     testCA().Leaf(t, conn.TestNames(long)).Certificate(t),
		"by ticket": clientCert(),
	} {
		for after := range 3 { // this many connections comes the alert, 0: never
			t.Run(fmt.Sprintf("%s, %d", name, after), func(t *testing.T) {
				f := newFamily()
				f.set = func(p *pair) {
					p.client.SetCertificate(certificate)
					p.server.SetAuthenticationMode(conn.AuthenticationRequired)
					p.server.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool { return true })
					if err := p.client.SetCiphersuites("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"); err != nil {
						t.Fatal(err)
					}
				}
				for i := 1; i <= max(after, 2); i++ {
					p := f.meet(t, i > 1)
					if i == after {
						c, u := puppetAfter(t, true, p)
						u.send(t, u.seal(t, record.TypeAlert, "\x02\x14"))
						_, _, err := receiveOne(c, -1)
						wantTLS(t, err, conn.TlsErrorMisc)
						break
					}
				}
				f.meet(t, after == 0 || name == "by ticket")
			})
		}
	}
}

// A session whose connection ended with a fatal alert is not resumed (RFC 5246 7.2.2).
func TestFatalAlertEndsSession(t *testing.T) {
	for _, fatal := range []bool{false, true} {
		f := newFamily()
		f.set = func(p *pair) { p.usesPSK() }
		c, u := puppetOf(t, false, f.pair(t))
		if fatal {
			u.send(t, u.seal(t, record.TypeAlert, "\x02\x14"))
			_, _, err := receiveOne(c, -1)
			wantTLS(t, err, conn.TlsErrorMisc)
		}
		f.meet(t, !fatal, func(p *pair) {
			for _, c := range p.both() {
				if err := c.SetCiphersuites("TLS_PSK_WITH_AES_128_GCM_SHA256"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
