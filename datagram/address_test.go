package datagram

import (
	"net"
	"net/netip"
	"testing"
)

// slicedAddr is a net.Addr that == panics on.
type slicedAddr struct{ parts []string }

func (slicedAddr) Network() string  { return "sliced" }
func (s slicedAddr) String() string { return s.parts[0] }

func TestAddress(t *testing.T) {
	if a := (Address{}); a.IsValid() || a.NetAddr() != nil || a.String() != "none" || a.AddrPort().IsValid() {
		t.Errorf("the zero Address is %v", a)
	}
	for _, none := range []net.Addr{nil, (*net.UDPAddr)(nil), (*net.UnixAddr)(nil)} {
		if AddressFromNet(none).IsValid() {
			t.Errorf("%T nil is an address", none)
		}
	}
	v4 := netip.MustParseAddrPort("192.0.2.1:7")
	same := []Address{
		AddressFromAddrPort(v4),
		AddressFromAddrPort(netip.MustParseAddrPort("[::ffff:192.0.2.1]:7")),
		AddressFromNet(net.UDPAddrFromAddrPort(v4)),
		AddressFromNet(&net.UDPAddr{IP: net.ParseIP("192.0.2.1"), Port: 7}), // 16 bytes
	}
	for _, a := range same {
		if a != same[0] || a.AddrPort() != v4 || a.String() != "192.0.2.1:7" || a.NetAddr().String() != "192.0.2.1:7" {
			t.Errorf("%v is not the same", a)
		}
	}
	if a := AddressFromNet(&net.UDPAddr{Port: 7}); a.String() != "0.0.0.0:7" {
		t.Error("without an IP:", a)
	}
	zoned := netip.MustParseAddrPort("[fe80::1%eth0]:7")
	if a := AddressFromNet(&net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 7, Zone: "eth0"}); a.AddrPort() != zoned {
		t.Error("with a zone:", a)
	}

	a, b := AddressFromNet(&net.UnixAddr{Name: "/x", Net: "unixgram"}), AddressFromNet(&net.UnixAddr{Name: "/x", Net: "unixgram"})
	if a != b || a.AddrPort().IsValid() || a.String() != "/x" {
		t.Errorf("%v and %v", a, b)
	}
	if u, ok := a.NetAddr().(*net.UnixAddr); !ok || *u != (net.UnixAddr{Name: "/x", Net: "unixgram"}) {
		t.Errorf("%v", a.NetAddr())
	}
	other := &net.IPAddr{IP: net.IPv4(192, 0, 2, 1)}
	if a := AddressFromNet(other); a.NetAddr() != net.Addr(other) || !a.IsValid() {
		t.Error(a)
	}
	sliced := AddressFromNet(slicedAddr{[]string{"here"}})
	if copied := sliced; copied != sliced || !sliced.IsValid() || sliced.String() != "here" || sliced.NetAddr().Network() != "sliced" {
		t.Error(sliced)
	}
	for _, a := range []Address{{}, same[0], AddressFromAddrPort(zoned), a, sliced} {
		if got := string(a.AppendTo([]byte("at "))); got != "at "+a.String() {
			t.Errorf("%v is appended as %q", a, got)
		}
	}
	for a, want := range map[Address]string{{}: "", same[0]: "192.0.2.1", AddressFromAddrPort(zoned): "fe80::1%eth0", a: ""} {
		if got := string(a.AppendHostTo(nil)); got != want {
			t.Errorf("host of %v is appended as %q", a, got)
		}
	}
	room := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { room = AddressFromAddrPort(zoned).AppendTo(room[:0]) }); n != 0 {
		t.Errorf("%v allocations to append an address", n)
	}
	seen := map[Address]bool{sliced: true, a: true}
	if !seen[b] {
		t.Error("not found as a key")
	}
}
