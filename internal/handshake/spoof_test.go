package handshake

import (
	"encoding/binary"
	"hash"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// countingMAC counts how often a MAC was computed.
type countingMAC struct {
	hash.Hash
	sums *int
}

func (c countingMAC) Sum(b []byte) []byte {
	*c.sums++
	return c.Hash.Sum(b)
}

// TestSpoofedHellos has 50,000 hellos come from as many addresses, which costs one
// HMAC each and keeps nothing.
func TestSpoofedHellos(t *testing.T) {
	const hellos = 50_000
	c := NewCookies(puppetStart)
	secret := c.secrets.Load().current
	sums := 0
	made := secret.macs.New
	secret.macs.New = func() any {
		mac := made().(*cookieMAC)
		mac.Hash = countingMAC{mac.Hash, &sums}
		return mac
	}
	m, err := NewClient(&Config{}, puppetStart)
	if err != nil {
		t.Fatal(err)
	}
	hello := m.Output()[0]
	address := make([]byte, 6)
	reply := make([]byte, 0, 128)
	spoof := func(i int) {
		binary.BigEndian.PutUint32(address, uint32(i))
		verified, got := c.VerifyHello(hello, address, reply, puppetStart)
		if verified != nil || got == nil || len(got) > len(hello) {
			t.Fatalf("hello %d: verified %v, reply of %d bytes", i, verified != nil, len(got))
		}
	}
	spoof(0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	sums = 0
	for i := range hellos {
		spoof(i)
	}
	runtime.ReadMemStats(&after)
	if sums != hellos {
		t.Errorf("%d HMACs for %d hellos", sums, hellos)
	}
	if n := after.Mallocs - before.Mallocs; n > 100 && !raceEnabled { // the runtime's own
		t.Errorf("%d allocations for %d hellos", n, hellos)
	}
}

// TestTimesWithLoss makes 1,000 handshakes over a path that loses a fifth each way.
// The RFC's timers make one loss cost a second; more would mean that flights are
// repeated for nothing or not at all.
func TestTimesWithLoss(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	var times []time.Duration
	for seed := range uint64(1000) {
		l := link{drop: 0.2, delay: 10 * time.Millisecond, rng: mathrand.New(mathrand.NewPCG(seed, 3))}
		sim := newSimulation(t, &Config{Patience: time.Hour}, &Config{Patience: time.Hour, Certificates: []*Certificate{certificate}}, answers{}, l)
		sim.run(time.Hour)
		if !sim.client.Done() || !sim.server.Done() {
			t.Fatalf("seed %d: %v", seed, sim)
		}
		times = append(times, sim.now.Sub(sim.start))
	}
	slices.Sort(times)
	median, p99 := times[500], times[990]
	t.Logf("median %v, p99 %v, longest %v", median, p99, times[999])
	if median > 1100*time.Millisecond || p99 > 18*time.Second {
		t.Errorf("median %v, p99 %v: at most 1.1 s and 18 s are expected", median, p99)
	}
}
