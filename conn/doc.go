// Package conn holds the DTLS connection object of Gio's DTLS family
// ([DtlsConnection], GDtlsConnection) and all that clients and servers share:
// certificates, databases of trust, identities, flags and errors. Clients are made
// by package clientconn, servers by package serverconn. The names are Gio's without
// the G; numbers such as G085 are rows of the project's conformance list.
//
// # A connection is a datagram object
//
// A DtlsConnection runs over any [datagram.DatagramBased] that is connected to one
// peer, and is one itself: messages go in and out as vectors, each message is one
// record in one datagram, and the timeouts have the same three meanings (negative:
// no limit, 0: never block, positive: for the whole call). The first read or write
// makes the handshake, if [DtlsConnection.Handshake] has not.
//
// # Concurrency
//
// All methods may be called from any goroutine. One read and one write run at the
// same time; a second read or write waits for the first, within its own timeout and
// context. A handshake excludes both. Close and Shutdown do not wait for calls that
// are blocked: these end with CLOSED.
//
// An established connection owns no goroutine and no timer: a call that reads
// drives the base. So a server should have a reader, or look now and then: it is
// reading that notices that the peer has closed, or has missed the last flight of the
// handshake and needs it again. Only a handshake that a call with timeout 0 began runs
// on a goroutine of its own until it ends.
//
// # Cancellation
//
// A context that ends makes the call return CANCELLED, which unwraps to the
// context's error. For reads and writes that loses nothing, and the next call goes on.
// A handshake that was cancelled after it had sent something has failed for good.
// Besides, a client gives a peer up that is silent for 62 s
// ([DtlsConnection.SetHandshakePatience]); a server waits for its client as long as
// the call may.
//
// # Names from Gio
//
// docs/gio.md lists all of Gio's DTLS family row by row: the name here, the test that
// shows it, and why something differs. Functions FooAsync give an [AsyncResult] for
// FooFinish; what a connection may ask is a [TlsInteraction]; [TlsBackend] makes
// connections without naming clientconn and serverconn.
//
// # What counts
//
// After the handshake only authenticated records change anything. Forged,
// repeated, damaged and misplaced records are dropped in silence and counted
// (RFC 6347 4.1.2.7, [DtlsConnection.Stats]). Renegotiation is refused. DTLS 1.2
// with AEAD cipher suites is all that is spoken.
package conn
