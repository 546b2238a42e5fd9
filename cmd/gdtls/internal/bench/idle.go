package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// IdlePeers are those whose idle connections can be measured.
var IdlePeers = []string{GDTLS, Pion}

// Sides of a connection.
const (
	Client = "client"
	Server = "server"
)

// MaxConnections is how many connections can be held at most. Each needs a port of
// its own.
const MaxConnections = 20000

// Idle is what one side's established connections hold while nothing goes over
// them.
type Idle struct {
	Peer        string `json:"peer"`
	Side        string `json:"side"`
	Connections int    `json:"connections"`
	// BytesPerConnection counts heap and stacks. Clients' sockets are not in it; of
	// the server its one socket and the listener are, divided by the connections.
	BytesPerConnection      float64 `json:"bytes_per_connection"`
	GoroutinesPerConnection float64 `json:"goroutines_per_connection"`
}

// An idler is a peer that holds connections: many clients, each with its socket, and
// one listener.
type idler interface {
	// open opens the sockets of n clients.
	open(n int) error
	// connect makes the handshake of the i-th, and has a message go each way.
	connect(ctx context.Context, i int) error
	// dropServers lets go of the server's side and leaves the clients as they are.
	dropServers(ctx context.Context) error
	// dropClients lets go of the clients, but not of their sockets.
	dropClients(ctx context.Context) error
	close()
}

// Idle measures the peers, of IdlePeers, one after another, and reports both sides of
// each.
func (b *Bench) Idle(ctx context.Context, peers []string, connections int, report func(peer string, sides []Idle)) error {
	for i, peer := range peers {
		sides, err := b.hold(ctx, peer, connections, func(made int) {
			done := float64(i) + float64(made)/float64(connections)
			b.observer.Step(done/float64(len(peers)), fmt.Sprintf("%s: %d connections", peer, made))
		})
		if err != nil {
			return fmt.Errorf("idle connections of %s: %w", peer, err)
		}
		report(peer, sides)
	}
	return nil
}

// hold makes the connections of a peer, and measures what becomes free when each
// side is let go.
func (b *Bench) hold(ctx context.Context, peer string, connections int, step func(made int)) ([]Idle, error) {
	newIdle := b.newGDTLSIdle
	if peer == Pion {
		newIdle = b.newPionIdle
	}
	h, err := newIdle()
	if err != nil {
		return nil, err
	}
	defer h.close()
	if err := h.open(connections); err != nil {
		return nil, fmt.Errorf("cannot open %d sockets (ulimit -n tells how many files may be open): %w", connections, err)
	}
	for i := range connections {
		if ctx.Err() != nil {
			return nil, ended(ctx)
		}
		if i%64 == 0 {
			step(i)
		}
		if err := h.connect(ctx, i); err != nil {
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, connections, err)
		}
	}
	whole := settled()
	if err := h.dropServers(ctx); err != nil {
		return nil, fmt.Errorf("closing the server: %w", err)
	}
	clients := settled()
	if err := h.dropClients(ctx); err != nil {
		return nil, fmt.Errorf("closing the clients: %w", err)
	}
	nothing := settled()
	each := func(side string, with, without footprint) Idle {
		n := float64(connections)
		return Idle{
			Peer: peer, Side: side, Connections: connections,
			BytesPerConnection:      round(max(0, with.bytes-without.bytes)/n, 0),
			GoroutinesPerConnection: round(max(0, with.goroutines-without.goroutines)/n, 2),
		}
	}
	return []Idle{each(Client, clients, nothing), each(Server, whole, clients)}, nil
}

// footprint is what the process holds.
type footprint struct{ bytes, goroutines float64 }

// settled measures what the process holds once nothing changes any more: goroutines
// of connections that have been closed need a while to end, and what lies in pools
// two collections.
func settled() (f footprint) {
	for before := -1.0; before != f.goroutines; time.Sleep(20 * time.Millisecond) {
		before = f.goroutines
		f.goroutines = float64(runtime.NumGoroutine())
	}
	for range 3 {
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	f.bytes = float64(stats.HeapAlloc + stats.StackInuse)
	return f
}
