package console

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWalks(t *testing.T) {
	w := NewWalks(3)
	w.Expect("BLUES", []int64{2, 1})
	said := func(registration int64, numbers ...int) {
		for _, n := range numbers {
			w.Advanced("BLUES", registration, n)
		}
	}
	check := func(what, want string) {
		t.Helper()
		var got []string
		for _, g := range w.Rainbow().Groups {
			text := fmt.Sprintf("%s last %d walks %d", g.Name, g.Last, g.Walks)
			for _, m := range g.Members {
				text += fmt.Sprintf(" | %d %s %d", m.Registration, hex.EncodeToString(m.Reached), m.Walks)
			}
			got = append(got, text)
		}
		if text := strings.Join(got, "\n"); text != want {
			t.Errorf("%s:\n%s\nwant\n%s", what, text, want)
		}
	}
	check("nobody has said anything", "BLUES last -1 walks 0 | 1 00 0 | 2 00 0")
	said(1, 0, 1)
	check("on its way", "BLUES last 1 walks 0 | 1 03 0 | 2 00 0")
	said(2, 2)
	check("another ends the walk", "BLUES last 2 walks 1 | 1 03 0 | 2 04 1")
	said(2, 0, 1, 2)
	check("a walk alone", "BLUES last 2 walks 2 | 1 00 0 | 2 07 2")
	said(7, 3, -1, 1000)
	check("numbers that are none", "BLUES last 2 walks 2 | 1 00 0 | 2 07 2")
	w.Ended("BLUES", 9, map[int64]int{1: 4})
	check("of before", "BLUES last 2 walks 9 | 1 00 4 | 2 07 2")
	w.Advanced("ADDED", 5, 0)
	check("somebody new", "ADDED last 0 walks 0 | 5 01 0\nBLUES last 2 walks 9 | 1 00 4 | 2 07 2")
}

func TestWalksAreBounded(t *testing.T) {
	w := NewWalks(1000)
	members := make([]int64, maxGroupMembers+10)
	for i := range members {
		members[i] = int64(i)
	}
	w.Expect("BIG", members)
	for i := range maxGroups + 10 {
		w.Advanced(fmt.Sprintf("G%05d", i), 1, 0)
	}
	r := w.Rainbow()
	if len(r.Groups) != maxGroups || len(r.Groups[0].Members) != maxGroupMembers {
		t.Errorf("%d groups, %d members", len(r.Groups), len(r.Groups[0].Members))
	}
	frame := r.frame()
	f := parse(t, frame)
	if len(frame) > 2*maxGroupsFrame || len(f.Groups)+f.More != maxGroups || len(f.Groups[0].Members)+f.Groups[0].More != maxGroupMembers {
		t.Errorf("%d bytes; %d groups and %d more; %d members", len(frame), len(f.Groups), f.More, len(f.Groups[0].Members))
	}
}

func TestPeerList(t *testing.T) {
	start := time.Now()
	var peers []Peer
	for i := range 1000 {
		peers = append(peers, Peer{
			ID: uint64(i + 1), Address: fmt.Sprintf("192.0.2.%d:%d", i%256, 1000+i), State: "connected", Identity: fmt.Sprintf("Sensor-%d", i%7),
			Since: start.Add(time.Duration(i) * time.Second), BytesIn: uint64(i), Missing: uint64(i % 10),
		})
	}
	rand.Shuffle(len(peers), func(i, k int) { peers[i], peers[k] = peers[k], peers[i] })
	l := newPeerList(peers)
	for name, test := range map[string]struct {
		query   peerQuery
		matched int
		first   uint64 // ID
		shown   int
	}{
		"all":       {peerQuery{}, 1000, 1000, maxShownPeers},
		"few":       {peerQuery{Limit: 3}, 1000, 1000, 3},
		"bytes":     {peerQuery{Sort: "bytes", Limit: 3}, 1000, 1000, 3},
		"losses":    {peerQuery{Sort: "losses", Limit: 1}, 1000, 1000, 1},
		"address":   {peerQuery{Sort: "address", Limit: 1}, 1000, 1, 1},
		"identity":  {peerQuery{Filter: " sensor-6 "}, 142, 994, 142},
		"nobody":    {peerQuery{Filter: "nobody"}, 0, 0, 0},
		"nonsense":  {peerQuery{Sort: "x", Limit: -1, Filter: " \t"}, 1000, 1000, maxShownPeers},
		"no text":   {peerQuery{Filter: strings.Repeat("\xff", 1000)}, 0, 0, 0},
		"too much":  {peerQuery{Limit: 1 << 30}, 1000, 1000, maxShownPeers},
		"one state": {peerQuery{Filter: "CONNECTED", Limit: 1}, 1000, 1000, 1},
	} {
		t.Run(name, func(t *testing.T) {
			q := test.query.normal()
			f := parse(t, l.frame(q))
			first := uint64(0)
			if len(f.Peers) > 0 {
				first = f.Peers[0].ID
			}
			if f.Total != 1000 || f.Matched != test.matched || len(f.Peers) != test.shown || first != test.first {
				t.Errorf("%d matched, %d shown, the first is %d; want %+v", f.Matched, len(f.Peers), first, test)
			}
			if once, again := l.frame(q), l.frame(q); &once[0] != &again[0] {
				t.Error("the list was made twice")
			}
		})
	}
	for i := range 2 * maxLists {
		l.frame(peerQuery{Filter: fmt.Sprint(i)}.normal())
	}
	if len(l.lists) > maxLists {
		t.Errorf("%d lists of one state", len(l.lists))
	}
}

func TestSampler(t *testing.T) {
	var s sampler
	now := time.Unix(1000, 0)
	if s.take(now, Counters{Datagrams: 100}) {
		t.Error("the first call cannot tell a rate")
	}
	for i := range keptSamples + 5 {
		now = now.Add(2 * time.Second)
		c := Counters{Datagrams: 100 + 20*uint64(i+1), Peers: i, Latencies: map[string]Percentiles{"answer": {time.Millisecond, 2 * time.Millisecond}}}
		if !s.take(now, c) {
			t.Fatal("no sample")
		}
	}
	last := s.n
	check := func(after uint64, want int) {
		t.Helper()
		frame := samplesFrame(nil, s.kept, last, after)
		if want == 0 {
			if len(frame) != 0 {
				t.Errorf("after %d: %s", after, frame)
			}
			return
		}
		f := parse(t, frame)
		if len(f.Samples) != want || f.Samples[want-1].N != last {
			t.Fatalf("after %d: %d samples, want %d", after, len(f.Samples), want)
		}
		if got := f.Samples[want-1]; got.Datagrams != 10 || got.Latencies["answer"] != (latency{1, 2}) {
			t.Errorf("%+v", got)
		}
	}
	check(0, keptSamples)
	check(last-1, 1)
	check(last, 0)
	check(last+10, 0)
	s.take(now.Add(time.Second), Counters{}) // the server began anew
	if f := parse(t, samplesFrame(nil, s.kept, s.n, last)); f.Samples[0].Datagrams != 0 {
		t.Errorf("a rate of %v", f.Samples[0].Datagrams)
	}
}

func TestDurations(t *testing.T) {
	var d Durations
	if _, any := d.Take(); any {
		t.Error("there is something in an empty one")
	}
	var all []time.Duration
	for range 10_000 {
		took := time.Duration(rand.ExpFloat64() * float64(time.Millisecond))
		all = append(all, took)
		d.Add(took)
	}
	slices.Sort(all)
	p, _ := d.Take()
	for _, check := range []struct{ got, exact time.Duration }{{p.Median, all[len(all)/2-1]}, {p.P99, all[len(all)*99/100-1]}} {
		if ratio := float64(check.got) / float64(check.exact); ratio < 0.999 || ratio > 1.13 {
			t.Errorf("%v instead of %v", check.got, check.exact)
		}
	}
	if _, any := d.Take(); any {
		t.Error("taken twice")
	}
	for _, one := range []time.Duration{-1, 0, 1, 7, 8, 9, 1<<63 - 1} {
		d.Add(one)
		want := max(one, 1)
		if p, _ := d.Take(); p.Median < want || p.P99 != p.Median || float64(p.Median) > 1.13*float64(want) {
			t.Errorf("%d became %d", one, p.Median)
		}
	}
}
