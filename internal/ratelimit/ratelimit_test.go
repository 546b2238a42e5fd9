package ratelimit

import (
	"encoding/binary"
	"math"
	"net/netip"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	now := time.Now()
	l := New[netip.Addr](10, 3, now)
	count := func(address string, tries int) (allowed int) {
		for range tries {
			if l.Allow(Network(netip.MustParseAddr(address)), now) {
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
	want("a burst", count("192.0.2.1", 10), 3)
	want("the address as one of IPv6", count("::ffff:192.0.2.1", 1), 0)
	want("another address", count("192.0.2.2", 10), 3)
	want("an IPv6 network", count("2001:db8::1", 10), 3)
	want("the same network", count("2001:db8::2:1", 1), 0)
	want("the same network and a zone", count("2001:db8::2:2%eth0", 1), 0)
	want("another network", count("2001:db8:0:1::1", 1), 1)
	now = now.Add(99 * time.Millisecond)
	want("before the next token", count("192.0.2.1", 1), 0)
	now = now.Add(time.Millisecond)
	want("the next token", count("192.0.2.1", 2), 1)
	now = now.Add(150 * time.Millisecond)
	want("one and a half", count("192.0.2.1", 2), 1)
	now = now.Add(50 * time.Millisecond)
	want("and the other half", count("192.0.2.1", 2), 1)
	now = now.Add(time.Hour)
	want("no more than a burst after a pause", count("192.0.2.1", 10), 3)
}

func TestLimiterExtremes(t *testing.T) {
	now := time.Now()
	for _, r := range []struct {
		perSecond float64
		burst     int
	}{{1e-300, 1 << 40}, {1e300, 1 << 40}, {1, -1}} {
		if l := New[string](r.perSecond, r.burst, now); !l.Allow("x", now) {
			t.Errorf("%v allows nothing", r)
		}
	}
	for _, none := range []float64{0, -1, math.NaN()} {
		if l := New[string](none, 1, now); l != nil || !l.Allow("x", now) {
			t.Errorf("%v a second is a limit", none)
		}
	}
}

// Who floods from any number of addresses neither makes memory grow nor takes away
// what the limiter knows of an address that has used up its tokens.
func TestLimiterFlood(t *testing.T) {
	now := time.Now()
	l := New[netip.Addr](1, 2, now)
	greedy := netip.MustParseAddr("192.0.2.1")
	for l.Allow(greedy, now) {
	}
	var n uint32
	flood := func() {
		ip := [4]byte{10}
		n++
		binary.BigEndian.PutUint32(ip[:], 10<<24|n)
		l.Allow(netip.AddrFrom4(ip), now)
	}
	if allocs := testing.AllocsPerRun(50_000, flood); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if l.Allow(greedy, now) {
		t.Error("the flood had the limiter forget an address")
	}
}
