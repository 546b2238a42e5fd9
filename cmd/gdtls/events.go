package main

import (
	"cmp"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"unicode/utf8"

	"gdtls/conn"
	"gdtls/datagram"
)

// An event is one thing that happened. With --json it is a line, of which the
// member "event" has its name and the others are the fields here; otherwise a view
// makes something readable of it.
type event interface{ name() string }

// listening: a server can be reached at its address.
type listening struct {
	Address string `json:"address"`
	// Certificate is the subject of the server's certificate, empty without one.
	Certificate string `json:"certificate"`
	PSK         bool   `json:"psk"`               // pre-shared keys are accepted
	Metrics     string `json:"metrics,omitempty"` // URL of the counters
}

// peerVerified: a peer has shown that it receives at its address, and the handshake
// with it begins.
type peerVerified struct {
	Peer string `json:"peer"`
}

// handshakeDone: a handshake has ended. What was not negotiated is empty.
type handshakeDone struct {
	OK              bool     `json:"ok"`
	Peer            string   `json:"peer"`
	Version         string   `json:"version"` // "DTLS 1.2"
	Ciphersuite     string   `json:"ciphersuite"`
	ALPN            string   `json:"alpn"`
	SNI             string   `json:"sni"` // the name that the client asked for
	PSKIdentity     string   `json:"psk_identity"`
	PSKHint         string   `json:"psk_hint"`
	PeerCerts       int      `json:"peer_certs"` // certificates in the peer's chain
	PeerCertSubject string   `json:"peer_cert_subject"`
	Flags           []string `json:"flags"` // what verification found, such as "UNKNOWN_CA"
	Resumed         bool     `json:"resumed"`
}

// acceptCertificate: the server's certificate had faults, and it was decided
// whether to accept it.
type acceptCertificate struct {
	Flags    []string          `json:"flags"`
	Chain    []certificateInfo `json:"chain"`
	Accepted bool              `json:"accepted"`
}

// acceptedCAs: the server asked for a client certificate of one of these CAs; none
// means any.
type acceptedCAs struct {
	Names []string `json:"names"`
}

// received: a message came. It is named datagram, as its message was one.
type received struct {
	Peer string `json:"peer"`
	Size int    `json:"size"` // bytes
	Text string `json:"text"`
	// Hex has the bytes of a message that is not UTF-8, which Text can only show
	// in part.
	Hex string `json:"hex,omitempty"`
}

func newReceived(peer string, data []byte) received {
	e := received{Peer: peer, Size: len(data), Text: string(data)}
	if !utf8.Valid(data) {
		e.Hex = hex.EncodeToString(data)
	}
	return e
}

// closed: a connection has ended, cleanly if by a close_notify of either side.
type closed struct {
	Peer   string `json:"peer"`
	Clean  bool   `json:"clean"`
	Reason string `json:"reason"`
}

// failed: something that was asked for did not happen. It is named error.
type failed struct {
	Peer    string `json:"peer,omitempty"` // whom it concerns
	Domain  string `json:"domain"`         // Gio's name of the error domain
	Code    string `json:"code"`           // Gio's name of the code
	Message string `json:"message"`
}

// warning: something to know, although it goes on.
type warning struct {
	Peer    string `json:"peer,omitempty"`
	Message string `json:"message"`
}

// sent: a message went out. It is for people only, as are notes: programs know
// what they asked for.
type sent struct{ text string }

// note says something to people.
type note struct{ text string }

func (listening) name() string         { return "listening" }
func (peerVerified) name() string      { return "peer_verified" }
func (handshakeDone) name() string     { return "handshake" }
func (acceptCertificate) name() string { return "accept_certificate" }
func (acceptedCAs) name() string       { return "accepted_cas" }
func (received) name() string          { return "datagram" }
func (closed) name() string            { return "closed" }
func (failed) name() string            { return "error" }
func (warning) name() string           { return "warning" }
func (sent) name() string              { return "" }
func (note) name() string              { return "" }

// flagNames lists the names of the flags that are set.
func flagNames(flags conn.TlsCertificateFlags) []string {
	names := []string{}
	for bit := conn.TlsCertificateFlags(1); bit <= conn.CertificateValidateAll; bit <<= 1 {
		if flags&bit != 0 {
			names = append(names, bit.String())
		}
	}
	return names
}

// versionName gives the version as people write it.
func versionName(v conn.TlsProtocolVersion) string {
	switch v {
	case conn.ProtocolUnknown:
		return ""
	case conn.ProtocolDTLS12:
		return "DTLS 1.2"
	}
	return v.String()
}

// describe tells what a connection has negotiated, and how far a failed one came.
func describe(c *conn.DtlsConnection, ok bool) handshakeDone {
	e := handshakeDone{
		OK:          ok,
		Peer:        c.PeerAddress().String(),
		Version:     versionName(c.ProtocolVersion()),
		Ciphersuite: c.CiphersuiteName(),
		ALPN:        c.NegotiatedProtocol(),
		SNI:         c.ServerName(),
		PSKIdentity: string(c.PskIdentity()),
		PSKHint:     string(c.PskIdentityHint()),
		Flags:       flagNames(c.PeerCertificateErrors()),
		Resumed:     c.IsResumed(),
	}
	if peer := c.PeerCertificate(); peer != nil {
		e.PeerCertSubject = peer.SubjectName()
		for ; peer != nil; peer = peer.Issuer() {
			e.PeerCerts++
		}
	}
	return e
}

// failure makes the event of an error. Errors of the operating system get the code
// that Gio gives them, and those without any are G_IO_ERROR_FAILED.
func failure(peer string, err error) failed {
	e := failed{Peer: peer, Domain: "G_IO_ERROR", Message: err.Error()}
	var tlsError *conn.TlsError
	var ioError *datagram.IOError
	var usage usageError
	switch {
	case errors.As(err, &usage):
		e.Code = datagram.CodeInvalidArgument.String()
	case errors.As(err, &tlsError):
		e.Domain, e.Code = "G_TLS_ERROR", tlsError.Code.String()
	case errors.As(err, &ioError):
		e.Code = ioError.Code.String()
	case errors.Is(err, fs.ErrNotExist):
		e.Code = "G_IO_ERROR_NOT_FOUND"
	case errors.Is(err, fs.ErrExist):
		e.Code = "G_IO_ERROR_EXISTS"
	case errors.Is(err, fs.ErrPermission):
		e.Code = "G_IO_ERROR_PERMISSION_DENIED"
	case errors.Is(err, syscall.EADDRINUSE):
		e.Code = "G_IO_ERROR_ADDRESS_IN_USE"
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Code = datagram.CodeTimedOut.String()
	}
	e.Code = cmp.Or(e.Code, datagram.CodeFailed.String())
	return e
}
