package main

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"gdtls/cmd/gdtls/internal/console"
	"gdtls/jwtproto"
	"gdtls/serverconn"
	"gdtls/wsserver"
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
	server atomic.Pointer[serverconn.DtlsServer] // nil before it listens, and of a JWT server

	handshakes atomic.Uint64 // that succeeded

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
	p.handshakes.Add(1)
	p.watch.handshakes.Add(time.Since(peer.Since))
	connected(peer, e)
}

// connected fills in what a handshake has told of a peer.
func connected(p *console.Peer, e handshakeDone) {
	p.State, p.Since = peerConnected, time.Now()
	p.Cipher, p.ALPN, p.Resumed = clean(e.Ciphersuite), clean(e.ALPN), e.Resumed
	p.Identity = clean(cmp.Or(e.PeerCertSubject, e.PSKIdentity))
}

// gone forgets a peer, and tells whether it was connected.
func (p *watchedPeers) gone(c *serverconn.DtlsServerConnection) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.live[c]
	delete(p.live, c)
	return peer != nil && peer.State == peerConnected
}

// count adds what the server has counted.
func (p *watchedPeers) count(to *console.Counters) {
	to.Handshakes += p.handshakes.Load()
	to.Peers += len(p.connections())
	if server := p.server.Load(); server != nil {
		s := server.Stats()
		to.Datagrams += s.Datagrams
		to.Drops += s.Unknown + s.Dropped + s.Limited + s.Unauthorized + s.Refused
	}
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

// closeRevoked has the peers closed that came by the token of a login when that is
// revoked, until the result is called.
func (p *watchedPeers) closeRevoked(tokens *wsserver.BearerAuthenticator) (stop func()) {
	id := tokens.ConnectRevoked(func(string) {
		for _, c := range p.connections() {
			if _, _, err := tokens.PSK(c.PskIdentity()); errors.Is(err, wsserver.ErrRevokedToken) {
				go func() {
					closing, cancel := context.WithTimeout(context.Background(), closingTime)
					defer cancel()
					_ = c.Close(closing) // it is gone, told or not
				}()
			}
		}
	})
	return func() { tokens.Disconnect(id) }
}

// handler watches the DTLS peers of a JWT server, and lets those in who have a token of
// the console; tokens may be nil.
func (p *watchedPeers) handler(ctx context.Context, tokens *wsserver.BearerAuthenticator) jwtproto.PeerHandler {
	if p == nil {
		return jwtproto.PeerHandler{}
	}
	h := jwtproto.PeerHandler{
		Began: func(c *serverconn.DtlsServerConnection) {
			p.began(c)
			p.watch.publish(peerVerified{c.PeerAddress().String()})
		},
		Connected: func(c *serverconn.DtlsServerConnection) {
			e := describe(c.DtlsConnection, true)
			p.connected(c, e)
			p.watch.publish(e)
		},
		Gone: func(c *serverconn.DtlsServerConnection, reason error) {
			peer := c.PeerAddress().String()
			if !p.gone(c) {
				p.watch.publish(describe(c.DtlsConnection, false))
				p.watch.publish(failure(peer, reason))
				return
			}
			for _, e := range endOf(peer, reason, ctx.Err() != nil) {
				p.watch.publish(e)
			}
		},
	}
	if tokens != nil {
		h.Key = func(identity []byte) []byte {
			key, _, _ := tokens.PSK(identity) // without a key it is not let in
			return key
		}
	}
	return h
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
