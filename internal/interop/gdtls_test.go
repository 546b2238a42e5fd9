package interop

import (
	"context"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// side is our own side of a connection.
type side struct {
	*conn.DtlsConnection
	client *clientconn.DtlsClientConnection // nil on a server
	server *serverconn.DtlsServerConnection // nil on a client
	trace  *trace
	local  netip.AddrPort
}

// wrapper puts something between a connection and its socket.
type wrapper func(datagram.DatagramBased) datagram.DatagramBased

// newClient makes our client for a server at an address.
func newClient(t *testing.T, server netip.AddrPort, o options, wrappers ...wrapper) *side {
	t.Helper()
	socket, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	s := &side{local: socket.LocalAddr().(*net.UDPAddr).AddrPort()}
	s.trace = newTrace(t, datagram.New(socket))
	var identity conn.SocketConnectable
	switch {
	case o.byAddress:
		identity = conn.InetSocketAddress{AddrPort: server}
	case o.name != "":
		identity = conn.NetworkAddress{Hostname: o.name}
	}
	if s.client, err = clientconn.NewDtlsClientConnection(wrap(s.trace, wrappers), identity); err != nil {
		t.Fatal(err)
	}
	s.DtlsConnection = s.client.DtlsConnection
	s.configure(t, o)
	if o.trust == nil {
		s.client.SetValidationFlags(conn.CertificateNoFlags)
	}
	return s
}

// newServer makes our server on a port of its own, for the first client that comes.
func newServer(t *testing.T, o options, wrappers ...wrapper) *side {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	s := &side{local: socket.LocalAddr().(*net.UDPAddr).AddrPort()}
	s.trace = newTrace(t, &firstPeer{Socket: datagram.New(socket)})
	var certificate *conn.TlsCertificate
	if o.credential != nil {
		certificate = o.credential.ours(t)
	}
	if s.server, err = serverconn.NewDtlsServerConnection(wrap(s.trace, wrappers), certificate); err != nil {
		t.Fatal(err)
	}
	s.DtlsConnection = s.server.DtlsConnection
	s.configure(t, o)
	s.server.SetAuthenticationMode(o.auth)
	if o.psk != nil {
		s.server.SetPskIdentityHint([]byte(o.psk.hint))
	}
	s.ConnectAcceptCertificate(func(_ *conn.DtlsConnection, _ *conn.TlsCertificate, errors conn.TlsCertificateFlags) bool {
		return errors == 0 || o.trust == nil
	})
	return s
}

func wrap(base datagram.DatagramBased, wrappers []wrapper) datagram.DatagramBased {
	for _, w := range wrappers {
		base = w(base)
	}
	return base
}

func (s *side) configure(t *testing.T, o options) {
	t.Helper()
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	if o.credential != nil {
		s.SetCertificate(o.credential.ours(t))
	}
	if s.client != nil {
		s.client.SetSessionCache(o.sessions)
	}
	s.SetDatabase(nil)
	if o.trust != nil {
		s.SetDatabase(databaseOf(t, o.trust))
	}
	s.SetAdvertisedProtocols(o.alpn)
	if o.suite != "" {
		if err := s.SetCiphersuites(o.suite); err != nil {
			t.Fatal(err)
		}
	}
	if o.mtu != 0 {
		if err := s.SetMTU(o.mtu); err != nil {
			t.Fatal(err)
		}
	}
	if o.psk != nil {
		key := must(hex.DecodeString(o.psk.key))
		s.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			if s.client != nil {
				a.SetIdentity([]byte(o.psk.identity))
			} else if string(a.Identity()) != o.psk.identity {
				return
			}
			a.SetPreSharedKey(key)
		})
	}
}

// handshake makes the handshake within the test's patience.
func (s *side) handshake() error { return s.handshakeWithin(patience) }

func (s *side) handshakeWithin(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return s.Handshake(ctx)
}

func (s *side) mustHandshake(t *testing.T) {
	t.Helper()
	if err := s.handshake(); err != nil {
		t.Fatalf("our handshake: %v", err)
	}
}

func (s *side) send(t *testing.T, text string) {
	t.Helper()
	messages := []datagram.OutputMessage{{Vectors: [][]byte{[]byte(text)}}}
	if n, err := s.SendMessages(context.Background(), messages, 0, patience); n != 1 || err != nil {
		t.Fatalf("our send: %d, %v", n, err)
	}
}

// expect receives one message.
func (s *side) expect(t *testing.T, text string) {
	t.Helper()
	got, n, err := s.receive()
	if n != 1 || err != nil || got != text {
		t.Fatalf("received %d messages, %.80q, %v; want %.80q", n, got, err, text)
	}
}

// expectPieces receives a text that comes in one or more messages.
func (s *side) expectPieces(t *testing.T, text string) {
	t.Helper()
	for rest := text; rest != ""; {
		got, n, err := s.receive()
		if n != 1 || err != nil || got == "" || !strings.HasPrefix(rest, got) {
			t.Fatalf("received %d messages, %.80q, %v; want %.80q", n, got, err, rest)
		}
		rest = rest[len(got):]
	}
}

// expectClose receives the peer's close_notify.
func (s *side) expectClose(t *testing.T) {
	t.Helper()
	if got, n, err := s.receive(); n != 0 || err != nil {
		t.Fatalf("received %d messages, %.80q, %v; want the peer's close_notify", n, got, err)
	}
}

func (s *side) receive() (string, int, error) { return s.receiveWithin(patience) }

func (s *side) receiveWithin(limit time.Duration) (string, int, error) {
	buffer := make([]byte, 1<<15)
	messages := []datagram.InputMessage{{Vectors: [][]byte{buffer}}}
	n, err := s.ReceiveMessages(context.Background(), messages, 0, limit)
	return string(buffer[:messages[0].BytesReceived]), n, err
}

// firstPeer is a socket that answers the first who sent to it. Nobody else knows its
// port.
type firstPeer struct {
	*datagram.Socket
	peer atomic.Pointer[datagram.Address]
}

// ReceiveMessages receives, and notes who was first.
func (f *firstPeer) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	n, err := f.Socket.ReceiveMessages(ctx, messages, flags, timeout)
	if n > 0 && f.peer.Load() == nil {
		peer := messages[0].Address
		f.peer.Store(&peer)
	}
	return n, err
}

// SendMessages sends to the peer.
func (f *firstPeer) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	addressed := append([]datagram.OutputMessage(nil), messages...)
	if peer := f.peer.Load(); peer != nil {
		for i := range addressed {
			addressed[i].Address = *peer
		}
	}
	return f.Socket.SendMessages(ctx, addressed, flags, timeout)
}
