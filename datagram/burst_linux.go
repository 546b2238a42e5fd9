package datagram

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxBurst     = 64       // the most entries of a recvmmsg or sendmmsg
	maxSegments  = 64       // the most datagrams of one entry: UDP_MAX_SEGMENTS of older kernels
	maxSegmented = mostIPv4 // the most bytes of one entry; IPv6's 20 more would gain nothing
	maxIovecs    = 1024     // the most buffers of one entry: UIO_MAXIOV
)

// mmsghdr is one message of a recvmmsg or sendmmsg.
type mmsghdr struct {
	unix.Msghdr
	n uint32 // bytes moved
}

// burst is the memory of one recvmmsg or sendmmsg. It is borrowed for that call,
// so a call that waits holds none.
type burst struct {
	count    int // of entries in use
	headers  [maxBurst]mmsghdr
	names    [maxBurst]unix.RawSockaddrAny
	segments [maxBurst]segmentControl
	messages [maxBurst]int // how many messages each entry has
	iovecs   []unix.Iovec  // of all entries, one after the other
}

// segmentControl is the control message UDP_SEGMENT: how long the datagrams are
// that an entry is cut into.
type segmentControl struct {
	header unix.Cmsghdr
	size   uint16
	_      [6]byte // the kernel's alignment of control messages, at its largest
}

var bursts = sync.Pool{New: func() any { return new(burst) }}

// release lets go of the caller's memory and gives b back.
func (b *burst) release() {
	clear(b.iovecs)
	b.iovecs, b.count = b.iovecs[:0], 0
	bursts.Put(b)
}

// aim points the headers at their vectors, when no more will be added.
func (b *burst) aim() {
	next := 0
	for i := range b.count {
		h := &b.headers[i]
		h.Iov = nil
		if n := int(h.Iovlen); n > 0 {
			h.Iov = &b.iovecs[next]
			next += n
		}
	}
}

// transfer makes the system call for the headers: with only one the call for
// one, which a kernel without the other has as well. It returns how many moved.
func transfer(fd uintptr, headers []mmsghdr, one, many uintptr, flags MsgFlags) (int, unix.Errno) {
	if len(headers) > 1 {
		n, _, errno := unix.Syscall6(many, fd, uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), uintptr(flags), 0, 0)
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
	n, _, errno := unix.Syscall(one, fd, uintptr(unsafe.Pointer(&headers[0])), uintptr(flags))
	if errno != 0 {
		return 0, errno
	}
	headers[0].n = uint32(n)
	return 1, 0
}

// receiveBurst receives datagrams straight into the callers' vectors.
func (c *sysCall) receiveBurst(fd uintptr, messages []InputMessage, flags MsgFlags) (int, error) {
	b := bursts.Get().(*burst)
	defer b.release()
	for i := range messages[:min(len(messages), maxBurst)] {
		vectors := messages[i].Vectors
		if len(vectors) > MaxVectors {
			if i == 0 {
				return 0, tooManyVectors(len(vectors))
			}
			break
		}
		before := len(b.iovecs)
		b.iovecs = appendVectors(b.iovecs, before, vectors)
		h := &b.headers[i]
		h.Msghdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&b.names[i])), Namelen: unix.SizeofSockaddrAny}
		h.SetIovlen(len(b.iovecs) - before)
		b.count++
	}
	b.aim()
	c.calls++
	n, errno := transfer(fd, b.headers[:b.count], unix.SYS_RECVMSG, unix.SYS_RECVMMSG, flags)
	if errno != 0 {
		return 0, c.offload.batchingRefused(errno)
	}
	for i := range messages[:n] {
		m, h := &messages[i], &b.headers[i]
		m.BytesReceived = min(int(h.n), size(m.Vectors))
		m.Flags = MsgFlags(h.Flags)
		m.Address = c.sender(&b.names[i], h.Namelen)
	}
	if n < b.count {
		return n, unix.EAGAIN
	}
	return n, nil
}

// batchingRefused returns the error of a call for several messages: EINTR, which
// means to try again, if the kernel does not have this call.
func (o *offload) batchingRefused(errno unix.Errno) error {
	if errno == unix.ENOSYS && o.has(Batching) {
		o.giveUp(Batching)
		return unix.EINTR
	}
	return errno
}

// sendBurst sends messages from the callers' vectors, those of one run as one
// entry that the kernel cuts up.
func (c *sysCall) sendBurst(fd uintptr, messages []OutputMessage, flags MsgFlags) (int, error) {
	b := bursts.Get().(*burst)
	defer b.release()
	entries := 1
	if c.offload.has(Batching) {
		entries = maxBurst
	}
	for rest := messages; len(rest) > 0 && b.count < entries && len(b.iovecs) < maxIovecs; {
		n, err := c.addRun(b, rest)
		if err != nil {
			if b.count == 0 {
				return 0, err
			}
			break // this comes when those before it are sent
		}
		rest = rest[n:]
	}
	b.aim()
	c.calls++
	sent, errno := transfer(fd, b.headers[:b.count], unix.SYS_SENDMSG, unix.SYS_SENDMMSG, flags)
	if errno != 0 {
		if b.messages[0] > 1 && segmentationErrno(errno) {
			return c.sendUnsegmented(fd, &messages[0], flags, errno)
		}
		return 0, c.offload.batchingRefused(errno)
	}
	n := 0
	for i := range sent {
		for range b.messages[i] {
			messages[n].BytesSent = size(messages[n].Vectors)
			n++
		}
	}
	return n, nil
}

// addRun adds an entry of as many messages, from the first on, as the kernel can
// make from one: they have one destination and one size, and the last may be
// shorter. It returns how many these are.
func (c *sysCall) addRun(b *burst, messages []OutputMessage) (int, error) {
	first := &messages[0]
	if len(first.Vectors) > MaxVectors {
		return 0, tooManyVectors(len(first.Vectors))
	}
	header := unix.Msghdr{}
	if first.Address.IsValid() {
		name := &b.names[b.count]
		length, err := c.address(name, first.Address)
		if err != nil {
			return 0, err
		}
		header.Name, header.Namelen = (*byte)(unsafe.Pointer(name)), length
	}
	before := len(b.iovecs)
	b.iovecs = appendVectors(b.iovecs, before, first.Vectors)
	each := size(first.Vectors)
	n, total := 1, each
	if each > 0 && each <= int(c.offload.segment.Load()) {
		for n < min(len(messages), maxSegments) {
			m := &messages[n]
			length := size(m.Vectors)
			if length == 0 || length > each || total+length > maxSegmented ||
				len(b.iovecs)-before+len(m.Vectors) > maxIovecs || m.Address != first.Address {
				break
			}
			b.iovecs = appendVectors(b.iovecs, before, m.Vectors)
			total += length
			n++
			if length < each {
				break
			}
		}
	}
	if n > 1 {
		control := &b.segments[b.count]
		control.header = unix.Cmsghdr{Level: unix.SOL_UDP, Type: unix.UDP_SEGMENT}
		control.header.SetLen(unix.CmsgLen(2))
		control.size = uint16(each)
		header.Control = (*byte)(unsafe.Pointer(control))
		header.SetControllen(unix.CmsgSpace(2))
	}
	header.SetIovlen(len(b.iovecs) - before)
	b.headers[b.count].Msghdr = header
	b.messages[b.count] = n
	b.count++
	return n, nil
}

// segmentationErrno reports whether the kernel may mean by an error that it
// cannot cut up this entry: EIO says that the device cannot make checksums,
// EINVAL and, since Linux 6.14, EMSGSIZE that a datagram is longer than the MTU.
func segmentationErrno(errno unix.Errno) bool {
	return errno == unix.EIO || errno == unix.EINVAL || errno == unix.EMSGSIZE
}

// sendUnsegmented sends a message by itself that was not sent as the first of a
// run, for the reason given. If it goes this way, that is remembered.
func (c *sysCall) sendUnsegmented(fd uintptr, m *OutputMessage, flags MsgFlags, reason unix.Errno) (int, error) {
	if err := c.sendOne(fd, m, flags); err != nil {
		return 0, err
	}
	c.offload.unsegmented(m.BytesSent, reason)
	return 1, nil
}

// unsegmented remembers that datagrams of the length have to be sent as they
// are, because of the reason.
func (o *offload) unsegmented(length int, reason unix.Errno) {
	if reason == unix.EIO {
		length = 0
		o.giveUp(GSO)
	}
	for {
		now := o.segment.Load()
		if int(now) < length || o.segment.CompareAndSwap(now, int32(max(0, length-1))) {
			return
		}
	}
}
