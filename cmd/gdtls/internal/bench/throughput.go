package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// ThroughputPeers are those whose throughput can be measured.
var ThroughputPeers = []string{GDTLS, Pion, UDP, UDPGSO, AEAD, OpenSSL}

// MaxSize is the longest datagram in bytes, and MaxBatch the largest batch, that
// can be measured. One record carries no more.
const (
	MaxSize  = 16384
	MaxBatch = 512
)

// Setting is what a throughput measurement moves.
type Setting struct {
	Size  int  // payload of a datagram in bytes
	Batch int  // datagrams a call, for peers whose calls move several
	Echo  bool // each batch comes back before the next is sent; otherwise one way
}

func (s Setting) String() string { return fmt.Sprintf("%d bytes, batches of %d", s.Size, s.Batch) }

// ThroughputPlan says what is measured. Every combination is.
type ThroughputPlan struct {
	Peers    []string // of ThroughputPeers
	Sizes    []int    // 1 to MaxSize
	Batches  []int    // 1 to MaxBatch
	Echo     bool
	Duration time.Duration // for each peer and setting
	Rounds   int           // in which it is divided
}

// Throughput is how fast one peer was in one setting.
type Throughput struct {
	Peer  string `json:"peer"`
	Size  int    `json:"size"`
	Batch int    `json:"batch"`
	// NSPerDatagram is the time from the first send to the last arrival, divided by
	// the datagrams that arrived and were opened: the median of the rounds, in
	// nanoseconds.
	NSPerDatagram float64 `json:"ns_per_datagram"`
	PerSecond     float64 `json:"per_s"`
	Lost          float64 `json:"lost"` // share of the datagrams sent, from 0 to 1
	// AllocsPerDatagram counts both sides' allocations.
	AllocsPerDatagram float64 `json:"allocs_per_datagram"`
}

// A mover is a peer that is ready to move datagrams in a setting.
type mover interface {
	round(d time.Duration, echo bool) (tally, error)
	close() error
}

// Throughput measures and reports all peers of a setting, then those of the next.
func (b *Bench) Throughput(ctx context.Context, plan ThroughputPlan, report func(Setting, []Throughput)) error {
	peers := b.usable(plan.Peers)
	done, all := 0, len(plan.Sizes)*len(plan.Batches)*len(peers)*plan.Rounds
	for _, size := range plan.Sizes {
		if slices.Contains(peers, Pion) && size+overhead > pionBuffer {
			b.observer.LeftOut(Pion, fmt.Errorf("it cannot receive %d bytes: its buffers have %d, and a record needs %d more than its payload", size, pionBuffer, overhead))
		}
		for _, batch := range plan.Batches {
			setting := Setting{size, batch, plan.Echo}
			results, err := b.measure(ctx, peers, setting, plan, func(peer string) {
				b.observer.Step(float64(done)/float64(all), fmt.Sprintf("%s: %v", peer, setting))
				done++
			})
			if err != nil {
				return err
			}
			if len(results) > 0 {
				report(setting, results)
			}
		}
	}
	return nil
}

// usable leaves out the peers that this machine does not have.
func (b *Bench) usable(peers []string) []string {
	return slices.DeleteFunc(slices.Clone(peers), func(peer string) bool {
		if peer != OpenSSL {
			return false
		}
		err := b.buildOpenSSL()
		if err != nil {
			b.observer.LeftOut(OpenSSL, err)
		}
		return err != nil
	})
}

// measured is a peer in a measurement, with what its rounds have brought.
type measured struct {
	mover
	peer string
	ns   []float64

	sent, arrived, lost, allocs float64
}

// measure has the peers take turns in one setting.
func (b *Bench) measure(ctx context.Context, peers []string, setting Setting, plan ThroughputPlan, step func(peer string)) (results []Throughput, err error) {
	var all []*measured
	defer func() {
		for _, m := range all {
			if closing := m.close(); closing != nil && err == nil {
				err = fmt.Errorf("closing %s: %w", m.peer, closing)
			}
		}
	}()
	for _, peer := range peers {
		if peer == Pion && setting.Size+overhead > pionBuffer {
			continue
		}
		mover, err := b.mover(ctx, peer, setting)
		if err != nil {
			return nil, fmt.Errorf("%s cannot move %v: %w", peer, setting, err)
		}
		all = append(all, &measured{mover: mover, peer: peer})
	}
	each := plan.Duration / time.Duration(plan.Rounds)
	for turn := range plan.Rounds {
		for i := range all {
			m := all[(i+turn)%len(all)] // nobody always comes first
			if ctx.Err() != nil {
				return nil, ended(ctx)
			}
			step(m.peer)
			if turn == 0 { // pools fill, and the pace is found
				if _, err := m.round(min(each/4, 50*time.Millisecond), setting.Echo); err != nil {
					return nil, fmt.Errorf("%s moving %v: %w", m.peer, setting, err)
				}
			}
			t, err := m.round(each, setting.Echo)
			if err != nil {
				return nil, fmt.Errorf("%s moving %v: %w", m.peer, setting, err)
			}
			if t.arrived > 0 {
				m.ns = append(m.ns, float64(t.took.Nanoseconds())/float64(t.arrived))
			}
			m.sent += float64(t.sent)
			m.arrived += float64(t.arrived)
			m.lost += float64(t.lost)
			m.allocs += float64(t.allocs)
		}
	}
	for _, m := range all {
		ns := median(m.ns)
		if ns == 0 {
			return nil, fmt.Errorf("%s moving %v: nothing arrived", m.peer, setting)
		}
		results = append(results, Throughput{
			Peer: m.peer, Size: setting.Size, Batch: setting.Batch,
			NSPerDatagram:     round(ns, 1),
			PerSecond:         round(1e9/ns, 0),
			Lost:              round(m.lost/m.sent, 5),
			AllocsPerDatagram: round(m.allocs/m.arrived, 2),
		})
	}
	return results, nil
}

// mover gets a peer ready.
func (b *Bench) mover(ctx context.Context, peer string, s Setting) (mover, error) {
	switch peer {
	case OpenSSL:
		return b.openSSLMover(s)
	case AEAD:
		client, server, err := aeadPair(s.Size, s.Batch)
		return newFlow(client, server, s, true), err
	}
	client, server, err := socketPair()
	if err != nil {
		return nil, err
	}
	switch peer {
	case GDTLS:
		return b.gdtlsMover(ctx, client, server, s)
	case Pion:
		return b.pionMover(ctx, client, server, s)
	case UDPGSO:
		return socketMover(client, server, s), nil
	default: // UDP
		enlarge(client)
		enlarge(server)
		return newFlow(newNetEnd(client, s.Size, client.Close), newNetEnd(server, s.Size, server.Close), s, !s.Echo), nil
	}
}
