package main

import (
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"gdtls/cmd/gdtls/internal/bench"
	"gdtls/cmd/gdtls/internal/chart"
)

// benchCommand is "gdtls bench".
type benchCommand struct {
	Throughput benchThroughput `cmd:"" help:"Measure how fast datagrams go through one connection."`
	Handshake  benchHandshake  `cmd:"" help:"Measure how fast connections are made."`
	Idle       benchIdle       `cmd:"" help:"Measure what idle connections hold."`
	JWT        benchJWT        `cmd:"" name:"jwt" help:"Measure how fast JWT requests are answered."`
}

// measurement has the flags of every measurement.
type measurement struct {
	Plot       string `placeholder:"FILE.svg" help:"Draw a chart of the results."`
	CPUProfile string `name:"cpuprofile" placeholder:"FILE" help:"Write a profile of where the time goes, for go tool pprof."`
}

// timing has the flags of measurements that go on for a while.
type timing struct {
	Duration time.Duration `default:"1s" placeholder:"D" help:"How long each peer is measured in each setting. (default: ${default})"`
	Rounds   int           `default:"5" placeholder:"N" help:"Rounds in which peers take turns meanwhile; the median counts. (default: ${default})"`
}

// leastRound is the shortest round that says something.
const leastRound = 5 * time.Millisecond

func (t timing) check() error {
	switch {
	case t.Rounds < 1:
		return usagef("--rounds must be at least 1, and is %d", t.Rounds)
	case t.Duration < leastRound*time.Duration(t.Rounds):
		return usagef("--duration %v leaves less than %v for each of %d rounds: give it %v or more", t.Duration, leastRound, t.Rounds, leastRound*time.Duration(t.Rounds))
	}
	return nil
}

// checkPeers finds peers that cannot be measured, or none.
func checkPeers(peers, known []string) error {
	for _, peer := range peers {
		if !slices.Contains(known, peer) {
			return usagef("--peer takes %s here, and not %q", strings.Join(known, ", "), peer)
		}
	}
	if len(peers) == 0 {
		return usagef("--peer names nobody; there are %s", strings.Join(known, ", "))
	}
	return nil
}

// checkRange finds numbers that are out of range, or none.
func checkRange(flag, unit string, numbers []int, most int) error {
	for _, n := range numbers {
		if n < 1 || n > most {
			return usagef("--%s takes 1 to %d %s, and not %d", flag, most, unit, n)
		}
	}
	if len(numbers) == 0 {
		return usagef("--%s names none; it takes 1 to %d %s", flag, most, unit)
	}
	return nil
}

// run has something measured, and draws the chart in the end.
func (m measurement) run(env *environment, out *output, plot *chart.Chart, measure func(*bench.Bench, *progress) error) (err error) {
	bar := newProgress(env.out)
	defer bar.hide()
	b, err := bench.New(bench.Observer{
		Step: bar.show,
		LeftOut: func(peer string, reason error) {
			bar.hide()
			out.emit(warning{Message: fmt.Sprintf("%s is left out: %v", peer, reason)})
		},
	})
	if err != nil {
		return err
	}
	defer func() {
		if closing := b.Close(); err == nil {
			err = closing
		}
	}()
	stop, err := m.profile()
	if err != nil {
		return err
	}
	err = measure(b, bar)
	bar.hide()
	if stopping := stop(); err == nil {
		err = stopping
	}
	switch {
	case err != nil:
		return err
	case plot.Empty():
		return fmt.Errorf("nothing was measured: the peers that were asked for cannot do it here")
	case m.Plot == "":
		return nil
	}
	if err := os.WriteFile(m.Plot, plot.SVG(), 0o644); err != nil {
		return fmt.Errorf("cannot draw the chart: %w", err)
	}
	out.emit(note{"The chart is in " + m.Plot + "."})
	return nil
}

// profile starts the profile, if there is to be one.
func (m measurement) profile() (stop func() error, err error) {
	if m.CPUProfile == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(m.CPUProfile)
	if err != nil {
		return nil, fmt.Errorf("cannot write the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot write the profile: %w", err)
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

// benchThroughput is "gdtls bench throughput".
type benchThroughput struct {
	Peer      []string `default:"gdtls,pion,udp,udp-gso,aead,openssl" placeholder:"A,B" help:"Who is measured. (default: ${default})"`
	Size      []int    `default:"64,512,1200,1350,8192,16000" placeholder:"N,M" help:"Bytes that a datagram carries. (default: ${default})"`
	Batch     []int    `default:"1,8,32,64" placeholder:"N,M" help:"Datagrams that a call moves, where the peer's calls can. (default: ${default})"`
	Direction string   `enum:"one,echo" default:"one" placeholder:"one|echo" help:"One direction, or there and back, a batch at a time. (default: ${default})"`
	timing
	measurement
}

// Help tells who the peers are.
func (*benchThroughput) Help() string {
	return "Peers: gdtls; pion and openssl, the connections of pion/dtls v2 and OpenSSL; udp, bare UDP a datagram a call; udp-gso, " +
		"the socket of gdtls moving as many bytes without records; aead, sealing and opening alone. All use AES-128-GCM over loopback, " +
		"each end on a processor of its own. The sender keeps to the receiver's pace. Only what arrived counts; lost is the share, from 0 to 1, that did not."
}

// Run measures.
func (t *benchThroughput) Run(env *environment) error {
	for _, err := range []error{
		checkPeers(t.Peer, bench.ThroughputPeers),
		checkRange("size", "bytes", t.Size, bench.MaxSize),
		checkRange("batch", "datagrams", t.Batch, bench.MaxBatch),
		t.check(),
	} {
		if err != nil {
			return err
		}
	}
	plot := &chart.Chart{Title: "Time of a datagram", Subtitle: "One direction over loopback, AES-128-GCM, both ends together", Unit: "ns"}
	if t.Direction == "echo" {
		plot.Subtitle = "There and back over loopback, AES-128-GCM, both ends together"
	}
	out := env.out.viewed(benchView)
	plan := bench.ThroughputPlan{Peers: t.Peer, Sizes: t.Size, Batches: t.Batch, Echo: t.Direction == "echo", Duration: t.Duration, Rounds: t.Rounds}
	return t.run(env, out, plot, func(b *bench.Bench, bar *progress) error {
		return b.Throughput(env.ctx, plan, func(s bench.Setting, results []bench.Throughput) {
			bar.hide()
			out.emit(throughputTable{s, results})
			for _, r := range results {
				out.emit(throughputMeasured{"throughput", r})
				plot.Add(s.String(), r.Peer, r.NSPerDatagram)
			}
		})
	})
}

// benchHandshake is "gdtls bench handshake".
type benchHandshake struct {
	Peer []string `default:"gdtls,pion,openssl" placeholder:"A,B" help:"Who is measured. (default: ${default})"`
	Kind []string `enum:"full,resumed" default:"full,resumed" placeholder:"full,resumed" help:"Handshakes by certificate, and those that resume a session. (default: ${default})"`
	timing
	measurement
}

// Help tells what is measured.
func (*benchHandshake) Help() string {
	return "A handshake is measured of both sides together, by ECDSA on P-256, from the first hello until both sides are done, with a cookie unless a ticket does for one. Handshakes follow one another."
}

// Run measures.
func (h *benchHandshake) Run(env *environment) error {
	if err := checkPeers(h.Peer, bench.HandshakePeers); err != nil {
		return err
	}
	if err := h.check(); err != nil {
		return err
	}
	plot := &chart.Chart{Title: "Time of a handshake", Subtitle: "Both sides together over loopback, ECDSA on P-256", Unit: "µs"}
	out := env.out.viewed(benchView)
	plan := bench.HandshakePlan{Peers: h.Peer, Kinds: h.Kind, Duration: h.Duration, Rounds: h.Rounds}
	return h.run(env, out, plot, func(b *bench.Bench, bar *progress) error {
		return b.Handshake(env.ctx, plan, func(kind string, results []bench.Handshake) {
			bar.hide()
			out.emit(handshakeTable{kind, results})
			for _, r := range results {
				out.emit(handshakeMeasured{"handshake", r})
				plot.Add(kind, r.Peer, r.USPerPair)
			}
		})
	})
}

// benchIdle is "gdtls bench idle".
type benchIdle struct {
	Peer        []string `default:"gdtls,pion" placeholder:"A,B" help:"Who is measured. (default: ${default})"`
	Connections int      `default:"1000" placeholder:"N" help:"How many connections are held. (default: ${default})"`
	measurement
}

// Help tells what is measured.
func (*benchIdle) Help() string {
	return "Heap and stacks are measured of both sides, each by itself. The server's include its one socket and its listener, the clients' do not include their sockets."
}

// Run measures.
func (i *benchIdle) Run(env *environment) error {
	if err := checkPeers(i.Peer, bench.IdlePeers); err != nil {
		return err
	}
	if err := checkRange("connections", "connections", []int{i.Connections}, bench.MaxConnections); err != nil {
		return err
	}
	plot := &chart.Chart{Title: "Memory of an idle connection", Subtitle: fmt.Sprintf("Heap and stacks of each side, %d connections", i.Connections), Unit: "bytes"}
	out := env.out.viewed(benchView)
	return i.run(env, out, plot, func(b *bench.Bench, bar *progress) error {
		return b.Idle(env.ctx, i.Peer, i.Connections, func(_ string, sides []bench.Idle) {
			bar.hide()
			out.emit(idleTable{sides})
			for _, r := range sides {
				out.emit(idleMeasured{"idle", r})
				plot.Add(r.Side, r.Peer, r.BytesPerConnection)
			}
		})
	})
}
