// Package wsserver is a WebSocket server that asks who comes before it accepts. A
// request that brings no valid login is answered by a few bytes of HTTP and forgotten:
// nothing is upgraded, queued or started for it.
//
// # Parts
//
// [WebSocketServer] listens by itself, or is mounted as an [http.Handler] beside other
// pages. It asks an [Authenticator], and hands out each [Connection] by Accept or
// NextPendingConnection. [BearerAuthenticator] is the Authenticator for signed tokens
// (JWT, HS256): it finds them in the Authorization header, in a Sec-WebSocket-Protocol
// entry or in a cookie, issues, renews and revokes them, and derives from each a DTLS
// pre-shared key, so that the same login opens a DTLS server. [Login] gives tokens to
// those who know a password, or bring a one-time ticket.
//
// # Contract
//
// All methods of all types may be called at the same time, unless their comment says
// otherwise. A Config must not be changed once it is given away. In a Config the zero
// value of a number means its default, a negative one no limit where there can be none.
//
// # Hostile input
//
// Everything from the network is bounded: the header of a request and the time it may
// take, requests and connections for each address (an IPv4 address, or the /64 of an
// IPv6 address), bodies, passwords, tokens, messages, the number of connections, the
// time of a write, and how many passwords are hashed at once. Why somebody was refused
// is told by the signal refused and the log, never to the client. Secrets, passwords
// and tokens are never logged.
package wsserver
