package jwtproto

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"gdtls/datagram"
)

// budgetSlots is how many budgets there are. Addresses are spread over them by a keyed
// hash: memory is bounded whatever addresses are forged, and who shares a slot with
// whom cannot be known from outside.
const budgetSlots = 1 << 14

// budget limits how often something is done for each host: rate times a second, and
// burst times in a row. A host is an IPv4 address, or the /64 of an IPv6 address. A slot
// holds the time at which its host will have used up nothing (a generic cell rate
// algorithm), in nanoseconds. Safe for concurrent use; a nil budget has no limit.
type budget struct {
	seed     maphash.Seed
	interval int64 // ns between two uses at the rate
	burst    int64 // ns that a host may be ahead
	slots    [budgetSlots]atomic.Int64
}

func newBudget(rate, burst int) *budget {
	if rate < 0 {
		return nil
	}
	interval := int64(time.Second) / int64(rate)
	return &budget{seed: maphash.MakeSeed(), interval: interval, burst: interval * int64(burst)}
}

// spend reports whether the host may do it now, and if so, notes that it has.
func (b *budget) spend(from datagram.Address, now time.Time) bool {
	if b == nil {
		return true
	}
	slot := &b.slots[maphash.Comparable(b.seed, host(from))%budgetSlots]
	t := now.UnixNano()
	for {
		free := slot.Load()
		then := max(free, t) + b.interval
		if then-t > b.burst {
			return false
		}
		if slot.CompareAndSwap(free, then) {
			return true
		}
	}
}

// host is what shares a budget.
func host(a datagram.Address) netip.Addr {
	ip := a.AddrPort().Addr()
	if ip.Is6() && !ip.Is4In6() {
		if prefix, err := ip.WithZone("").Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return ip
}
