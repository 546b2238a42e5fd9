//go:build unix && !linux

package datagram

import (
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// sysCall makes the system calls through x/sys, which allocates a little for
// each datagram; Linux has a version without.
type sysCall struct {
	socket  socketInfo
	offload *offload
	calls   int // system calls made
}

// receive receives one datagram into the first message, and returns how many it
// received. Its error is an unix.Errno, errEndOfStream or an *IOError.
func (c *sysCall) receive(fd uintptr, messages []InputMessage, flags MsgFlags) (int, error) {
	if err := c.receiveOne(fd, &messages[0], flags); err != nil {
		return 0, err
	}
	return 1, nil
}

// send sends the first message, and returns how many it sent. Its error is an
// unix.Errno or an *IOError.
func (c *sysCall) send(fd uintptr, messages []OutputMessage, flags MsgFlags) (int, error) {
	if err := c.sendOne(fd, &messages[0], flags); err != nil {
		return 0, err
	}
	return 1, nil
}

// receiveOne receives one datagram into m.
func (c *sysCall) receiveOne(fd uintptr, m *InputMessage, flags MsgFlags) error {
	if len(m.Vectors) > MaxVectors {
		return tooManyVectors(len(m.Vectors))
	}
	c.calls++
	n, _, got, from, err := unix.RecvmsgBuffers(int(fd), m.Vectors, nil, int(flags))
	if err != nil {
		return err
	}
	if n == 0 && c.socket.kind == unix.SOCK_SEQPACKET && got&unix.MSG_TRUNC == 0 {
		return errEndOfStream
	}
	m.BytesReceived = min(n, size(m.Vectors))
	m.Flags = MsgFlags(got)
	m.Address = c.sender(from)
	return nil
}

// sendOne sends m as one datagram.
func (c *sysCall) sendOne(fd uintptr, m *OutputMessage, flags MsgFlags) error {
	if len(m.Vectors) > MaxVectors {
		return tooManyVectors(len(m.Vectors))
	}
	var to unix.Sockaddr
	if m.Address.IsValid() {
		var err error
		if to, err = c.address(m.Address); err != nil {
			return err
		}
	}
	c.calls++
	n, err := unix.SendmsgBuffers(int(fd), m.Vectors, nil, to, int(flags))
	if err == nil {
		m.BytesSent = n
	}
	return err
}

func (c *sysCall) address(a Address) (unix.Sockaddr, error) {
	ip, port := a.AddrPort().Addr(), int(a.AddrPort().Port())
	switch {
	case c.socket.family == unix.AF_INET && ip.Is4():
		return &unix.SockaddrInet4{Port: port, Addr: ip.As4()}, nil
	case c.socket.family == unix.AF_INET6 && ip.IsValid():
		sa := &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
		if zone := ip.Zone(); zone != "" {
			id, err := strconv.ParseUint(zone, 10, 32)
			if i, lookup := net.InterfaceByName(zone); lookup == nil {
				id, err = uint64(i.Index), nil
			}
			if err != nil {
				return nil, NewError(CodeInvalidArgument, "there is no network interface %q, which the address names", zone)
			}
			sa.ZoneId = uint32(id)
		}
		return sa, nil
	case c.socket.family == unix.AF_UNIX:
		if u, ok := a.other.(unixAddress); ok {
			return &unix.SockaddrUnix{Name: u.name}, nil
		}
	}
	return nil, wrongFamily(a)
}

func (c *sysCall) sender(from unix.Sockaddr) Address {
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		return Address{ip: netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port))}
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(from.Addr).Unmap()
		if from.ZoneId != 0 && ip.Is6() {
			zone := strconv.FormatUint(uint64(from.ZoneId), 10)
			if i, err := net.InterfaceByIndex(int(from.ZoneId)); err == nil {
				zone = i.Name
			}
			ip = ip.WithZone(zone)
		}
		return Address{ip: netip.AddrPortFrom(ip, uint16(from.Port))}
	case *unix.SockaddrUnix:
		if from.Name != "" {
			network := "unixgram"
			if c.socket.kind == unix.SOCK_SEQPACKET {
				network = "unixpacket"
			}
			return Address{other: unixAddress{from.Name, network}}
		}
	}
	return Address{}
}
