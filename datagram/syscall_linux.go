package datagram

import (
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysCall is the memory of one recvmsg or sendmsg, kept so that a call
// allocates nothing.
type sysCall struct {
	socket  socketInfo
	header  unix.Msghdr
	name    unix.RawSockaddrAny
	iovecs  []unix.Iovec
	senders senderCache
}

// receive receives one datagram into m. Its error is an unix.Errno or
// errEndOfStream.
func (c *sysCall) receive(fd uintptr, m *InputMessage, flags MsgFlags) error {
	if err := c.load(m.Vectors); err != nil {
		return err
	}
	c.header.Name = (*byte)(unsafe.Pointer(&c.name))
	c.header.Namelen = unix.SizeofSockaddrAny
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
	m.Address = c.sender()
	return nil
}

// send sends m as one datagram. Its error is an unix.Errno or an *IOError.
func (c *sysCall) send(fd uintptr, m *OutputMessage, flags MsgFlags) error {
	if err := c.load(m.Vectors); err != nil {
		return err
	}
	c.header.Name, c.header.Namelen = nil, 0
	if m.Address.IsValid() {
		length, err := c.address(m.Address)
		if err != nil {
			c.unload()
			return err
		}
		c.header.Name = (*byte)(unsafe.Pointer(&c.name))
		c.header.Namelen = length
	}
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
	c.iovecs = c.iovecs[:0]
	for _, v := range vectors {
		if len(v) > 0 {
			iov := unix.Iovec{Base: unsafe.SliceData(v)}
			iov.SetLen(len(v))
			c.iovecs = append(c.iovecs, iov)
		}
	}
	c.header.Iov = unsafe.SliceData(c.iovecs)
	c.header.SetIovlen(len(c.iovecs))
	return nil
}

// unload lets go of the caller's memory.
func (c *sysCall) unload() {
	clear(c.iovecs)
}

// address writes an address into name and returns its length.
func (c *sysCall) address(a Address) (uint32, error) {
	ip := a.AddrPort().Addr()
	switch {
	case c.socket.family == unix.AF_INET && ip.Is4():
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&c.name))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: ip.As4()}
		setPort(&sa.Port, a.AddrPort().Port())
		return unix.SizeofSockaddrInet4, nil
	case c.socket.family == unix.AF_INET6 && ip.IsValid():
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&c.name))
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
			return c.unixAddress(u.name)
		}
	}
	return 0, wrongFamily(a)
}

// unixAddress writes a path, or a name of the abstract space that begins with
// "@", into name.
func (c *sysCall) unixAddress(path string) (uint32, error) {
	sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(&c.name))
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

// sender returns the address in name.
func (c *sysCall) sender() Address {
	if c.header.Namelen < 2 {
		return Address{}
	}
	switch c.name.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&c.name))
		return Address{ip: netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), port(&sa.Port))}
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&c.name))
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 && ip.Is6() {
			ip = ip.WithZone(c.senders.zone(sa.Scope_id))
		}
		return Address{ip: netip.AddrPortFrom(ip, port(&sa.Port))}
	case unix.AF_UNIX:
		sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(&c.name))
		length := min(int(c.header.Namelen)-2, len(sa.Path))
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
