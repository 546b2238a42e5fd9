package datagram

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// haulSize is the most parcels that one system call fills. It bounds what a
// socket holds of datagrams that were not asked for yet: 8 times 64 KiB.
const haulSize = 8

// haul is the memory of one receive with UDP_GRO, and what it received. The
// kernel puts datagrams together that have one sender and one size, so whatever
// it gives needs room for 64 KiB, and may be more datagrams than the call wants.
// These stay, and the socket keeps the haul until they are used up.
type haul struct {
	headers  [haulSize]mmsghdr
	names    [haulSize]unix.RawSockaddrAny
	controls [haulSize][controlSize]uint64
	iovecs   [haulSize]unix.Iovec
	buffers  [haulSize][]byte // MaxDatagram bytes each, made when first needed

	parcels [haulSize]parcel
	next    int // the parcel that is being used up
	count   int // of parcels
}

// controlSize is the room for control messages, in units of 8 bytes. That of
// UDP_GRO is all that is asked for; those of options that the conn's maker has
// set fit beside it.
const controlSize = 16

// parcel is what is left of datagrams that came as one.
type parcel struct {
	rest []byte
	each int // bytes of a datagram; the last may be shorter
	from Address
}

var hauls = sync.Pool{New: func() any { return new(haul) }}

func (h *haul) release() {
	clear(h.parcels[:h.count]) // the addresses may hold memory
	h.next, h.count = 0, 0
	hauls.Put(h)
}

func (h *haul) empty() bool { return h.next == h.count }

// fill receives at most so many parcels into an empty haul.
func (h *haul) fill(c *sysCall, fd uintptr, wanted int, flags MsgFlags) unix.Errno {
	for i := range wanted {
		if h.buffers[i] == nil {
			h.buffers[i] = make([]byte, MaxDatagram)
			h.iovecs[i].Base = &h.buffers[i][0]
			h.iovecs[i].SetLen(MaxDatagram)
		}
		header := &h.headers[i].Msghdr
		*header = unix.Msghdr{
			Name:    (*byte)(unsafe.Pointer(&h.names[i])),
			Namelen: unix.SizeofSockaddrAny,
			Iov:     &h.iovecs[i],
			Control: (*byte)(unsafe.Pointer(&h.controls[i])),
		}
		header.SetIovlen(1)
		header.SetControllen(8 * controlSize)
	}
	c.calls++
	n, errno := transfer(fd, h.headers[:wanted], unix.SYS_RECVMSG, unix.SYS_RECVMMSG, flags)
	if errno != 0 {
		return errno
	}
	h.next, h.count = 0, n
	for i := range n {
		header := &h.headers[i]
		p := &h.parcels[i]
		p.rest = h.buffers[i][:header.n]
		p.each = len(p.rest)
		control := (*[8 * controlSize]byte)(unsafe.Pointer(&h.controls[i]))
		if each := segmentSize(control[:header.Controllen]); each > 0 {
			p.each = min(p.each, each)
		}
		p.from = c.sender(&h.names[i], header.Namelen)
	}
	return 0
}

// segmentSize returns the value of UDP_GRO in control messages, 0 if it is not
// there: then the datagram is one.
func segmentSize(control []byte) int {
	for len(control) >= unix.SizeofCmsghdr {
		header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		length := int(header.Len)
		if length < unix.SizeofCmsghdr || length > len(control) {
			return 0
		}
		if header.Level == unix.SOL_UDP && header.Type == unix.UDP_GRO && length >= unix.CmsgLen(4) {
			return int(*(*int32)(unsafe.Pointer(&control[unix.CmsgLen(0)])))
		}
		control = control[min(len(control), unix.CmsgSpace(length-unix.CmsgLen(0))):]
	}
	return 0
}

// average returns how many datagrams the parcels had, each, when they came.
func (h *haul) average() int {
	total := 0
	for i := range h.parcels[:h.count] {
		p := &h.parcels[i]
		if p.each > 0 {
			total += (len(p.rest) + p.each - 1) / p.each
		}
	}
	return max(1, total/h.count)
}

// take fills messages with the next datagrams, or with the very next that stays,
// and returns how many it filled.
func (h *haul) take(messages []InputMessage, peek bool) (n int) {
	for n < len(messages) && !h.empty() {
		p := &h.parcels[h.next]
		length := min(p.each, len(p.rest))
		deliver(&messages[n], p.rest[:length], p.from)
		n++
		if peek {
			break
		}
		if p.rest = p.rest[length:]; len(p.rest) == 0 {
			h.next++
		}
	}
	return n
}

// pending reports whether datagrams are held that a receive would return without
// a look into the kernel.
func (o *offload) pending() bool { return o.held.Load() }

// startCoalescing sets UDP_GRO, if that was not tried before. This waits for the
// first receive that wants several datagrams, since from then on every receive
// goes by way of a haul, which costs a copy. The lock is held.
func (o *offload) startCoalescing(fd uintptr) {
	if o.coalescing || !o.has(GRO) {
		return
	}
	if unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1) != nil {
		o.giveUp(GRO)
		return
	}
	o.coalescing = true
}

// receiveCoalesced receives datagrams by way of a haul. Of a peek, too, the
// datagrams leave the kernel, but stay in the haul. The lock is held.
func (c *sysCall) receiveCoalesced(fd uintptr, messages []InputMessage, flags MsgFlags) (int, error) {
	for i := range messages {
		if vectors := len(messages[i].Vectors); vectors > MaxVectors {
			if i == 0 {
				return 0, tooManyVectors(vectors)
			}
			messages = messages[:i]
			break
		}
	}
	o, n, peek := c.offload, 0, flags&MsgPeek != 0
	if o.haul != nil {
		n = o.haul.take(messages, peek)
	}
	if n == len(messages) {
		o.settle()
		return n, nil
	}
	if o.haul == nil {
		o.haul = hauls.Get().(*haul)
	}
	wanted := o.parcels(len(messages) - n)
	if errno := o.haul.fill(c, fd, wanted, flags&^(MsgPeek|MsgTrunc)); errno != 0 {
		o.settle()
		return n, o.batchingRefused(errno)
	}
	drained := o.haul.count < wanted
	o.perParcel = o.haul.average()
	n += o.haul.take(messages[n:], peek)
	o.settle()
	if drained && n < len(messages) {
		return n, unix.EAGAIN
	}
	return n, nil
}

// parcels returns how many parcels to receive at once for so many datagrams: as
// many as they came in of late, and one more if that may be too few. The lock is
// held.
func (o *offload) parcels(datagrams int) int {
	if !o.has(Batching) || datagrams == 1 {
		return 1
	}
	return min(haulSize, max(2, (datagrams+o.perParcel-1)/o.perParcel))
}

// settle keeps the haul if something is left in it, and gives it back if not.
// The lock is held.
func (o *offload) settle() {
	if o.haul != nil && o.haul.empty() {
		o.haul.release()
		o.haul = nil
	}
	if held := o.haul != nil; held != o.held.Load() {
		o.held.Store(held)
	}
}
