package datagram

import "golang.org/x/sys/unix"

// The most bytes of a datagram that UDP's and IPv4's length fields allow, and of
// their headers, IPv4's without options.
const (
	udpHeader  = 8
	ipv4Header = 20
	ipv6Header = 40
	mostIPv4   = 65535 - udpHeader - ipv4Header
	mostIPv6   = 65535 - udpHeader
)

// maximum returns the longest message to the address, or without one to the
// socket's peer, remote; 0 if it is not known.
func (o *offload) maximum(fd int, socket socketInfo, remote, to Address) int {
	if socket.family == unix.AF_UNIX {
		return 0
	}
	if !to.IsValid() {
		to = remote
	}
	most, header := mostIPv6, udpHeader+ipv6Header
	if ip := to.AddrPort().Addr(); ip.Is4() || !ip.IsValid() && socket.family == unix.AF_INET {
		most, header = mostIPv4, udpHeader+ipv4Header
	}
	if !to.IsValid() || !o.has(DontFragment) {
		return most
	}
	mtu := 0
	if to == remote {
		mtu = pathMTU(fd, header)
	} else {
		mtu = routeMTU(to, header)
	}
	if mtu <= header {
		return most // the kernel knows no way there; sending will tell
	}
	return min(most, mtu-header)
}

// pathMTU returns the kernel's estimate of the MTU on the way from a connected
// socket to its peer, 0 if it has none.
func pathMTU(fd, header int) int {
	level, option := unix.IPPROTO_IPV6, unix.IPV6_MTU
	if header == udpHeader+ipv4Header {
		level, option = unix.IPPROTO_IP, unix.IP_MTU
	}
	mtu, err := unix.GetsockoptInt(fd, level, option)
	if err != nil {
		return 0
	}
	return mtu
}

// routeMTU returns the kernel's estimate for a destination that no socket is
// connected to: it connects one, which sends nothing.
func routeMTU(to Address, header int) int {
	var name unix.Sockaddr
	family, ip, port := unix.AF_INET6, to.AddrPort().Addr(), int(to.AddrPort().Port())
	if ip.Is4() {
		family, name = unix.AF_INET, &unix.SockaddrInet4{Addr: ip.As4(), Port: port}
	} else {
		sa := &unix.SockaddrInet6{Addr: ip.As16(), Port: port}
		if zone := ip.Zone(); zone != "" {
			scope, err := new(senderCache).scope(zone)
			if err != nil {
				return 0
			}
			sa.ZoneId = scope
		}
		name = sa
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	if unix.Connect(fd, name) != nil {
		return 0
	}
	return pathMTU(fd, header)
}
