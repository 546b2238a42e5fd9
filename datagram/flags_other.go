//go:build !unix

package datagram

// MsgTrunc on a received message says that the datagram was longer than the
// vectors: its end is lost. The value is Windows'.
const MsgTrunc MsgFlags = 0x100
