// Package handshake is the DTLS 1.2 handshake as a machine without I/O
// (RFC 6347, 5246, 5077, 7627, 8422, 4279, 5489, 7301, 6066, 5746).
//
// A [Machine] is fed with datagrams and the time; it gives datagrams to send,
// the moment at which it wants to be woken, and in the end a [Session]. It
// opens no socket, starts no goroutine and reads no clock, so that a driver
// may run it over anything and tests may run it in virtual time.
//
// A client starts with [NewClient]. A server keeps nothing about a peer until
// [Cookies.VerifyHello] has seen a ClientHello whose cookie is right, or
// [Sessions.VerifyHello] one whose ticket does for a cookie; only then [NewServer]
// makes a machine.
//
// Where the application has to decide something, the machine pauses: [Machine.Question]
// names what is asked, and an Answer method goes on. Until then what the peer
// sends is kept within bounds.
//
// The driver's loop is:
//
//	send everything that Output gives
//	if Done or Err: stop
//	if Question: decide, answer, start over
//	receive until Deadline; Receive what came, or Expire
//
// Every byte of the peer is taken for hostile. What it can make a machine keep is
// bounded in number and size, whatever it sends a machine ends in time, and it is
// answered no more often than the timer and a few repetitions allow. What the RFCs
// have dropped in silence is counted in [Stats]; what ends a handshake is an
// [*Error], which names the cause and carries the alert that was sent or received.
//
// A Machine is not safe for concurrent use.
package handshake
