package serverconn

import (
	"net"
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
	l := newRateLimiter(rate{perSecond: 1, burst: 1}, now)
	unix := func(name string) datagram.Address {
		return datagram.AddressFromNet(&net.UnixAddr{Name: name, Net: "unixgram"})
	}
	for _, test := range []struct {
		address datagram.Address
		want    bool
	}{
		{addressOf("192.0.2.1:1"), true},
		{addressOf("192.0.2.1:2"), false}, // another port of the host
		{addressOf("192.0.2.2:1"), true},
		{addressOf("[2001:db8::1]:1"), true},
		{addressOf("[2001:db8::2:1]:1"), false}, // the same network
		{addressOf("[2001:db8:0:1::1]:1"), true},
		{unix("a"), true},
		{unix("a"), false},
		{unix("b"), true},
	} {
		if got := l.allow(test.address, now); got != test.want {
			t.Errorf("%v is allowed: %v", test.address, got)
		}
	}
	one := addressOf("192.0.2.1:1")
	if n := testing.AllocsPerRun(100, func() { l.allow(one, now) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	none := newRateLimiter(rate{}, now)
	for range 3 {
		if !none.allow(one, now) {
			t.Error("no limit limits")
		}
	}
}
