package wsserver

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	rateWays = 8       // buckets that an address may have
	rateSets = 1 << 10 // 128 KiB of buckets in all

	rateBits6 = 64 // of an IPv6 address: who has one address has its whole network
)

// rateLimiter allows each address something so many times a second, after a burst. A
// bucket is the time at which it will be full again. Their number is fixed: a new
// address takes the place of the one in its set whose bucket is the fullest, of whom
// the least is forgotten. The seed keeps others from choosing addresses that share a
// set. Safe for concurrent use; a nil one allows all.
type rateLimiter struct {
	seed     maphash.Seed
	start    time.Time
	interval time.Duration // in which a token comes
	depth    time.Duration // in which an empty bucket is full

	mu   sync.Mutex
	sets [rateSets][rateWays]rateBucket
}

type rateBucket struct {
	key  uint64        // of the address; 0 for none
	full time.Duration // since start
}

// newRateLimiter makes one, nil if perSecond is negative.
func newRateLimiter(perSecond float64, burst int) *rateLimiter {
	if perSecond < 0 {
		return nil
	}
	// In bounds in which depth cannot overflow.
	interval := max(time.Duration(min(float64(time.Second)/perSecond, float64(24*time.Hour))), 1)
	return &rateLimiter{
		seed:     maphash.MakeSeed(),
		start:    time.Now(),
		interval: interval,
		depth:    interval * time.Duration(min(max(burst, 1), 1<<16)),
	}
}

// allow takes a token of the address and tells whether there was one.
func (l *rateLimiter) allow(a netip.Addr, now time.Time) bool {
	if l == nil {
		return true
	}
	key := max(maphash.Comparable(l.seed, network(a)), 1)
	elapsed := now.Sub(l.start)
	l.mu.Lock()
	defer l.mu.Unlock()
	set := &l.sets[key%rateSets]
	chosen := &set[0]
	for i := range set {
		b := &set[i]
		if b.key == key {
			chosen = b
			break
		}
		if b.full < chosen.full {
			chosen = b
		}
	}
	if chosen.key != key {
		*chosen = rateBucket{key: key}
	}
	full := max(chosen.full, elapsed) + l.interval
	if full > elapsed+l.depth {
		return false
	}
	chosen.full = full
	return true
}

// network is what shares a limit: an IPv4 address, or the /64 of an IPv6 address.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		if prefix, err := a.WithZone("").Prefix(rateBits6); err == nil {
			return prefix.Addr()
		}
	}
	return a
}
