package serverconn

import (
	"bytes"
	"slices"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// ClientHello is what a client begins with, once it has shown by its cookie that it
// receives at its address, or by its ticket that its host has before. Nothing else in it is proven yet. It does not change.
type ClientHello struct {
	address  datagram.Address
	verified *handshake.VerifiedHello
}

// Address is where the client receives.
func (h *ClientHello) Address() datagram.Address { return h.address }

// ServerName is the name that the client asks for (server_name, RFC 6066 3), empty
// if it does not.
func (h *ClientHello) ServerName() string { return h.verified.Hello.ServerName }

// Protocols are the application protocols that the client offers (ALPN, RFC 7301).
func (h *ClientHello) Protocols() []string { return slices.Clone(h.verified.Hello.ALPN) }

// Ciphersuites are the numbers at IANA of the cipher suites that the client offers,
// in its order of preference, with those that this module does not support.
func (h *ClientHello) Ciphersuites() []uint16 { return slices.Clone(h.verified.Hello.Suites) }

// SessionID is the session that the client wants to resume by its id, empty for none.
func (h *ClientHello) SessionID() []byte { return bytes.Clone(h.verified.Hello.SessionID) }

// HasTicket tells whether the client wants to resume a session by a ticket (RFC 5077).
func (h *ClientHello) HasTicket() bool { return len(h.verified.Hello.Ticket) > 0 }
