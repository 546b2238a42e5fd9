//go:build unix

package postgres

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/jwtproto"
	"gdtls/jwtproto/postgres/pgtest"
)

// logBook keeps what is logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// count tells how often words were logged.
func (l *logBook) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

// walker is a member that walks again and again.
type walker struct {
	client jwtproto.Client
	over   datagram.DatagramBased
	said   []jwtproto.Acknowledged
}

// newWalkers makes a lab with groups, a server that keeps its state in a Store, and for
// each group a walker: every second one has a DTLS connection.
func newWalkers(t *testing.T, store jwtproto.Store, log *logBook, groups int, acknowledged *atomic.Int64) (*jwtproto.Server, []*walker) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "lab")
	var made []jwtproto.NewGroup
	for i := range groups {
		made = append(made, jwtproto.NewGroup{Name: fmt.Sprint("GROUP", i), Members: []int64{11}, PSK: true})
	}
	if err := jwtproto.CreateLab(dir, made); err != nil {
		t.Fatal(err)
	}
	lab, problems, err := jwtproto.OpenLab(dir)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	server, err := jwtproto.NewServer(jwtproto.Config{Lab: lab, Store: store, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := datagram.New(packets)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, base, jwtproto.Both) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		server.Close()
		base.Close()
	})
	var walkers []*walker
	for i, g := range made {
		data, err := os.ReadFile(filepath.Join(dir, jwtproto.ClientsFolder, strings.ToLower(g.Name)+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		w := &walker{client: jwtproto.Client{Group: g.Name, Registration: 11, Members: 1, Secret: lab.Secret(), FirstWait: 50 * time.Millisecond}}
		w.client.Observe = func(a jwtproto.Acknowledged) {
			w.said = append(w.said, a)
			acknowledged.Add(1)
		}
		if w.client.Key, err = jwtproto.ParsePrivateKey(data); err != nil {
			t.Fatal(err)
		}
		socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(base.LocalAddress().AddrPort()))
		if err != nil {
			t.Fatal(err)
		}
		w.over = datagram.New(socket)
		t.Cleanup(func() { socket.Close() })
		if i%2 == 1 {
			_, psk, _ := lab.Group(g.Name)
			w.over = dialDTLS(t, w.over, g.Name, psk)
		}
		walkers = append(walkers, w)
	}
	return server, walkers
}

func dialDTLS(t *testing.T, socket datagram.DatagramBased, identity string, psk []byte) *clientconn.DtlsClientConnection {
	t.Helper()
	c, err := clientconn.NewDtlsClientConnection(socket, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		a.SetIdentity([]byte(identity))
		a.SetPreSharedKey(psk)
	})
	if err := c.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// TestOutage stops and starts the database while groups walk, over UDP and in DTLS
// connections, which last.
func TestOutage(t *testing.T) {
	const groups, outages = 4, 2
	database := pgtest.Shared(t)
	store := openStore(t, pgtest.Database(t))
	var acknowledged atomic.Int64
	log := new(logBook)
	server, walkers := newWalkers(t, store, log, groups, &acknowledged)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var enough atomic.Bool
	var walking sync.WaitGroup
	for _, w := range walkers {
		walking.Go(func() {
			for !enough.Load() {
				if err := w.client.Walk(ctx, w.over); err != nil {
					t.Errorf("%s: %v", w.client.Group, err)
					return
				}
			}
		})
	}
	progress := func() {
		t.Helper()
		for from := acknowledged.Load(); acknowledged.Load() < from+10*groups; time.Sleep(time.Millisecond) {
			if ctx.Err() != nil {
				t.Fatal("no progress")
			}
		}
	}
	for range outages {
		progress()
		if err := database.Stop(); err != nil {
			t.Fatal(err)
		}
		before := server.Stats()
		for server.Stats().Unstored == before.Unstored && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if now := server.Stats(); now.Acknowledged > before.Acknowledged+groups {
			t.Errorf("%d requests were acknowledged while the database was stopped", now.Acknowledged-before.Acknowledged)
		}
		if err := database.Start(); err != nil {
			t.Fatal(err)
		}
	}
	progress()
	enough.Store(true)
	walking.Wait()

	if failed, works := log.count("the store fails"), log.count("the store works again"); failed != outages || works != outages {
		t.Errorf("told of %d failures and %d recoveries:\n%s", failed, works, log.text.String())
	}
	if connected := log.count("msg=connected"); connected != groups/2 {
		t.Errorf("%d DTLS connections were made", connected)
	}
	var machine jwtproto.Machine
	for _, w := range walkers {
		rows, err := store.History(t.Context(), w.client.Group, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		last := 0
		var next int
		var step jwtproto.Step
		for i, row := range rows {
			if next, last, step = machine.Next(last, row.Number); row.Seq != uint64(i+1) || row.Next != next || row.Step != step {
				t.Fatalf("%s: the history is not what the machine does: row %+v", w.client.Group, row)
			}
		}
		// Each number is said until it is acknowledged, and walks are not disturbed.
		if len(rows) != len(w.said) {
			t.Fatalf("%s: %d rows, and %d acknowledgements", w.client.Group, len(rows), len(w.said))
		}
		for i, a := range w.said {
			if rows[i].Number != a.Number || rows[i].Next != a.Next || a.Lost {
				t.Errorf("%s: row %+v, acknowledged %+v", w.client.Group, rows[i], a)
			}
		}
	}
}
