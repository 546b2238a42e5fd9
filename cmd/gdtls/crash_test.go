//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/datagram"
	"gdtls/jwtproto"
	"gdtls/jwtproto/sqlite"
)

// TestCrash kills a server again and again while several groups walk, and starts it again
// at the same port with the same file. Nothing that a client was told is forgotten, and all
// walks go on: to a client a crash is a lost datagram.
func TestCrash(t *testing.T) {
	const groups = 8
	kills := 50
	if testing.Short() {
		kills = 10
	}
	var names []string
	for i := range groups {
		names = append(names, fmt.Sprint("GROUP", i))
	}
	dir := newLab(t, "--group", strings.Join(names, ","))
	file := filepath.Join(dir, "gdtls.sqlite")
	secret, err := os.ReadFile(filepath.Join(dir, jwtproto.SecretFolder, jwtproto.SecretFile))
	if err != nil {
		t.Fatal(err)
	}
	server := startNode(t, dir, "sqlite:"+file, 0)
	var count atomic.Int64
	var enough atomic.Bool
	var walking sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	told := make([]*spread, groups)
	walks := make([]int, groups)
	for i, name := range names {
		// Twice the same server: some requests come twice.
		told[i] = newSpread(t, []datagram.Address{server.address, server.address}, uint64(i), &count)
		client := clientOf(t, dir, name, secret)
		client.FirstWait = 25 * time.Millisecond
		client.Observe = func(a jwtproto.Acknowledged) {
			if a.Lost {
				t.Errorf("%s: the server has forgotten what was before %d", name, a.Number)
			}
		}
		walking.Go(func() {
			for !enough.Load() {
				if err := client.Walk(ctx, told[i]); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				walks[i]++
			}
		})
	}
	random := rand.New(rand.NewPCG(2, 8))
	for range kills {
		begun := count.Load()
		for count.Load() == begun && ctx.Err() == nil { // until it answers
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(random.IntN(int(150 * time.Millisecond))))
		server.kill()
		server = startNode(t, dir, "sqlite:"+file, int(server.address.AddrPort().Port()))
	}
	enough.Store(true)
	walking.Wait()
	server.kill()

	kept, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	repeats := uint64(0)
	for i, name := range names {
		rows, err := kept.History(t.Context(), name, 0, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if told[i].wrong != nil {
			t.Errorf("%s: %v", name, told[i].wrong)
		}
		next := map[string]int{}
		for n, row := range rows {
			if row.Seq != uint64(n+1) || row.Number != n%7 || row.Next != (n+1)%7 {
				t.Fatalf("%s: row %+v, want number %d", name, row, n%7)
			}
			next[row.ID.String()] = row.Next
			repeats += row.Repeats
		}
		if len(rows) != 7*walks[i] || len(told[i].told) != len(rows) {
			t.Errorf("%s: %d rows, %d of them told, want 7 of each of %d walks", name, len(rows), len(told[i].told), walks[i])
		}
		for id, n := range told[i].told {
			if kept, ok := next[id]; !ok || kept != n {
				t.Errorf("%s: request %s was acknowledged with %d, and the history has %d (%v)", name, id, n, kept, ok)
			}
		}
	}
	t.Logf("%d acknowledgements, %d requests came again, %d walks of the first group", count.Load(), repeats, walks[0])
}
