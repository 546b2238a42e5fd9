//go:build unix

package serverconn_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

const tenThousand = 10_000

// manyPeers is how many peers the tests of many have, as far as files may be open:
// each client is one with a socket of its own.
func manyPeers(t testing.TB) int {
	t.Helper()
	peers := tenThousand
	if testing.Short() || raceDetector {
		peers = 1_000
	}
	const spare = 200
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if int64(limit.Cur) < int64(peers+spare) && int64(limit.Max) >= int64(peers+spare) {
		raised := limit
		raised.Cur = raised.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			t.Logf("cannot open more files: %v", err)
		} else {
			limit = raised
		}
	}
	if int64(limit.Cur) < int64(peers+spare) {
		t.Skipf("%d files may be open (ulimit -n), %d are needed", limit.Cur, peers+spare)
	}
	return peers
}

// client makes a client that the test does not hold on to.
func client(to datagram.Address) (*clientconn.DtlsClientConnection, error) {
	socket, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to.AddrPort()))
	if err != nil {
		return nil, err
	}
	c, err := clientconn.NewDtlsClientConnection(datagram.New(socket), nil)
	if err != nil {
		return nil, err
	}
	c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		a.SetIdentity([]byte("somebody"))
		a.SetPreSharedKey(testKey)
	})
	return c, c.SetCiphersuites("TLS_PSK_WITH_AES_128_GCM_SHA256")
}

// connectMany makes so many clients, several at a time.
func connectMany(t testing.TB, to datagram.Address, n int) []*clientconn.DtlsClientConnection {
	t.Helper()
	clients := make([]*clientconn.DtlsClientConnection, n)
	var next atomic.Int64
	var work sync.WaitGroup
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range 8 {
		work.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				c, err := client(to)
				if err == nil {
					err = c.Handshake(ctx)
				}
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				clients[i] = c
			}
		})
	}
	work.Wait()
	t.Cleanup(func() {
		for _, c := range clients {
			if c != nil {
				_ = c.BaseSocket().(*datagram.Socket).Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return clients
}

// ask sends each client's number in so many messages, and wants them back.
func ask(t testing.TB, clients []*clientconn.DtlsClientConnection, messages, size int) {
	out, in := make([]datagram.OutputMessage, messages), make([]datagram.InputMessage, messages)
	payload, buf := make([]byte, size), make([]byte, messages*size)
	for i := range messages {
		out[i].Vectors = [][]byte{payload}
		in[i].Vectors = [][]byte{buf[i*size : (i+1)*size : (i+1)*size]}
	}
	ctx := context.Background()
	for i, c := range clients {
		binary.BigEndian.PutUint64(payload, uint64(i))
		if n, err := c.SendMessages(ctx, out, 0, -1); n != messages || err != nil {
			t.Fatal(n, err)
		}
		if n, err := c.ReceiveMessages(ctx, in, 0, 5*time.Second); n != messages || err != nil {
			t.Fatalf("client %d got %d replies: %v", i, n, err)
		}
		for k := range in {
			if got := binary.BigEndian.Uint64(in[k].Vectors[0]); got != uint64(i) || in[k].BytesReceived != size {
				t.Fatalf("client %d got %d bytes of %d", i, in[k].BytesReceived, got)
			}
		}
	}
}

// exchange is how long datagrams to clients and back take, each.
func exchange(t testing.TB, clients []*clientconn.DtlsClientConnection, total int) time.Duration {
	const messages = 8
	start := time.Now()
	for done := 0; done < total; done += messages * len(clients) {
		ask(t, clients, messages, 1200)
	}
	rounds := (total + messages*len(clients) - 1) / (messages * len(clients))
	return time.Since(start) / time.Duration(rounds*messages*len(clients))
}

// Ten thousand peers on one server: every handshake succeeds, every peer gets its own
// replies, none has a goroutine, an idle one takes at most 3 KB, and datagrams take
// no longer than with ten.
func TestTenThousandPeers(t *testing.T) {
	peers := manyPeers(t)
	l := listen(t, serverconn.WithSessions(nil))
	serve(t, l, serverconn.Handler{Messages: echoMessages})
	few := connectMany(t, l.LocalAddress(), 10)
	ask(t, few, 8, 1200)
	before, goroutines := heap()+stack(), runtime.NumGoroutine()
	start := time.Now()
	clients := connectMany(t, l.LocalAddress(), peers-len(few))
	t.Logf("%d handshakes, both sides: %v each", len(clients), time.Since(start)/time.Duration(len(clients)))
	ask(t, clients, 1, 100)
	eventually(t, "no peer has a goroutine", func() bool { return runtime.NumGoroutine() <= goroutines })

	// Taken in turns, of which the best counts: what else the machine does meets both. A
	// quarter more is what we are content with, and half is too much.
	withFew, withMany := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for turn := 0; turn < 3 || turn < 20 && withMany > withFew*5/4; turn++ {
		withFew = min(withFew, exchange(t, few, tenThousand))
		withMany = min(withMany, exchange(t, clients, tenThousand))
	}
	if withMany > withFew*3/2 && !raceDetector {
		t.Errorf("a datagram takes %v among %d peers, %v from ten of them", withMany, peers, withFew)
	}
	t.Logf("a datagram and its reply among %d peers: %v, %v from ten of them", peers, withMany, withFew)

	s := l.Stats()
	if s.Peers != peers || s.Established != peers || s.Failed != 0 || s.Dropped != 0 || s.Unsent != 0 || s.QueuedBytes != 0 {
		t.Errorf("%+v", s)
	}

	// What remains of a connection when its client is gone without a word is the server's.
	for _, c := range clients {
		_ = c.BaseSocket().(*datagram.Socket).Close()
	}
	clear(clients)
	cost := (heap() + stack() - before) / int64(len(clients))
	t.Logf("%d bytes of heap and stack for an idle peer", cost)
	if cost > 3<<10 && peers == tenThousand { // with fewer, what there is once counts, too
		t.Errorf("an idle peer takes %d bytes, 3072 are allowed", cost)
	}
}

// stack is the memory of all goroutines' stacks, in bytes.
func stack() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse)
}

// BenchmarkServe is a datagram to a served peer and its reply, both sides, in flights
// of eight among all peers.
func BenchmarkServe(b *testing.B) {
	for _, peers := range []int{10, tenThousand} {
		b.Run(fmt.Sprintf("peers=%d", peers), func(b *testing.B) {
			if peers > manyPeers(b) {
				b.Skip("not that many are possible here")
			}
			l := listen(b)
			serve(b, l, serverconn.Handler{Messages: echoMessages})
			clients := connectMany(b, l.LocalAddress(), peers)
			ask(b, clients, 8, 1200)
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; {
				k := min(len(clients), (b.N-done+7)/8)
				ask(b, clients[:k], 8, 1200)
				done += 8 * k
			}
		})
	}
}
