package datagram

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A link-local address keeps its zone on the way into a socket address and out
// of it, by the interface's name.
func TestZone(t *testing.T) {
	loopback, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip("no interface lo:", err)
	}
	c := sysCall{socket: socketInfo{family: unix.AF_INET6}}
	for _, zone := range []string{"lo", "4000000"} {
		want := AddressFromAddrPort(netip.MustParseAddrPort("[fe80::1%" + zone + "]:7"))
		for range 2 { // the second time from the cache
			length, err := c.address(&c.name, want)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.sender(&c.name, length); got != want {
				t.Errorf("%v became %v", want, got)
			}
		}
	}
	if name := new(senderCache).zone(uint32(loopback.Index)); name != "lo" {
		t.Errorf("the loopback's zone is %q", name)
	}
	if name := new(senderCache).zone(4000000); name != "4000000" {
		t.Errorf("the zone of no interface is %q", name)
	}
}

// A destination path that does not fit a socket address is refused.
func TestUnixPath(t *testing.T) {
	p := pairs["unixgram named"](t)
	for _, path := range []string{"", string(make([]byte, 200))} {
		to := AddressFromNet(&net.UnixAddr{Name: path, Net: "unixgram"})
		if n, err := p.a.SendMessages(t.Context(), []OutputMessage{{Address: to}}, MsgNone, time.Second); n != 0 || !errors.Is(err, ErrInvalidArgument) {
			t.Error(n, err)
		}
	}
}

// What follows each other in memory is one buffer for the kernel, but never across
// the messages of a receive, and empty vectors are none.
func TestJoinedVectors(t *testing.T) {
	slab := make([]byte, 100)
	vectors := [][]byte{slab[:10], slab[10:10], slab[10:30], slab[31:40], slab[20:31], slab[40:50]}
	iovecs := appendVectors(nil, 0, vectors)
	iovecs = appendVectors(iovecs, len(iovecs), [][]byte{slab[50:60], nil, slab[60:]})
	want := [][2]int{{0, 30}, {31, 40}, {20, 31}, {40, 50}, {50, 100}}
	var got [][2]int
	for _, v := range iovecs {
		from := int(uintptr(unsafe.Pointer(v.Base)) - uintptr(unsafe.Pointer(&slab[0])))
		got = append(got, [2]int{from, from + int(v.Len)})
	}
	if !slices.Equal(got, want) {
		t.Errorf("the kernel gets %v, not %v", got, want)
	}
}
