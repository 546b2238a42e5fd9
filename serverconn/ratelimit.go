package serverconn

import (
	"net/netip"
	"time"

	"gdtls/datagram"
	"gdtls/internal/ratelimit"
)

// rate is how many are allowed in a second, after burst at once; zero for no limit.
type rate struct {
	perSecond float64
	burst     int
}

// rateLimiter limits how often something is done for each host.
type rateLimiter struct{ *ratelimit.Limiter[host] }

// host is what shares a limit: an IP address or its network, or any other address.
type host struct {
	network netip.Addr
	other   datagram.Address
}

func newRateLimiter(r rate, now time.Time) rateLimiter {
	return rateLimiter{ratelimit.New[host](r.perSecond, r.burst, now)}
}

// allow takes a token of the address's host and tells whether there was one.
func (l rateLimiter) allow(a datagram.Address, now time.Time) bool {
	if ip := a.AddrPort().Addr(); ip.IsValid() {
		return l.Allow(host{network: ratelimit.Network(ip)}, now)
	}
	return l.Allow(host{other: a}, now)
}
