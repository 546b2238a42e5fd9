// Package datagram is Gio's GDatagramBased in Go: objects that send and receive
// datagrams, many in a call, each scattered over and gathered from several
// buffers.
//
// Socket is one over a net.PacketConn, Pipe is two ends in memory, and Impaired
// wraps any of them and loses, doubles, reorders, delays and spoils datagrams
// for tests. DTLS connections are DatagramBased as well, over another
// DatagramBased.
//
// # Timeouts
//
// A negative timeout blocks without limit, 0 never blocks, a positive one is
// the most that the whole call takes. It is exact as far as the runtime's timers
// are; a receive that got some of its messages when time ran out returns these
// and no error.
//
// # Cancellation
//
// When the context of a call is done, also by its deadline, the call returns
// CANCELLED, unless it has moved messages already. A message is never lost by
// that: what has not been returned is still queued. The error unwraps to the
// context's error and to its cause. A context that is done fails every call
// before it looks at the messages.
//
// # Errors
//
// Errors are of type *IOError, and errors.Is compares them with the package's
// sentinels by code. A call that moved a message returns no error; if what
// stopped it lasts, the next call meets it. Time-outs satisfy net.Error.
//
// # Concurrency
//
// A reader and a writer may work at the same time on every object here, and so
// may several of either: they take turns, and waiting for one's turn honours the
// timeout and the context. Close may be called at any time and ends the calls
// that wait. The slices of messages and the buffers in them belong to the call
// until it returns.
//
// # Speed
//
// On Linux a call of a Socket for many messages is one system call, or a few:
// sendmmsg and recvmmsg move several messages, and runs of one size to one
// destination are one message to the kernel, which cuts it up as late as it can
// (UDP_SEGMENT), and puts what it receives together as early as it can (UDP_GRO).
// The more messages a call has, the less each costs, so give ReceiveMessages room
// for many, and MsgWaitForOne. Capability tells more, and how to switch each off.
//
// What an object sends at most as one datagram, its MaximumMessageSize method
// tells, where it has one.
//
// # Limits
//
// A call moves at most MaxMessages messages, a message has at most MaxVectors
// buffers. Every queue in this package is bounded. A datagram longer than the
// buffers it is received into is cut, and marked with MsgTrunc. On an
// established path nothing here allocates per datagram, except where a
// net.PacketConn of another make does.
package datagram
