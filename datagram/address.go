package datagram

import (
	"net"
	"net/netip"
	"reflect"
)

// Address is where a datagram comes from or goes to (GSocketAddress). The zero
// value is no address. Addresses can be compared with == and used as map keys:
// IP addresses are equal when their address and port are, Unix addresses when
// their path is, all others when the net.Addr they hold are.
//
// An IP address is held as a netip.AddrPort, so that moving datagrams
// allocates nothing, and an IPv4 address is always held as such, never mapped
// into IPv6.
type Address struct {
	ip    netip.AddrPort
	other net.Addr // nil for an IP address
}

// unixAddress is a Unix socket address that compares by value.
type unixAddress struct{ name, network string }

func (u unixAddress) Network() string { return u.network }
func (u unixAddress) String() string  { return u.name }

// AddressFromAddrPort returns the address of an IP host and port. An IPv4
// address mapped into IPv6 becomes IPv4.
func AddressFromAddrPort(ap netip.AddrPort) Address {
	return Address{ip: unmap(ap)}
}

// AddressFromNet returns the address that a holds, the zero Address for nil. A
// *net.UDPAddr becomes an AddrPort, with 0.0.0.0 for a missing IP.
func AddressFromNet(a net.Addr) Address {
	switch a := a.(type) {
	case nil:
		return Address{}
	case *net.UDPAddr:
		if a == nil {
			return Address{}
		}
		ap := a.AddrPort()
		if !ap.Addr().IsValid() {
			ap = netip.AddrPortFrom(netip.IPv4Unspecified(), ap.Port())
		}
		return Address{ip: unmap(ap)}
	case *net.UnixAddr:
		if a == nil {
			return Address{}
		}
		return Address{other: unixAddress{a.Name, a.Net}}
	}
	if !reflect.ValueOf(a).Comparable() {
		// == on an interface that holds such a value panics; behind a pointer it
		// compares as a pointer does.
		return Address{other: &opaqueAddress{a}}
	}
	return Address{other: a}
}

// opaqueAddress hides an address whose type cannot be compared.
type opaqueAddress struct{ net.Addr }

func unmap(ap netip.AddrPort) netip.AddrPort {
	if ap.Addr().Is4In6() {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return ap
}

// IsValid reports whether there is an address.
func (a Address) IsValid() bool { return a.ip.IsValid() || a.other != nil }

// AddrPort returns the IP address and port, the zero AddrPort for any other
// kind of address.
func (a Address) AddrPort() netip.AddrPort { return a.ip }

// NetAddr returns the address as package net has it, a *net.UDPAddr for an IP
// address and port, nil for the zero Address. It allocates.
func (a Address) NetAddr() net.Addr {
	switch other := a.other.(type) {
	case nil:
		if !a.ip.IsValid() {
			return nil
		}
		return net.UDPAddrFromAddrPort(a.ip)
	case unixAddress:
		return &net.UnixAddr{Name: other.name, Net: other.network}
	case *opaqueAddress:
		return other.Addr
	default:
		return other
	}
}

// AppendTo appends what String returns to dst. It allocates only if dst lacks the
// capacity, for an IP address and port.
func (a Address) AppendTo(dst []byte) []byte {
	if a.other == nil && a.ip.IsValid() {
		return a.ip.AppendTo(dst)
	}
	return append(dst, a.String()...)
}

// AppendHostTo appends the IP address without the port to dst, nothing for any other
// kind of address.
func (a Address) AppendHostTo(dst []byte) []byte {
	if !a.ip.IsValid() {
		return dst
	}
	return a.ip.Addr().AppendTo(dst)
}

// String returns the address in the form of package net, "none" for the zero
// Address.
func (a Address) String() string {
	switch {
	case a.other != nil:
		return a.other.String()
	case a.ip.IsValid():
		return a.ip.String()
	}
	return "none"
}
