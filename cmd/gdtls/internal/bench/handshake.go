package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"
)

// HandshakePeers are those whose handshakes can be measured.
var HandshakePeers = []string{GDTLS, Pion, OpenSSL}

// Kinds of handshakes. A full one proves the server's identity by its certificate,
// which the client verifies; a resumed one goes on with the keys of an earlier one.
const (
	Full    = "full"
	Resumed = "resumed"
)

// HandshakePlan says what is measured.
type HandshakePlan struct {
	Peers    []string      // of HandshakePeers
	Kinds    []string      // Full, Resumed
	Duration time.Duration // for each peer and kind
	Rounds   int           // in which it is divided
}

// Handshake is how fast one peer's handshakes were.
type Handshake struct {
	Peer string `json:"peer"`
	Kind string `json:"kind"`
	// PerSecond counts handshakes one after another, and USPerPair is the time of
	// one, of both sides together, in microseconds: the median of the rounds.
	PerSecond float64 `json:"per_s"`
	USPerPair float64 `json:"us_per_pair"`
	// Allocs and Bytes are what both sides allocate for one handshake.
	Allocs float64 `json:"allocs"`
	Bytes  float64 `json:"bytes"`
}

// A handshaker is a peer that is ready to make handshakes.
type handshaker interface {
	round(d time.Duration) (handshakes, error)
	close() error
}

// handshakes is what a round has brought.
type handshakes struct {
	count         int64
	took          time.Duration
	allocs, bytes uint64
}

// Handshake measures and reports all peers with one kind, then those with the next.
func (b *Bench) Handshake(ctx context.Context, plan HandshakePlan, report func(kind string, results []Handshake)) error {
	peers := b.usable(plan.Peers)
	done, all := 0, len(plan.Kinds)*len(peers)*plan.Rounds
	for _, kind := range plan.Kinds {
		results, err := b.shake(ctx, peers, kind, plan, func(peer string) {
			b.observer.Step(float64(done)/float64(all), fmt.Sprintf("%s: %s handshakes", peer, kind))
			done++
		})
		if err != nil {
			return err
		}
		if len(results) > 0 {
			report(kind, results)
		}
	}
	return nil
}

// shaken is a peer in a measurement, with what its rounds have brought.
type shaken struct {
	handshaker
	peer                 string
	us                   []float64
	count, allocs, bytes float64
}

// errNotResumed says that a handshake was a full one where it should not be.
var errNotResumed = errors.New("its handshakes resumed no session")

// shake has the peers take turns with one kind of handshakes.
func (b *Bench) shake(ctx context.Context, peers []string, kind string, plan HandshakePlan, step func(peer string)) (results []Handshake, err error) {
	var all []*shaken
	defer func() {
		for _, s := range all {
			if closing := s.close(); closing != nil && err == nil {
				err = fmt.Errorf("closing %s: %w", s.peer, closing)
			}
		}
	}()
	for _, peer := range peers {
		h, err := b.handshaker(ctx, peer, kind == Resumed)
		if err == nil {
			_, err = h.round(time.Millisecond) // pools and caches fill
		}
		switch {
		case errors.Is(err, errNotResumed):
			b.observer.LeftOut(peer, err)
		case err != nil:
			return nil, fmt.Errorf("%s handshakes of %s: %w", kind, peer, err)
		default:
			all = append(all, &shaken{handshaker: h, peer: peer})
		}
	}
	for turn := range plan.Rounds {
		for i := range all {
			s := all[(i+turn)%len(all)] // nobody always comes first
			if ctx.Err() != nil {
				return nil, ended(ctx)
			}
			step(s.peer)
			h, err := s.round(plan.Duration / time.Duration(plan.Rounds))
			if err != nil {
				return nil, fmt.Errorf("%s handshakes of %s: %w", kind, s.peer, err)
			}
			s.us = append(s.us, float64(h.took.Nanoseconds())/1000/float64(h.count))
			s.count += float64(h.count)
			s.allocs += float64(h.allocs)
			s.bytes += float64(h.bytes)
		}
	}
	for _, s := range all {
		us := median(s.us)
		results = append(results, Handshake{
			Peer: s.peer, Kind: kind,
			PerSecond: round(1e6/us, 1),
			USPerPair: round(us, 1),
			Allocs:    round(s.allocs/s.count, 0),
			Bytes:     round(s.bytes/s.count, 0),
		})
	}
	return results, nil
}

func (b *Bench) handshaker(ctx context.Context, peer string, resumed bool) (handshaker, error) {
	switch peer {
	case GDTLS:
		return &shaker{ctx, b.gdtlsSides(resumed), resumed, false}, nil
	case Pion:
		return &shaker{ctx, b.pionSides(resumed), resumed, false}, nil
	default: // OpenSSL
		return b.openSSLHandshaker(resumed)
	}
}

// sides makes one handshake between two sockets, each side in a goroutine of its
// own.
type sides struct {
	client, server func(context.Context) error
	resumed        func() bool // whether it was, once it is done
	close          func()      // the sockets, too
}

// group is how many handshakes have their sockets opened before the clock starts.
const group = 20

// shaker makes handshakes in this process, one after another.
type shaker struct {
	ctx     context.Context
	between func(client, server *net.UDPConn) sides
	resumed bool
	known   bool // there is a session to resume
}

func (s *shaker) close() error { return nil }

func (s *shaker) round(d time.Duration) (sum handshakes, err error) {
	if s.resumed && !s.known {
		if _, err := s.group(1); err != nil {
			return sum, err
		}
		s.known = true
	}
	for sum.took < d {
		if s.ctx.Err() != nil {
			return sum, ended(s.ctx)
		}
		h, err := s.group(group)
		if err != nil {
			return sum, err
		}
		sum.count += h.count
		sum.took += h.took
		sum.allocs += h.allocs
		sum.bytes += h.bytes
	}
	return sum, nil
}

// group makes n handshakes.
func (s *shaker) group(n int) (h handshakes, err error) {
	sockets, err := socketPairs(n)
	if err != nil {
		return h, err
	}
	all := make([]sides, n)
	for i, pair := range sockets {
		all[i] = s.between(pair[0], pair[1])
		defer all[i].close()
	}
	ctx, cancel := context.WithTimeout(s.ctx, handshakePatience)
	defer cancel()
	failed := func(err error) error {
		if err != nil {
			cancel() // the other side need not wait for it
		}
		return err
	}
	served := make(chan error, 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	go func() {
		for i := range all {
			if err := failed(all[i].server(ctx)); err != nil {
				served <- err
				return
			}
		}
		served <- nil
	}()
	for i := range all {
		if err = failed(all[i].client(ctx)); err != nil {
			break
		}
	}
	if err = errors.Join(err, <-served); err != nil {
		return h, err
	}
	h.took = time.Since(start)
	runtime.ReadMemStats(&after)
	h.count, h.allocs, h.bytes = int64(n), after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	for i := range all {
		if s.known && !all[i].resumed() {
			return h, errNotResumed
		}
	}
	return h, nil
}
