package interop

import (
	"context"
	"net"
	"testing"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// How a peer resumes a session.
const (
	byID     = "session id"
	byTicket = "ticket"
)

// resumer is the session of a client that can connect once more with what its last
// connection has left it.
type resumer interface{ again(t *testing.T) }

func TestResumption(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		key := psk{identity: "somebody", key: keyA}
		withKeys := keys(key, key)
		withKeys.client.name = serverName // sessions are kept by it
		for name, o := range map[string]setup{"certificate": usual(), "PSK": withKeys} {
			for _, how := range []string{byID, byTicket} {
				t.Run(name+" by "+how, func(t *testing.T) {
					o.client.resume, o.server.resume = how, how
					if server {
						resumeAtListener(t, p, o)
					} else {
						resumeAtPeer(t, p, o)
					}
				})
			}
		}
	})
}

// resumeAtPeer has our client connect twice with a peer's server.
func resumeAtPeer(t *testing.T, p peer, o setup) {
	t.Helper()
	o.client.sessions = conn.NewSessionCache(0)
	first := connected(t, p, false, o)
	first.exchange(t, 20)
	if first.ours.IsResumed() {
		t.Error("the first connection was resumed")
	}
	if err := first.ours.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !first.theirs.echoes() { // gnutls-serv tells nothing, but queues
		first.theirs.expectClose(t)
	}
	second := newClient(t, first.theirs.address(), o.client)
	second.mustHandshake(t)
	if !second.IsResumed() {
		t.Error("the second connection was not resumed")
	}
	m := &match{second, first.theirs, false}
	m.exchange(t, 200)
	if want := o.server.credential; want != nil {
		if got := second.PeerCertificate(); got == nil || !got.X509().Equal(want.chain[0]) {
			t.Errorf("peer certificate %v", got)
		}
	} else if got := second.PskIdentity(); string(got) != o.server.psk.identity {
		t.Errorf("identity %q", got)
	}
}

// resumeAtListener has a peer's client connect twice with our listener.
func resumeAtListener(t *testing.T, p peer, o setup) {
	t.Helper()
	note(t, p, true)
	if reason := p.lacks(false, o.client, o.server); reason != "" {
		leave(t, p, reason)
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	listener, err := serverconn.NewDtlsListener(newTrace(t, datagram.New(socket)), func(c *serverconn.DtlsServerConnection) error {
		(&side{DtlsConnection: c.DtlsConnection, server: c}).configure(t, o.server)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close(context.Background()) })
	accept := func() *side {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := listener.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return &side{DtlsConnection: c.DtlsConnection, server: c}
	}
	client := p.connect(t, socket.LocalAddr().(*net.UDPAddr).AddrPort(), o.client)
	if accept().IsResumed() {
		t.Error("the first connection was resumed")
	}
	client.established(t)
	if r, ok := client.(resumer); ok {
		r.again(t)
	}
	second := accept()
	if !second.IsResumed() {
		t.Error("the second connection was not resumed")
	}
	m := &match{second, client, true}
	m.exchange(t, 200)
}
