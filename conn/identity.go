package conn

import (
	"crypto/x509"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// SocketConnectable says whom a client wants to talk to. It mirrors the part
// of Gio's GSocketConnectable that a DTLS connection uses as its server
// identity (G100, G134). The implementations here are immutable values; one
// of your own must be safe for concurrent use.
type SocketConnectable interface {
	// String describes the identity for people
	// (g_socket_connectable_to_string).
	String() string
	// PeerName is what the peer's certificate must be issued for: a host name
	// or the text of an IP address. No certificate matches an empty name.
	PeerName() string
	// ServerName is the host name for the server_name extension (RFC 6066
	// section 3), without a trailing dot. It is empty when there is none to
	// send, as for an IP address.
	ServerName() string
}

// NetworkAddress is a host name, or the text of an IP address, and a port
// (GNetworkAddress). A name in another script than ASCII must be given in its
// encoded form ("xn--..."), as certificates hold it.
type NetworkAddress struct {
	Hostname string
	// Port is 0 if it does not matter. It takes no part in verification.
	Port uint16
}

// String gives "host:port", or the host alone if Port is 0.
func (a NetworkAddress) String() string {
	if a.Port == 0 {
		return a.Hostname
	}
	return net.JoinHostPort(a.Hostname, strconv.Itoa(int(a.Port)))
}

// PeerName gives Hostname.
func (a NetworkAddress) PeerName() string { return a.Hostname }

// ServerName gives Hostname if it is one that RFC 6066 allows.
func (a NetworkAddress) ServerName() string { return sniName(a.Hostname) }

// NetworkService is a service of a domain, found by its SRV record
// (GNetworkService). The peer's certificate must be issued for the domain.
type NetworkService struct {
	// Service and Protocol are names without underscore, such as "sip" and
	// "udp".
	Service, Protocol string
	Domain            string
}

// String gives the name of the SRV record, such as "_sip._udp.example.org".
func (s NetworkService) String() string {
	return "_" + s.Service + "._" + s.Protocol + "." + s.Domain
}

// PeerName gives Domain.
func (s NetworkService) PeerName() string { return s.Domain }

// ServerName gives Domain if it is a name that RFC 6066 allows.
func (s NetworkService) ServerName() string { return sniName(s.Domain) }

// InetSocketAddress is an IP address and a port (GInetSocketAddress). The
// peer's certificate must carry the address as an IP subject alternative
// name.
type InetSocketAddress struct {
	// AddrPort's port is 0 if it does not matter. It takes no part in
	// verification.
	netip.AddrPort
}

// String gives "address:port", or the address alone if the port is 0.
func (a InetSocketAddress) String() string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.AddrPort.String()
}

// PeerName gives the address without its zone, or "" if it is not valid.
func (a InetSocketAddress) PeerName() string {
	if !a.IsValid() {
		return ""
	}
	return a.Addr().Unmap().WithZone("").String()
}

// ServerName gives "": RFC 6066 allows no addresses.
func (a InetSocketAddress) ServerName() string { return "" }

// ParseIdentity reads a server identity from text: "host", "host:port",
// "192.0.2.1", "192.0.2.1:port", "2001:db8::1" or "[2001:db8::1]:port". An IP
// address gives an [InetSocketAddress], other text a [NetworkAddress], and
// empty text nil, which stands for no identity. Text that is none of these
// becomes a NetworkAddress with all of it as its host name, which matches no
// certificate.
func ParseIdentity(text string) SocketConnectable {
	if text == "" {
		return nil
	}
	if address, err := netip.ParseAddr(text); err == nil {
		return InetSocketAddress{netip.AddrPortFrom(address, 0)}
	}
	if addrPort, err := netip.ParseAddrPort(text); err == nil {
		return InetSocketAddress{addrPort}
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if address, err := netip.ParseAddr(inner); ok && err == nil {
			return InetSocketAddress{netip.AddrPortFrom(address, 0)}
		}
	}
	if host, portText, err := net.SplitHostPort(text); err == nil && host != "" {
		if port, err := strconv.ParseUint(portText, 10, 16); err == nil {
			return NetworkAddress{Hostname: host, Port: uint16(port)}
		}
	}
	return NetworkAddress{Hostname: text}
}

// sniName gives the form of a host name that the server_name extension may
// carry, or "".
func sniName(host string) string {
	host = strings.TrimSuffix(host, ".")
	if isAddress(host) || !isHostname(host) {
		return ""
	}
	return host
}

// isAddress reports whether text is an IP address. Most host names are told from one by
// their last byte.
func isAddress(text string) bool {
	if text == "" || !strings.Contains(text, ":") && (text[len(text)-1] < '0' || text[len(text)-1] > '9') {
		return false
	}
	_, err := netip.ParseAddr(text)
	return err == nil
}

// isHostname reports whether host is a DNS name in ASCII without a trailing
// dot: labels of 1 to 63 letters, digits, hyphens and underscores, at most
// 253 bytes in all (RFC 1035 section 2.3.4; underscores occur in practice).
func isHostname(host string) bool {
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return true
}

// matchedName is whether a certificate was issued for a name. A peer's certificate is
// one object for all connections that show it, most often for one name.
type matchedName struct {
	name    string
	matches bool
}

// matches reports whether the certificate was issued for the identity.
func (c *TlsCertificate) matches(identity SocketConnectable) bool {
	name := identity.PeerName()
	known := c.matched.Load()
	if known == nil || known.name != name {
		known = &matchedName{name, matchesName(c.leaf, name)}
		c.matched.Store(known)
	}
	return known.matches
}

// matchesName reports whether the certificate was issued for the name or address of
// an identity, by its subject alternative names only (RFC 9525 section 6; the
// common name has no say). Letter case does not matter. A name with a
// trailing dot matches nothing, as in Gio.
func matchesName(certificate *x509.Certificate, name string) bool {
	if address, err := netip.ParseAddr(name); err == nil {
		address = address.Unmap().WithZone("")
		for _, ip := range certificate.IPAddresses {
			if candidate, ok := netip.AddrFromSlice(ip); ok && candidate.Unmap() == address {
				return true
			}
		}
		return false
	}
	return isHostname(name) && certificate.VerifyHostname(name) == nil
}
