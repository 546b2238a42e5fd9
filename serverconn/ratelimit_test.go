package serverconn

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"gdtls/datagram"
)

func addressOf(text string) datagram.Address {
	return datagram.AddressFromAddrPort(netip.MustParseAddrPort(text))
}

func TestRateLimiter(t *testing.T) {
	now := time.Now()
	l := newRateLimiter(rate{perSecond: 10, burst: 3}, now)
	count := func(address string, tries int) (allowed int) {
		for range tries {
			if l.allow(addressOf(address), now) {
				allowed++
			}
		}
		return allowed
	}
	want := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d allowed, want %d", what, got, want)
		}
	}
	want("a burst", count("192.0.2.1:1", 10), 3)
	want("another port of the address", count("192.0.2.1:2", 1), 0)
	want("another address", count("192.0.2.2:1", 10), 3)
	want("an IPv6 network", count("[2001:db8::1]:1", 10), 3)
	want("the same network", count("[2001:db8::2:1]:1", 1), 0)
	want("another network", count("[2001:db8:0:1::1]:1", 1), 1)
	now = now.Add(99 * time.Millisecond)
	want("before the next token", count("192.0.2.1:1", 1), 0)
	now = now.Add(time.Millisecond)
	want("the next token", count("192.0.2.1:1", 2), 1)
	now = now.Add(150 * time.Millisecond)
	want("one and a half", count("192.0.2.1:1", 2), 1)
	now = now.Add(50 * time.Millisecond)
	want("and the other half", count("192.0.2.1:1", 2), 1)
	now = now.Add(time.Hour)
	want("no more than a burst after a pause", count("192.0.2.1:1", 10), 3)
}

func TestRateLimiterExtremes(t *testing.T) {
	now := time.Now()
	for _, r := range []rate{{1e-300, 1 << 40}, {1e300, 1 << 40}, {1, -1}} {
		if l := newRateLimiter(r, now); !l.allow(addressOf("192.0.2.1:1"), now) {
			t.Errorf("%v allows nothing", r)
		}
	}
	if newRateLimiter(rate{}, now) != nil || !(*rateLimiter)(nil).allow(addressOf("192.0.2.1:1"), now) {
		t.Error("no limit limits")
	}
}

// Who floods from any number of addresses neither makes memory grow nor takes away
// what the limiter knows of an address that has used up its tokens.
func TestRateLimiterFlood(t *testing.T) {
	now := time.Now()
	l := newRateLimiter(rate{perSecond: 1, burst: 2}, now)
	greedy := addressOf("192.0.2.1:1")
	for l.allow(greedy, now) {
	}
	var n uint32
	flood := func() {
		ip := [4]byte{10}
		n++
		binary.BigEndian.PutUint32(ip[:], 10<<24|n)
		l.allow(datagram.AddressFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(ip), 1)), now)
	}
	if allocs := testing.AllocsPerRun(50_000, flood); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if l.allow(greedy, now) {
		t.Error("the flood had the limiter forget an address")
	}
}
