// Package ratelimit limits how often something is done for each of many who ask, in
// bounded memory, for servers whose clients cannot be trusted to be few.
package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"time"
)

const (
	ways = 8       // buckets that a key may have
	sets = 1 << 11 // 256 KiB of buckets in all
)

// Limiter holds a token bucket for each key. A bucket is a single time, at which it will
// be full again, so that there is nothing to refill and nothing to round. Their number is
// fixed: a new key takes the place of the one whose bucket is the fullest, of whom the
// least is forgotten. The seed keeps others from choosing keys that share a place. Not
// safe for concurrent use. A nil one has no limit.
type Limiter[K comparable] struct {
	seed     maphash.Seed
	start    time.Time
	interval time.Duration // in which a token comes
	depth    time.Duration // in which an empty bucket is full
	sets     [][ways]bucket
}

type bucket struct {
	key  uint64        // hash of it; 0 for none
	full time.Duration // since start
}

// New makes a Limiter that allows each key so much in a second, after burst at once; less
// than one at once is one. It is nil, without a limit, if perSecond is not positive.
func New[K comparable](perSecond float64, burst int, now time.Time) *Limiter[K] {
	if !(perSecond > 0) {
		return nil
	}
	// In bounds in which depth cannot overflow.
	interval := max(time.Duration(min(float64(time.Second)/perSecond, float64(24*time.Hour))), 1)
	return &Limiter[K]{
		seed:     maphash.MakeSeed(),
		start:    now,
		interval: interval,
		depth:    interval * time.Duration(min(max(burst, 1), 1<<16)),
		sets:     make([][ways]bucket, sets),
	}
}

// Allow takes a token of the key and tells whether there was one. It allocates nothing.
func (l *Limiter[K]) Allow(key K, now time.Time) bool {
	if l == nil {
		return true
	}
	hash := max(maphash.Comparable(l.seed, key), 1)
	set := &l.sets[hash%sets]
	elapsed := now.Sub(l.start)
	fullest := &set[0]
	for i := range set {
		b := &set[i]
		if b.key == hash {
			return l.take(b, elapsed)
		}
		if b.full < fullest.full {
			fullest = b
		}
	}
	*fullest = bucket{key: hash}
	return l.take(fullest, elapsed)
}

func (l *Limiter[K]) take(b *bucket, elapsed time.Duration) bool {
	full := max(b.full, elapsed) + l.interval
	if full > elapsed+l.depth {
		return false
	}
	b.full = full
	return true
}

// Network is what should share a limit with an address: of an IPv6 address all of its
// network of 64 bits, since who has one address has them all. An IPv4 address is alone,
// in whichever form it is written.
func Network(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is6() {
		return a
	}
	network, _ := a.WithZone("").Prefix(64) // fails for other lengths than those of IPv6 only
	return network.Addr()
}
