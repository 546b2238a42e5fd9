package conn

import (
	"sync/atomic"

	"gdtls/datagram"
	"gdtls/internal/handshake"
	"gdtls/internal/record"
)

// measured is a base that knows how many bytes one of its messages may have, as a
// [datagram.Socket] does that is connected; 0: it does not know.
type measured interface{ MaximumMessageSize() int }

// mtu is how long datagrams may be. The base is not asked for every message, which
// costs a system call, but before a handshake, and when it has refused one.
type mtu struct {
	wanted atomic.Int32 // what was set, bytes; 0: handshake.DefaultMTU
	path   atomic.Int32 // what the base said last, bytes; 0: nothing
}

// size is what is wanted, or what the base carries if that is less.
func (m *mtu) size() int {
	size := handshake.DefaultMTU
	if wanted := int(m.wanted.Load()); wanted != 0 {
		size = wanted
	}
	if path := int(m.path.Load()); path != 0 {
		size = min(size, path)
	}
	return size
}

// ask asks the base what it carries now, and gives that, or 0 if it does not know.
func (m *mtu) ask(base datagram.DatagramBased) int {
	path := 0
	if b, ok := base.(measured); ok {
		path = min(max(b.MaximumMessageSize(), 0), datagram.MaxDatagram)
	}
	m.path.Store(int32(path))
	return path
}

// MTU is the size in bytes of the datagrams that the connection sends at most,
// without the headers of IP and UDP. The default is 1400 (G208). It is never more
// than the base says it can carry, if its method MaximumMessageSize() int tells:
// that of a [datagram.Socket] gives the system's estimate of the path's MTU.
func (c *DtlsConnection) MTU() int {
	c.mtu.ask(c.base)
	return c.mtu.size()
}

// SetMTU sets the size of datagrams, 256 to 65535 bytes; other values are IO error
// INVALID_ARGUMENT. It may be changed at any time. What the base can carry limits
// it further.
func (c *DtlsConnection) SetMTU(bytes int) error {
	const least, most = 256, 65535
	if bytes < least || bytes > most {
		return datagram.NewError(datagram.CodeInvalidArgument, "MTU of %d bytes: %d to %d are possible", bytes, least, most)
	}
	c.mtu.wanted.Store(int32(bytes))
	return nil
}

// MaximumMessageSize is the longest message in bytes that SendMessages takes now:
// what the MTU leaves under the cipher suite (G208). Before the handshake it is the
// least that any suite leaves. It asks the base, as MTU does.
func (c *DtlsConnection) MaximumMessageSize() int {
	aead := record.AES128GCM
	if s := c.session(); s != nil {
		aead = s.suite.AEAD()
	}
	return plaintextWithin(c.MTU(), record.HeaderSize+aead.Overhead())
}

// plaintextWithin is the longest message whose record, so much longer, fits.
func plaintextWithin(mtu, overhead int) int {
	return max(0, min(mtu-overhead, record.MaxPlaintext))
}

// fits tells whether the base may carry a record that it has just refused as too
// large. A network may say so of a datagram that was sent earlier, and then the
// system gives this as the result of whatever is sent next.
func (c *DtlsConnection) fits(r *datagram.OutputMessage) bool {
	path := c.mtu.ask(c.base)
	return path == 0 || length(r.Vectors) <= path
}

// tooLarge is the error for a message that does not fit; cause is the base's, nil
// if it was not asked.
func (c *DtlsConnection) tooLarge(size int, cause error) error {
	most := plaintextWithin(c.mtu.size(), c.tx.sealer.Overhead())
	switch {
	case cause == nil:
		return datagram.NewError(datagram.CodeMessageTooLarge, "message of size %d bytes is too large for DTLS connection (maximum is %d bytes)", size, most)
	case size > most:
		return datagram.NewError(datagram.CodeMessageTooLarge, "message of size %d bytes is too large for DTLS connection (maximum is %d bytes): %w", size, most, cause)
	}
	return datagram.NewError(datagram.CodeMessageTooLarge, "message of size %d bytes makes a datagram that is too large for the base, which does not tell its maximum: %w", size, cause)
}

func isTooLarge(err error) bool {
	e, ok := err.(*datagram.IOError)
	return ok && e.Code == datagram.CodeMessageTooLarge
}
