package serverconn

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"gdtls/datagram"
)

const tableShards = 32

// table finds peers by address. It is sharded, so that the reader hardly ever
// waits for those who add and remove peers, or look at all of them.
type table struct {
	seed      maphash.Seed
	shards    [tableShards]shard
	addresses atomic.Int64
}

type shard struct {
	mu    sync.Mutex
	peers map[datagram.Address]*peer
}

func (t *table) init() {
	t.seed = maphash.MakeSeed()
	for i := range t.shards {
		t.shards[i].peers = map[datagram.Address]*peer{}
	}
}

func (t *table) shard(a datagram.Address) *shard {
	return &t.shards[t.hash(a)%tableShards]
}

func (t *table) hash(a datagram.Address) uint64 { return maphash.Comparable(t.seed, a) }

// find gives the peer of an address and the one that may replace it; nil for none.
func (t *table) find(a datagram.Address) (p, successor *peer) {
	s := t.shard(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p = s.peers[a]; p != nil {
		successor = p.successor
	}
	return p, successor
}

// add adds a peer: beside an established one of its address, otherwise in place of
// one. It gives the one that it displaces, nil for none. The caller holds
// listener.mu.
func (t *table) add(p *peer) (displaced *peer) {
	s := t.shard(p.address)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.peers[p.address]
	if old != nil && old.established {
		displaced, old.successor = old.successor, p
		return displaced
	}
	if old == nil {
		t.addresses.Add(1)
	}
	s.peers[p.address] = p
	return old
}

// promote makes p the peer of its address. It gives the one that it replaces, nil
// for none.
func (t *table) promote(p *peer) (replaced *peer) {
	s := t.shard(p.address)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.peers[p.address]
	if old == nil || old.successor != p {
		return nil
	}
	old.successor = nil
	s.peers[p.address] = p
	return old
}

// remove forgets p; its successor takes its place.
func (t *table) remove(p *peer) {
	s := t.shard(p.address)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch current := s.peers[p.address]; {
	case current == nil:
	case current.successor == p:
		current.successor = nil
	case current == p && p.successor != nil:
		s.peers[p.address], p.successor = p.successor, nil
	case current == p:
		delete(s.peers, p.address)
		t.addresses.Add(-1)
	}
}

// appendAll appends all peers.
func (t *table) appendAll(peers []*peer) []*peer {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, p := range s.peers {
			peers = append(peers, p)
			if p.successor != nil {
				peers = append(peers, p.successor)
			}
		}
		s.mu.Unlock()
	}
	return peers
}
