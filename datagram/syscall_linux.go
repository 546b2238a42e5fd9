package datagram

import (
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysCall makes the system calls of one call. It is the memory of one recvmsg or
// sendmsg, kept so that a call allocates nothing; what many messages need is
// borrowed for as long as they move (burst, haul).
type sysCall struct {
	socket  socketInfo
	offload *offload
	calls   int // system calls made
	header  unix.Msghdr
	name    unix.RawSockaddrAny
	iovecs  []unix.Iovec
	senders senderCache
}

// receive receives into the messages what one system call yields, and returns
// how many these are. Its error is an unix.Errno, also EAGAIN beside some
// messages when no more are there, errEndOfStream or an *IOError.
func (c *sysCall) receive(fd uintptr, messages []InputMessage, flags MsgFlags) (int, error) {
	o := c.offload
	o.receiving.Lock()
	defer o.receiving.Unlock()
	if len(messages) > 1 {
		o.startCoalescing(fd)
	}
	switch {
	case o.coalescing && flags&unix.MSG_ERRQUEUE == 0:
		return c.receiveCoalesced(fd, messages, flags)
	case len(messages) > 1 && o.has(Batching) && flags&^MsgTrunc == 0:
		return c.receiveBurst(fd, messages, flags)
	}
	if err := c.receiveOne(fd, &messages[0], flags); err != nil {
		return 0, err
	}
	return 1, nil
}

// send sends what one system call takes of the messages, and returns how many
// these are. Its error is an unix.Errno or an *IOError.
func (c *sysCall) send(fd uintptr, messages []OutputMessage, flags MsgFlags) (int, error) {
	if len(messages) > 1 && c.offload.has(Batching|GSO) && flags&^MsgDontRoute == 0 {
		return c.sendBurst(fd, messages, flags)
	}
	if err := c.sendOne(fd, &messages[0], flags); err != nil {
		return 0, err
	}
	return 1, nil
}

// receiveOne receives one datagram into m.
func (c *sysCall) receiveOne(fd uintptr, m *InputMessage, flags MsgFlags) error {
	if err := c.load(m.Vectors); err != nil {
		return err
	}
	c.header.Name = (*byte)(unsafe.Pointer(&c.name))
	c.header.Namelen = unix.SizeofSockaddrAny
	c.calls++
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&c.header)), uintptr(flags))
	c.unload()
	if errno != 0 {
		return errno
	}
	if n == 0 && c.socket.kind == unix.SOCK_SEQPACKET && c.header.Flags&unix.MSG_TRUNC == 0 {
		return errEndOfStream
	}
	// With MSG_TRUNC asked for, the kernel returns the datagram's own length.
	m.BytesReceived = min(int(n), size(m.Vectors))
	m.Flags = MsgFlags(c.header.Flags)
	m.Address = c.sender(&c.name, c.header.Namelen)
	return nil
}

// sendOne sends m as one datagram.
func (c *sysCall) sendOne(fd uintptr, m *OutputMessage, flags MsgFlags) error {
	if err := c.load(m.Vectors); err != nil {
		return err
	}
	c.header.Name, c.header.Namelen = nil, 0
	if m.Address.IsValid() {
		length, err := c.address(&c.name, m.Address)
		if err != nil {
			c.unload()
			return err
		}
		c.header.Name = (*byte)(unsafe.Pointer(&c.name))
		c.header.Namelen = length
	}
	c.calls++
	n, _, errno := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&c.header)), uintptr(flags))
	c.unload()
	if errno != 0 {
		return errno
	}
	m.BytesSent = int(n)
	return nil
}

// load points the header at the vectors.
func (c *sysCall) load(vectors [][]byte) error {
	if len(vectors) > MaxVectors {
		return tooManyVectors(len(vectors))
	}
	c.iovecs = appendVectors(c.iovecs[:0], 0, vectors)
	c.header.Iov = unsafe.SliceData(c.iovecs)
	c.header.SetIovlen(len(c.iovecs))
	return nil
}

// appendVectors appends what of the vectors is not empty, for a message or a run of
// them that begins at the index. What follows in memory what comes before it becomes
// one with that: the kernel takes its time for each.
func appendVectors(iovecs []unix.Iovec, first int, vectors [][]byte) []unix.Iovec {
	for _, v := range vectors {
		if len(v) == 0 {
			continue
		}
		if last := len(iovecs) - 1; last >= first && follows(&iovecs[last], v) {
			iovecs[last].SetLen(int(iovecs[last].Len) + len(v))
			continue
		}
		iov := unix.Iovec{Base: unsafe.SliceData(v)}
		iov.SetLen(len(v))
		iovecs = append(iovecs, iov)
	}
	return iovecs
}

// follows reports whether v begins where the buffer ends. It compares numbers: what
// lies there need not be part of the same allocation.
func follows(buffer *unix.Iovec, v []byte) bool {
	return uintptr(unsafe.Pointer(buffer.Base))+uintptr(buffer.Len) == uintptr(unsafe.Pointer(unsafe.SliceData(v)))
}

// unload lets go of the caller's memory.
func (c *sysCall) unload() {
	clear(c.iovecs)
}

// address writes an address into name and returns its length.
func (c *sysCall) address(name *unix.RawSockaddrAny, a Address) (uint32, error) {
	ip := a.AddrPort().Addr()
	switch {
	case c.socket.family == unix.AF_INET && ip.Is4():
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: ip.As4()}
		setPort(&sa.Port, a.AddrPort().Port())
		return unix.SizeofSockaddrInet4, nil
	case c.socket.family == unix.AF_INET6 && ip.IsValid():
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(name))
		*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: ip.As16()}
		setPort(&sa.Port, a.AddrPort().Port())
		if zone := ip.Zone(); zone != "" {
			scope, err := c.senders.scope(zone)
			if err != nil {
				return 0, err
			}
			sa.Scope_id = scope
		}
		return unix.SizeofSockaddrInet6, nil
	case c.socket.family == unix.AF_UNIX:
		if u, ok := a.other.(unixAddress); ok {
			return unixName(name, u.name)
		}
	}
	return 0, wrongFamily(a)
}

// unixName writes a path, or a name of the abstract space that begins with "@",
// into name and returns its length.
func unixName(name *unix.RawSockaddrAny, path string) (uint32, error) {
	sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(name))
	if path == "" || len(path) >= len(sa.Path) {
		return 0, NewError(CodeInvalidArgument, "the socket path %q is empty or longer than %d bytes", path, len(sa.Path)-1)
	}
	*sa = unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&sa.Path[0])), len(sa.Path)), path)
	length := 2 + len(path) + 1
	if path[0] == '@' {
		sa.Path[0] = 0
		length--
	}
	return uint32(length), nil
}

// sender returns the address in name, which is so long.
func (c *sysCall) sender(name *unix.RawSockaddrAny, length uint32) Address {
	if length < 2 {
		return Address{}
	}
	switch name.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return Address{ip: netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), port(&sa.Port))}
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(name))
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 && ip.Is6() {
			ip = ip.WithZone(c.senders.zone(sa.Scope_id))
		}
		return Address{ip: netip.AddrPortFrom(ip, port(&sa.Port))}
	case unix.AF_UNIX:
		sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(name))
		length := min(int(length)-2, len(sa.Path))
		if length <= 0 {
			return Address{} // the sender is not bound
		}
		return c.senders.unix(unsafe.Slice((*byte)(unsafe.Pointer(&sa.Path[0])), length), c.socket.kind)
	}
	return Address{}
}

// A port in a socket address has the network's byte order.
func setPort(p *uint16, port uint16) {
	b := (*[2]byte)(unsafe.Pointer(p))
	b[0], b[1] = byte(port>>8), byte(port)
}

func port(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// senderCache remembers the last of the things about an address that cost an
// allocation or a system call to find out.
type senderCache struct {
	zoneID   uint32
	zoneName string
	unixName []byte
	unixKind int
	unixAddr Address
}

// zone returns the name of the interface that a link-local address belongs to,
// its number if there is none.
func (s *senderCache) zone(id uint32) string {
	if s.zoneID != id {
		s.zoneID, s.zoneName = id, strconv.FormatUint(uint64(id), 10)
		if i, err := net.InterfaceByIndex(int(id)); err == nil {
			s.zoneName = i.Name
		}
	}
	return s.zoneName
}

// scope is the reverse of zone.
func (s *senderCache) scope(zone string) (uint32, error) {
	if s.zoneID == 0 || s.zoneName != zone {
		id, err := strconv.ParseUint(zone, 10, 32)
		if i, lookup := net.InterfaceByName(zone); lookup == nil {
			id, err = uint64(i.Index), nil
		}
		if err != nil {
			return 0, NewError(CodeInvalidArgument, "there is no network interface %q, which the address names", zone)
		}
		s.zoneID, s.zoneName = uint32(id), zone
	}
	return s.zoneID, nil
}

// unix returns the address of a Unix socket's name.
func (s *senderCache) unix(name []byte, kind int) Address {
	if !s.unixAddr.IsValid() || s.unixKind != kind || string(s.unixName) != string(name) {
		s.unixKind = kind
		s.unixName = append(s.unixName[:0], name...)
		text := append([]byte(nil), name...)
		if text[0] == 0 {
			text[0] = '@'
		} else if end := len(text) - 1; text[end] == 0 {
			text = text[:end]
		}
		network := "unixgram"
		if kind == unix.SOCK_SEQPACKET {
			network = "unixpacket"
		}
		s.unixAddr = Address{other: unixAddress{string(text), network}}
	}
	return s.unixAddr
}
