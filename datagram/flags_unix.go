//go:build unix

package datagram

import "golang.org/x/sys/unix"

// MsgTrunc on a received message says that the datagram was longer than the
// vectors: its end is lost.
const MsgTrunc MsgFlags = unix.MSG_TRUNC
