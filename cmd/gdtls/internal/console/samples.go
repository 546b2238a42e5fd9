package console

import (
	"math/bits"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// sampleTime is how long one point of the charts stands for.
	sampleTime = time.Second
	// keptSamples is how many points a new viewer gets.
	keptSamples = 300
)

// sample is what happened in one interval. Rates are per second.
type sample struct {
	N          uint64             `json:"n"`    // from 1
	Time       int64              `json:"time"` // its end, in ms since 1970
	Datagrams  float64            `json:"datagrams"`
	Handshakes float64            `json:"handshakes"`
	Requests   float64            `json:"requests"`
	Drops      float64            `json:"drops"`
	Peers      int                `json:"peers"`
	Latencies  map[string]latency `json:"latencies,omitempty"`
}

// latency is in milliseconds.
type latency struct {
	Median float64 `json:"p50"`
	P99    float64 `json:"p99"`
}

// sampler makes samples of counters. It belongs to one goroutine.
type sampler struct {
	last Counters
	at   time.Time
	n    uint64
	kept [][]byte // encoded, the oldest first
}

// take makes a sample of what happened since the last call; the first only begins.
func (s *sampler) take(now time.Time, c Counters) bool {
	before, since := s.last, now.Sub(s.at).Seconds()
	begun := !s.at.IsZero()
	s.last, s.at = c, now
	if !begun || since <= 0 {
		return false
	}
	rate := func(now, before uint64) float64 {
		if now < before {
			return 0 // the server began anew
		}
		return float64(now-before) / since
	}
	s.n++
	out := sample{
		N: s.n, Time: now.UnixMilli(), Peers: c.Peers,
		Datagrams: rate(c.Datagrams, before.Datagrams), Handshakes: rate(c.Handshakes, before.Handshakes),
		Requests: rate(c.Requests, before.Requests), Drops: rate(c.Drops, before.Drops),
	}
	for what, p := range c.Latencies {
		if out.Latencies == nil {
			out.Latencies = map[string]latency{}
		}
		out.Latencies[what] = latency{milliseconds(p.Median), milliseconds(p.P99)}
	}
	s.kept = append(s.kept, mustEncode(out))
	if len(s.kept) > keptSamples {
		s.kept = slices.Clone(s.kept[1:]) // viewers may still read the old one
	}
	return true
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// samplesFrame appends a frame with the samples after a number; last is that of the
// last one in kept. With nothing to tell it appends nothing.
func samplesFrame(frame []byte, kept [][]byte, last, after uint64) []byte {
	fresh := kept
	if missed := last - min(after, last); missed < uint64(len(kept)) {
		fresh = kept[uint64(len(kept))-missed:]
	}
	if len(fresh) == 0 {
		return frame
	}
	frame = append(frame, `{"type":"samples","interval":`...)
	frame = strconv.AppendInt(frame, sampleTime.Milliseconds(), 10)
	frame = append(frame, `,"samples":[`...)
	for i, s := range fresh {
		if i > 0 {
			frame = append(frame, ',')
		}
		frame = append(frame, s...)
	}
	return append(frame, "]}"...)
}

// Durations gathers how long something took, in buckets of which each is an eighth of a
// power of two wide, so that what it tells is right within 13 %. The zero value is
// empty. Safe for concurrent use; Add takes no lock.
type Durations struct {
	buckets [64 * 8]atomic.Uint32
}

// Add adds a duration.
func (d *Durations) Add(took time.Duration) {
	d.buckets[bucketOf(uint64(max(took, 1)))].Add(1)
}

// bucketOf numbers the buckets: eight to a power of two, by the three bits below the
// highest one.
func bucketOf(ns uint64) int {
	exponent := bits.Len64(ns) - 1
	if exponent < 3 {
		return int(ns)
	}
	return (exponent-2)*8 + int(ns>>(exponent-3)&7)
}

// bucketTop is the longest duration of a bucket.
func bucketTop(bucket int) time.Duration {
	if bucket < 8 {
		return time.Duration(bucket)
	}
	exponent := bucket/8 + 2
	return time.Duration((uint64(8+bucket%8)+1)<<(exponent-3) - 1)
}

// Take gives the percentiles of what was added since the last call, and whether there
// was anything.
func (d *Durations) Take() (p Percentiles, any bool) {
	var counts [len(d.buckets)]uint64
	total := uint64(0)
	for i := range d.buckets {
		if d.buckets[i].Load() > 0 {
			counts[i] = uint64(d.buckets[i].Swap(0))
			total += counts[i]
		}
	}
	if total == 0 {
		return p, false
	}
	sum := uint64(0)
	for i, n := range counts {
		before := sum
		sum += n
		if n > 0 && before < (total+1)/2 && sum >= (total+1)/2 {
			p.Median = bucketTop(i)
		}
		if n > 0 && sum*100 >= total*99 {
			p.P99 = bucketTop(i)
			break
		}
	}
	return p, true
}

// Latencies gives those of several Durations that have something to tell.
func Latencies(of map[string]*Durations) map[string]Percentiles {
	out := map[string]Percentiles{}
	for what, d := range of {
		if p, any := d.Take(); any {
			out[what] = p
		}
	}
	return out
}
