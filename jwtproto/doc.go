// Package jwtproto is the JWT state-machine protocol of a networking class, as a
// server and a client, over UDP and over DTLS.
//
// Groups of students send signed claims, one compact JWS a datagram, and get signed
// acknowledgements. Each claim has a number; a small Machine for each group takes the
// numbers in order. Datagrams get lost, so clients repeat what was not acknowledged.
// docs/jwt.md describes the protocol.
//
// # Parts
//
// Machine is the state machine alone. Lab is the folder with the groups, their public
// keys and the secret of the replies. Server answers requests that come over any
// datagram.DatagramBased, bare or inside DTLS, or both on one. Store keeps the states of
// the groups and what was acknowledged. Client walks through the states.
//
// An acknowledgement leaves only when the Store has kept what it says. While the Store
// fails, requests are not acknowledged; clients repeat them.
//
// # Hostile input
//
// No input ends the server. A request is at most 2,048 bytes unless configured; what can
// be refused without a public key is; the number of public-key checks, and of replies
// that are longer than what they answer, is limited for each address. Every queue is
// bounded, and what is dropped there is counted.
package jwtproto
