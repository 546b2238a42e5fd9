package serverconn_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// link carries datagrams between two engines.
type link struct {
	t      testing.TB
	client *clientconn.DtlsClientEngine
	server *serverconn.DtlsServerEngine
	drop   func(fromClient bool, d []byte) bool // nil: none
}

func newLink(t testing.TB, psk bool) *link {
	t.Helper()
	client, err := clientconn.NewDtlsClientEngine(conn.NetworkAddress{Hostname: "server.example"})
	if err != nil {
		t.Fatal(err)
	}
	c := client.Connection()
	c.SetSessionResumptionEnabled(false)
	c.SetDatabase(conn.NewDatabaseFromCertificates(testCertificate()))
	server, err := serverconn.NewDtlsServerEngine(testCertificate(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SetPeer(clientAddress); err != nil {
		t.Fatal(err)
	}
	if psk {
		c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			a.SetIdentity([]byte("somebody"))
			a.SetPreSharedKey(testKey)
		})
		_ = c.SetCiphersuites("TLS_PSK_WITH_AES_128_GCM_SHA256")
		_ = configureTest(server.Connection())
	}
	return &link{t: t, client: client, server: server}
}

// copies takes what an engine has to send.
func copies(output [][]byte) (out [][]byte) {
	for _, d := range output {
		out = append(out, bytes.Clone(d))
	}
	return out
}

// shake moves datagrams until nothing more moves, and gives the first error of each.
func (l *link) shake() (clientErr, serverErr error) {
	l.t.Helper()
	give := func(err *error, engine *conn.DtlsEngine, d []byte) {
		var next error
		switch engine.HandshakeState() {
		case conn.HandshakeComplete:
			_, next = engine.DecryptDatagram(d)
		default:
			next = engine.DoHandshake(d)
		}
		if *err == nil {
			*err = next
		}
	}
	for range 100 {
		up, down := copies(l.client.Output()), copies(l.server.Output())
		if len(up)+len(down) == 0 {
			return clientErr, serverErr
		}
		for _, d := range up {
			if l.drop == nil || !l.drop(true, d) {
				give(&serverErr, l.server.DtlsEngine, d)
			}
		}
		for _, d := range down {
			if l.drop == nil || !l.drop(false, d) {
				give(&clientErr, l.client.DtlsEngine, d)
			}
		}
	}
	l.t.Fatal("the handshake does not end")
	return nil, nil
}

func (l *link) mustShake() {
	l.t.Helper()
	if err := l.client.DoHandshake(nil); err != nil {
		l.t.Fatal(err)
	}
	if c, s := l.shake(); c != nil || s != nil {
		l.t.Fatal(c, s)
	}
	if !l.client.IsConnectionEncrypted() || !l.server.IsConnectionEncrypted() {
		l.t.Fatalf("client %v, server %v", l.client.HandshakeState(), l.server.HandshakeState())
	}
}

func wantCode(t *testing.T, err error, want conn.EngineErrorCode) {
	t.Helper()
	var e *conn.EngineError
	if !errors.As(err, &e) || e.Code != want {
		t.Errorf("%v, want %v", err, want)
	}
}

// talk sends a message and wants it on the other side.
func talk(t *testing.T, from, to *conn.DtlsEngine, text string) {
	t.Helper()
	if err := from.WriteDatagramEncrypted([]byte(text)); err != nil {
		t.Fatal(err)
	}
	out := from.Output()
	if len(out) != 1 {
		t.Fatalf("%d datagrams", len(out))
	}
	got, err := to.DecryptDatagram(out[0])
	if err != nil || len(got) != 1 || string(got[0]) != text {
		t.Fatalf("%q, %v; want %q", got, err, text)
	}
}

func TestEngine(t *testing.T) {
	for _, psk := range []bool{true, false} {
		l := newLink(t, psk)
		client, server := l.client.DtlsEngine, l.server.DtlsEngine
		wantCode(t, client.WriteDatagramEncrypted([]byte("early")), conn.EngineInvalidOperation)
		if _, err := client.DecryptDatagram([]byte("early")); err == nil {
			t.Error("decrypts before the handshake")
		}
		wantCode(t, client.Shutdown(), conn.EngineInvalidOperation)
		wantCode(t, client.AbortHandshake(), conn.EngineInvalidOperation)
		wantCode(t, client.ResumeHandshake(), conn.EngineInvalidOperation)
		wantCode(t, client.HandleTimeout(), conn.EngineInvalidOperation)
		l.mustShake()
		wantCode(t, server.SetPeer(clientAddress), conn.EngineInvalidOperation)
		wantCode(t, client.DoHandshake(nil), conn.EngineInvalidOperation)
		if !client.Deadline().IsZero() || l.client.Connection().CiphersuiteName() == "" || l.server.PeerAddress() != clientAddress {
			t.Error(client.Deadline(), l.client.Connection().CiphersuiteName(), l.server.PeerAddress())
		}
		talk(t, client, server, "hello")
		talk(t, server, client, "and hello to you")

		// What is of no use, and what is too much.
		_ = client.WriteDatagramEncrypted([]byte("once"))
		once := copies(client.Output())[0]
		forged := bytes.Clone(once)
		forged[len(forged)-1]++
		_, err := server.DecryptDatagram(forged)
		wantCode(t, err, conn.EngineTlsNonFatal)
		two := append(bytes.Clone(once), func() []byte { _ = client.WriteDatagramEncrypted([]byte("twice")); return client.Output()[0] }()...)
		if got, err := server.DecryptDatagram(two); err != nil || len(got) != 2 || string(got[0])+string(got[1]) != "oncetwice" {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := server.DecryptDatagram(once); len(got) != 0 || err != nil {
			t.Errorf("a repetition: %q, %v", got, err)
		}
		wantCode(t, client.WriteDatagramEncrypted(make([]byte, 20_000)), conn.EngineInvalidInputParameters)
		wantCode(t, client.SetMtuHint(1), conn.EngineInvalidInputParameters)
		if err := client.SetMtuHint(600); err != nil || client.MtuHint() != 600 {
			t.Error(err, client.MtuHint())
		}

		// The end.
		if err := client.Shutdown(); err != nil {
			t.Fatal(err)
		}
		_, err = server.DecryptDatagram(client.Output()[0])
		wantCode(t, err, conn.EngineRemoteClosedConnection)
		if err := server.Shutdown(); err != nil || len(server.Output()) != 1 || server.IsConnectionEncrypted() || client.HandshakeState() != conn.HandshakeNotStarted {
			t.Error(err, server.HandshakeState(), client.HandshakeState())
		}
		wantCode(t, client.DoHandshake(nil), conn.EngineTlsFatal)
	}
}

// A server keeps nothing before the cookie, and begins with what a verifier has verified.
func TestEngineVerifiedHello(t *testing.T) {
	l := newLink(t, true)
	v := serverconn.NewClientVerifier()
	if err := l.client.DoHandshake(nil); err != nil {
		t.Fatal(err)
	}
	first := copies(l.client.Output())
	if err := l.server.DoHandshake(bytes.Clone(first[0])); err != nil || l.server.HandshakeState() != conn.HandshakeNotStarted || len(l.server.Output()) != 1 {
		t.Error(err, l.server.HandshakeState())
	}
	_, reply, err := v.VerifyClient(first[0], clientAddress)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.client.DoHandshake(reply); err != nil {
		t.Fatal(err)
	}
	if ok, _, err := v.VerifyClient(l.client.Output()[0], clientAddress); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if l.server, err = serverconn.NewDtlsServerEngine(nil, v.VerifiedHello()); err != nil {
		t.Fatal(err)
	}
	_ = configureTest(l.server.Connection())
	if err := l.server.DoHandshake(nil); err != nil || l.server.HandshakeState() != conn.HandshakeInProgress {
		t.Fatal(err, l.server.HandshakeState())
	}
	if c, s := l.shake(); c != nil || s != nil {
		t.Fatal(c, s)
	}
	talk(t, l.client.DtlsEngine, l.server.DtlsEngine, "verified")

	lost, err := serverconn.NewDtlsServerEngine(testCertificate(), nil)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, lost.DoHandshake(first[0]), conn.EngineInvalidOperation)
	wantCode(t, lost.SetPeer(datagram.Address{}), conn.EngineInvalidInputParameters)
}

// A certificate that is not in order holds the handshake up, until it is decided.
func TestEnginePeerVerification(t *testing.T) {
	failed := func() *link {
		l := newLink(t, false)
		l.client.Connection().SetDatabase(nil)
		_ = l.client.DoHandshake(nil)
		c, s := l.shake()
		wantCode(t, c, conn.EnginePeerVerification)
		if s != nil || l.client.HandshakeState() != conn.PeerVerificationFailed || l.client.PeerVerificationErrors() != conn.CertificateUnknownCA {
			t.Fatal(s, l.client.HandshakeState(), l.client.PeerVerificationErrors())
		}
		wantCode(t, l.client.DoHandshake([]byte("x")), conn.EngineInvalidOperation)
		wantCode(t, l.client.ResumeHandshake(), conn.EnginePeerVerification)
		return l
	}
	l := failed()
	l.client.IgnoreVerificationErrors(conn.CertificateUnknownCA)
	if err := l.client.ResumeHandshake(); err != nil {
		t.Fatal(err)
	}
	if c, s := l.shake(); c != nil || s != nil {
		t.Fatal(c, s)
	}
	talk(t, l.client.DtlsEngine, l.server.DtlsEngine, "resumed")

	l = failed()
	if err := l.client.AbortHandshake(); err != nil || l.client.HandshakeState() != conn.HandshakeNotStarted {
		t.Fatal(err, l.client.HandshakeState())
	}
	_, s := l.shake()
	wantCode(t, s, conn.EngineTlsFatal) // the alert

	// What is ignored beforehand does not hold anything up; a client's certificate that
	// is in order needs no handler, one that a handler refuses gets nowhere.
	for _, refuse := range []bool{false, true} {
		l = newLink(t, false)
		l.client.Connection().SetDatabase(nil)
		l.client.IgnoreVerificationErrors(conn.CertificateUnknownCA)
		l.client.Connection().SetCertificate(testCertificate())
		l.server.Connection().SetAuthenticationMode(conn.AuthenticationRequired)
		l.server.Connection().SetDatabase(conn.NewDatabaseFromCertificates(testCertificate()))
		if refuse {
			l.server.Connection().ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool { return false })
			_ = l.client.DoHandshake(nil)
			c, s := l.shake()
			wantCode(t, c, conn.EngineTlsFatal)
			wantCode(t, s, conn.EngineTlsFatal)
			continue
		}
		l.mustShake()
		if l.server.Connection().PeerCertificate() == nil {
			t.Error("the client's certificate is missing")
		}
	}
}

// Whatever datagram of a handshake is lost, the timers bring it back, without a clock
// of the engine's own.
func TestEngineTimeouts(t *testing.T) {
	for lost := range 8 {
		synctest.Test(t, func(t *testing.T) {
			l := newLink(t, true)
			count := 0
			l.drop = func(bool, []byte) bool { count++; return count == lost+1 }
			if err := l.client.DoHandshake(nil); err != nil {
				t.Fatal(err)
			}
			for range 10 {
				if c, s := l.shake(); c != nil || s != nil {
					t.Fatal(lost, c, s)
				}
				if l.client.IsConnectionEncrypted() && l.server.IsConnectionEncrypted() {
					break
				}
				next := l.client.Deadline()
				if d := l.server.Deadline(); next.IsZero() || !d.IsZero() && d.Before(next) {
					next = d
				}
				time.Sleep(time.Until(next))
				for _, e := range []*conn.DtlsEngine{l.client.DtlsEngine, l.server.DtlsEngine} {
					if !e.Deadline().IsZero() {
						if err := e.HandleTimeout(); err != nil {
							t.Fatal(lost, err)
						}
					}
				}
			}
			talk(t, l.client.DtlsEngine, l.server.DtlsEngine, "after all")
			talk(t, l.server.DtlsEngine, l.client.DtlsEngine, "after all")
		})
	}
}

// A peer that never answers is given up.
func TestEngineGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(t, true)
		l.client.Connection().SetHandshakePatience(10 * time.Second)
		start := time.Now()
		err := l.client.DoHandshake(nil)
		for err == nil {
			time.Sleep(time.Until(l.client.Deadline()))
			err = l.client.HandleTimeout()
		}
		wantCode(t, err, conn.EngineTlsFatal)
		if !errors.Is(err, datagram.ErrTimedOut) || time.Since(start) != 10*time.Second {
			t.Error(err, time.Since(start))
		}
	})
}

// An engine talks to any other DTLS connection, and its own connection does not wait.
func TestEngineAndConnection(t *testing.T) {
	a, b := datagram.NewPipe()
	client := dialFrom(t, a, true)
	done := make(chan error, 1)
	go func() {
		defer a.Close()
		if err := client.Handshake(testContext(t)); err != nil {
			done <- err
			return
		}
		_ = datagram.SendOne(context.Background(), client, []byte("ping"), datagram.Address{}, time.Second)
		buf := make([]byte, 10)
		n, _, err := datagram.ReceiveOne(context.Background(), client, buf, 5*time.Second)
		if string(buf[:n]) != "pong" {
			err = errors.Join(err, io.ErrUnexpectedEOF)
		}
		done <- err
	}()
	l := newLink(t, true)
	server := l.server
	buf := make([]byte, 2000)
	for answered := false; !answered; {
		n, _, err := datagram.ReceiveOne(t.Context(), b, buf, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if !server.IsConnectionEncrypted() {
			err = server.DoHandshake(buf[:n])
		} else if got, decryptErr := server.DecryptDatagram(buf[:n]); len(got) == 1 && string(got[0]) == "ping" {
			answered = true
			err = server.WriteDatagramEncrypted([]byte("pong"))
		} else {
			err = decryptErr
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range server.Output() {
			_ = datagram.SendOne(t.Context(), b, d, datagram.Address{}, time.Second)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, _, err := datagram.ReceiveOne(t.Context(), server.Connection(), buf, time.Second); !errors.Is(err, datagram.ErrNotSupported) {
		t.Errorf("the connection waits: %v", err)
	}
}

// Whatever comes, an engine neither panics nor gives messages that nobody sent, and
// goes on with its peer as long as it does not say that it cannot.
func FuzzEngine(f *testing.F) {
	f.Add(uint8(0), []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint8(1), []byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40})
	f.Add(uint8(2), []byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 24, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	f.Add(uint8(2), []byte{})
	f.Fuzz(func(t *testing.T, moment uint8, data []byte) {
		l := newLink(t, true)
		if err := l.client.DoHandshake(nil); err != nil {
			t.Fatal(err)
		}
		switch moment % 3 {
		case 0: // before the handshake
			if err := l.server.DoHandshake(bytes.Clone(data)); err != nil && l.server.HandshakeState() != conn.HandshakeNotStarted {
				t.Error(err)
			}
			if l.server.HandshakeState() != conn.HandshakeNotStarted {
				t.Error("a handshake without a cookie")
			}
			l.server.Output()
		case 1: // in its midst
			if err := l.client.DoHandshake(bytes.Clone(data)); err != nil {
				return
			}
		}
		if c, s := l.shake(); c != nil || s != nil {
			if moment%3 == 1 {
				return // the data may have been an alert, or a part of the handshake
			}
			t.Fatal(c, s)
		}
		if got, err := l.server.DecryptDatagram(bytes.Clone(data)); len(got) != 0 {
			t.Errorf("%q, %v", got, err)
		}
		l.server.Output()
		talk(t, l.client.DtlsEngine, l.server.DtlsEngine, "still there")
	})
}
