package wsserver

import (
	"net/netip"
	"sync"
	"time"

	"gdtls/internal/ratelimit"
)

// rateLimiter allows each address something so many times a second, after a burst: an
// IPv4 address, or the /64 of an IPv6 address. Safe for concurrent use.
type rateLimiter struct {
	mu      sync.Mutex
	limiter *ratelimit.Limiter[netip.Addr]
}

// newRateLimiter makes one, without a limit if perSecond is negative.
func newRateLimiter(perSecond float64, burst int) *rateLimiter {
	return &rateLimiter{limiter: ratelimit.New[netip.Addr](perSecond, burst, time.Now())}
}

// allow takes a token of the address and tells whether there was one.
func (l *rateLimiter) allow(a netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limiter.Allow(ratelimit.Network(a), now)
}
