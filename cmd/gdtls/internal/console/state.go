package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// state is what viewers are shown besides events. It is not changed: a new one takes its
// place.
type state struct {
	samples       [][]byte // encoded, the oldest first
	sampled       uint64   // number of the last one
	peers         *peerList
	peersVersion  uint64
	groups        []byte // the frame
	groupsVersion uint64
}

// attach notes that one more watches. The first gets a fresh state, since none is
// gathered while nobody watches.
func (c *Console) attach() {
	if c.hub.viewers.Add(1) == 1 {
		c.gatherPeers()
		c.gatherGroups()
	}
}

func (c *Console) detach() { c.hub.viewers.Add(-1) }

// change replaces the state.
func (c *Console) change(how func(*state)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := *c.state.Load()
	how(&next)
	c.state.Store(&next)
}

func (c *Console) gatherPeers() {
	if c.config.Source.Peers == nil {
		return
	}
	peers := newPeerList(c.config.Source.Peers())
	c.change(func(s *state) {
		s.peers = peers
		s.peersVersion++
	})
}

func (c *Console) gatherGroups() {
	if c.config.Source.Groups == nil {
		return
	}
	frame := c.config.Source.Groups().frame()
	c.change(func(s *state) {
		if !bytes.Equal(frame, s.groups) {
			s.groups = frame
			s.groupsVersion++
		}
	})
}

// sampling makes a sample each second until ctx is done, also while nobody watches: who
// comes later wants to see what was.
func (c *Console) sampling(ctx context.Context) {
	ticker := time.NewTicker(sampleTime)
	defer ticker.Stop()
	var s sampler
	for now := time.Now(); ; {
		if c.config.Source.Counters != nil && s.take(now, c.config.Source.Counters()) {
			c.change(func(next *state) { next.samples, next.sampled = s.kept, s.n })
		}
		if c.hub.viewers.Load() > 0 {
			c.gatherPeers()
		}
		c.hub.Touch()
		select {
		case now = <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// closePeer closes the connection with a peer for a viewer.
func (c *Console) closePeer(ctx context.Context, viewer string, id uint64) error {
	if c.config.Source.ClosePeer == nil {
		return errors.New("this server's peers cannot be closed from here")
	}
	who := fmt.Sprintf("peer %d", id)
	if now := c.state.Load(); now.peers != nil {
		for i := range now.peers.peers {
			if p := &now.peers.peers[i]; p.ID == id {
				who = p.Address
			}
		}
	}
	c.hub.Publish(Event{Level: Warning, Kind: "close_peer", Peer: who, Text: fmt.Sprintf("%s: %s closes the connection", who, viewer)})
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	return c.config.Source.ClosePeer(ctx, id)
}
