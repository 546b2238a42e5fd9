package serverconn

import (
	"net/netip"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// ClientVerifier tells which clients receive at the address that they send from,
// before anything is kept about one (QDtlsClientVerifier, Q001-Q009; RFC 6347
// 4.2.1). It is for programs that own their socket loop; a [DtlsListener] has its
// own.
//
// A cookie is an HMAC-SHA256 over the client's address and port and the parameters
// of its hello, under a secret that is random and replaced every two minutes unless
// SetCookieKeys sets it. The methods belong to one goroutine, but for
// SetCookieKeys; verifiers of several goroutines or nodes may share keys.
type ClientVerifier struct {
	cookies *handshake.Cookies
	hello   *ClientHello
	name    []byte // scratch
	reply   []byte // scratch
}

// NewClientVerifier makes a verifier with a random secret.
func NewClientVerifier() *ClientVerifier {
	return &ClientVerifier{cookies: handshake.NewCookies(time.Now())}
}

// SetCookieKeys sets the secrets (Q003): cookies are made with the first and good
// with any, so that nodes behind one address can share and rotate them. Without a
// call, or with none, the secret is random.
func (v *ClientVerifier) SetCookieKeys(keys ...[32]byte) { v.cookies.SetKeys(time.Now(), keys...) }

// Errors of VerifyClient. They are constant, since those who are refused must not
// cost an allocation.
var (
	errNoDatagram = datagram.NewError(datagram.CodeInvalidArgument, "empty datagram: there is no hello to verify")
	errNoUnicast  = datagram.NewError(datagram.CodeInvalidArgument, "address of the client is missing, or not of one host: a cookie could not reach it")
	errNoHello    = &conn.TlsError{Code: conn.TlsErrorNotTLS, Message: "datagram does not begin with a ClientHello in one piece"}
)

// VerifyClient looks at a datagram of an unknown client (Q005). If it is a hello
// with the right cookie, the client is verified and VerifiedHello tells about it.
// If it is one without, reply is the HelloVerifyRequest to send to the address; it
// is never longer than the datagram, and valid until the next call.
//
// Anything else is TLS error NOT_TLS, a hello in fragments too, since its parts
// would have to be kept (Q009). An empty datagram, or an address that is none, a
// broadcast or a multicast, is IO error INVALID_ARGUMENT. Nothing is allocated for
// a client that is not verified.
func (v *ClientVerifier) VerifyClient(data []byte, address datagram.Address) (verified bool, reply []byte, err error) {
	v.hello = nil
	switch {
	case len(data) == 0:
		return false, nil, errNoDatagram
	case !isOneHost(address):
		return false, nil, errNoUnicast
	}
	v.name = address.AppendTo(v.name[:0])
	hello, reply := v.cookies.VerifyHello(data, v.name, v.reply[:0], time.Now())
	switch {
	case hello != nil:
		hello.SetHost(address.AppendHostTo(v.name[:0]))
		v.hello = &ClientHello{address, hello}
		return true, nil, nil
	case reply != nil:
		v.reply = reply
		return false, reply, nil
	}
	return false, nil, errNoHello
}

// VerifiedHello is the hello that the last VerifyClient found to be right, nil if
// it did not (Q007). [NewVerifiedServerConnection] makes a server that begins with it.
func (v *ClientVerifier) VerifiedHello() *ClientHello { return v.hello }

// isOneHost tells whether an address may be that of a single client. What is not an
// IP address is its transport's affair.
func isOneHost(a datagram.Address) bool {
	ip := a.AddrPort()
	if !ip.IsValid() {
		return a.IsValid()
	}
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return ip.Port() != 0 && !ip.Addr().IsUnspecified() && !ip.Addr().IsMulticast() && ip.Addr() != broadcast
}

// NewVerifiedServerConnection is NewDtlsServerConnection for a client whose hello a
// [ClientVerifier] has verified: its handshake begins with the answer to it. The
// hello serves one connection, over the base that receives what else the client
// sends.
func NewVerifiedServerConnection(base datagram.DatagramBased, certificate *conn.TlsCertificate, hello *ClientHello) (*DtlsServerConnection, error) {
	if hello == nil {
		return nil, datagram.NewError(datagram.CodeInvalidArgument, "no verified hello: ask a ClientVerifier first")
	}
	return newServer(base, certificate, hello.verified)
}
