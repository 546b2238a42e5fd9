package serverconn

import (
	"hash/maphash"
	"time"

	"gdtls/datagram"
)

const (
	rateWays = 8       // buckets that an address may have
	rateSets = 1 << 11 // 256 KiB of buckets in all

	rateBits6 = 64 // of an IPv6 address: who has one address has its whole network
)

// rateLimiter holds a token bucket for each address, IPv6 by its /64. A bucket is a
// single time, at which it will be full again, so that there is nothing to refill and
// nothing to round. Their number is fixed: a new address takes the place of the one
// whose bucket is the fullest, of whom the least is forgotten. The seed keeps others
// from choosing addresses that share a place. Not safe for concurrent use.
type rateLimiter struct {
	seed     maphash.Seed
	start    time.Time
	interval time.Duration // in which a token comes
	depth    time.Duration // in which an empty bucket is full
	sets     [][rateWays]bucket
}

type bucket struct {
	key  uint64        // of the address; 0 for none
	full time.Duration // since start
}

// rate is how many are allowed in a second, after burst at once.
type rate struct {
	perSecond float64
	burst     int
}

// newRateLimiter makes one, nil if there is no limit.
func newRateLimiter(r rate, now time.Time) *rateLimiter {
	if !(r.perSecond > 0) {
		return nil
	}
	// In bounds in which depth cannot overflow.
	interval := max(time.Duration(min(float64(time.Second)/r.perSecond, float64(24*time.Hour))), 1)
	return &rateLimiter{
		seed:     maphash.MakeSeed(),
		start:    now,
		interval: interval,
		depth:    interval * time.Duration(min(max(r.burst, 1), 1<<16)),
		sets:     make([][rateWays]bucket, rateSets),
	}
}

// allow takes a token of the address and tells whether there was one. Without a
// limiter all is allowed.
func (l *rateLimiter) allow(a datagram.Address, now time.Time) bool {
	if l == nil {
		return true
	}
	key := l.key(a)
	set := &l.sets[key%rateSets]
	elapsed := now.Sub(l.start)
	fullest := &set[0]
	for i := range set {
		b := &set[i]
		if b.key == key {
			return l.take(b, elapsed)
		}
		if b.full < fullest.full {
			fullest = b
		}
	}
	*fullest = bucket{key: key}
	return l.take(fullest, elapsed)
}

func (l *rateLimiter) take(b *bucket, elapsed time.Duration) bool {
	full := max(b.full, elapsed) + l.interval
	if full > elapsed+l.depth {
		return false
	}
	b.full = full
	return true
}

func (l *rateLimiter) key(a datagram.Address) uint64 {
	ip := a.AddrPort().Addr()
	var key uint64
	switch {
	case ip.Is6():
		network, _ := ip.WithZone("").Prefix(rateBits6)
		key = maphash.Comparable(l.seed, network)
	case ip.IsValid():
		key = maphash.Comparable(l.seed, ip)
	default:
		key = maphash.Comparable(l.seed, a)
	}
	return max(key, 1)
}
