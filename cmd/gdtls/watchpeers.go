package main

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gdtls/cmd/gdtls/internal/console"
	"gdtls/serverconn"
)

// The states of peers, as the console shows them.
const (
	peerShakes    = "handshake"
	peerConnected = "connected"
)

// peerIDs numbers the peers of the program.
var peerIDs atomic.Uint64

// watchedPeers are the peers of one DTLS server. A nil one watches nobody.
type watchedPeers struct {
	watch  *watch
	name   string
	server atomic.Pointer[serverconn.DtlsServer] // nil before it listens

	mu   sync.Mutex
	live map[*serverconn.DtlsServerConnection]*console.Peer // without their counters
}

// watches has the server's counters counted from now on.
func (p *watchedPeers) watches(server *serverconn.DtlsServer) {
	if p != nil {
		p.server.Store(server)
	}
}

// began notes a peer whose handshake begins.
func (p *watchedPeers) began(c *serverconn.DtlsServerConnection) {
	if p == nil {
		return
	}
	peer := &console.Peer{ID: peerIDs.Add(1), Server: p.name, Address: c.PeerAddress().String(), State: peerShakes, Since: time.Now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[c] = peer
}

// connected notes that a handshake has succeeded, by what it has told.
func (p *watchedPeers) connected(c *serverconn.DtlsServerConnection, e handshakeDone) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.live[c]
	if peer == nil {
		return
	}
	p.watch.handshakes.Add(time.Since(peer.Since))
	connected(peer, e)
}

// connected fills in what a handshake has told of a peer.
func connected(p *console.Peer, e handshakeDone) {
	p.State, p.Since = peerConnected, time.Now()
	p.Cipher, p.ALPN, p.Resumed = clean(e.Ciphersuite), clean(e.ALPN), e.Resumed
	p.Identity = clean(cmp.Or(e.PeerCertSubject, e.PSKIdentity))
}

// gone forgets a peer.
func (p *watchedPeers) gone(c *serverconn.DtlsServerConnection) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.live, c)
}

// count adds what the server has counted.
func (p *watchedPeers) count(to *console.Counters) {
	server := p.server.Load()
	if server == nil {
		return
	}
	s := server.Stats()
	to.Datagrams += s.Datagrams
	to.Handshakes += s.Handshakes
	to.Drops += s.Unknown + s.Dropped + s.Limited + s.Unauthorized + s.Refused
	to.Peers += s.Established
}

// list appends the peers with their counters.
func (p *watchedPeers) list(peers []console.Peer) []console.Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, peer := range p.live {
		shown := *peer
		s := c.Stats()
		shown.MessagesIn, shown.MessagesOut = s.Received, s.Sent
		shown.BytesIn, shown.BytesOut = s.ReceivedBytes, s.SentBytes
		shown.Missing, shown.Discarded = s.Missing, s.Dropped+s.Replayed+s.Unauthenticated
		peers = append(peers, shown)
	}
	return peers
}

// find gives the connection of a peer, nil if it is gone.
func (p *watchedPeers) find(id uint64) *serverconn.DtlsServerConnection {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, peer := range p.live {
		if peer.ID == id {
			return c
		}
	}
	return nil
}

// connections are those of all peers that are connected.
func (p *watchedPeers) connections() []*serverconn.DtlsServerConnection {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*serverconn.DtlsServerConnection
	for c, peer := range p.live {
		if peer.State == peerConnected {
			all = append(all, c)
		}
	}
	return all
}

// closePeer closes the connection with a peer, which is told goodbye.
func (w *watch) closePeer(ctx context.Context, id uint64) error {
	for _, p := range w.peers {
		if c := p.find(id); c != nil {
			return c.Close(ctx)
		}
	}
	return errNoPeer(id)
}
