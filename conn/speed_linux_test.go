package conn_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gdtls/datagram"
)

// recordOverhead is what AES-GCM adds to a message of 1,200 bytes.
const recordOverhead = 37

// BenchmarkOneWay moves messages of 1,200 bytes from one processor to another, in
// batches: through a connection, and by its parts alone, which are the socket without
// records and AES-128-GCM. A datagram's time is the whole run's, divided by those that
// arrived; send-ns and receive-ns are the processor's time in the calls of each side,
// which what else the machine does changes less. Whoever opens for AES-128-GCM alone
// spins while nothing is there, and that counts.
func BenchmarkOneWay(b *testing.B) {
	for _, batch := range []int{1, 8, 32, 64} {
		b.Run(fmt.Sprintf("batch=%d/gdtls", batch), func(b *testing.B) {
			p := overUDP(b)
			vectored(b, batch, payload, p.client, p.server, func() { p.server.BaseSocket().(*datagram.Socket).Close() })
		})
		b.Run(fmt.Sprintf("batch=%d/udp-gso", batch), func(b *testing.B) {
			one, two := udpPair(b)
			vectored(b, batch, payload+recordOverhead, one, two, func() { two.Close() })
		})
		b.Run(fmt.Sprintf("batch=%d/aead", batch), func(b *testing.B) { sealAndOpen(b, batch) })
	}
}

func vectored(b *testing.B, batch, length int, from, to datagram.DatagramBased, closing func()) {
	out, in := make([]datagram.OutputMessage, batch), room(batch, length)
	for i := range out {
		out[i].Vectors = [][]byte{make([]byte, length)}
	}
	ctx, cancel := context.WithCancel(background)
	oneWay(b, batch, func() error {
		_, err := from.SendMessages(background, out, 0, -1)
		return err
	}, func() (int, error) {
		return to.ReceiveMessages(ctx, in, datagram.MsgWaitForOne, -1)
	}, cancel)
	closing()
}

// sealAndOpen has one processor seal into a ring of buffers and the other open.
func sealAndOpen(b *testing.B, batch int) {
	const slots = 2048
	type side struct {
		aead          cipher.AEAD
		nonce, header []byte
		plain         []byte
		at            uint64
	}
	var sides [2]side
	for i := range sides {
		block, err := aes.NewCipher(make([]byte, 16))
		if err != nil {
			b.Fatal(err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			b.Fatal(err)
		}
		sides[i] = side{aead: aead, nonce: make([]byte, 12), header: make([]byte, 13), plain: make([]byte, payload)}
	}
	var ring [slots][]byte
	for i := range ring {
		ring[i] = make([]byte, payload+16)
	}
	var put atomic.Uint64
	var closed atomic.Bool
	oneWay(b, batch, func() error {
		s := &sides[0]
		for range batch {
			binary.BigEndian.PutUint64(s.nonce[4:], s.at)
			binary.BigEndian.PutUint64(s.header, s.at)
			s.aead.Seal(ring[s.at%slots][:0], s.nonce, s.plain, s.header)
			s.at++
		}
		put.Store(s.at)
		return nil
	}, func() (int, error) {
		s := &sides[1]
		last := put.Load()
		for ; last == s.at; last = put.Load() {
			if closed.Load() {
				return 0, net.ErrClosed
			}
			runtime.Gosched()
		}
		last = min(last, s.at+uint64(batch))
		n := int(last - s.at)
		for ; s.at < last; s.at++ {
			binary.BigEndian.PutUint64(s.nonce[4:], s.at)
			binary.BigEndian.PutUint64(s.header, s.at)
			if _, err := s.aead.Open(s.plain[:0], s.nonce, ring[s.at%slots], s.header); err != nil {
				return 0, err
			}
		}
		return n, nil
	}, func() { closed.Store(true) })
}

// oneWay sends b.N datagrams and more to fill a batch, and receives them on another
// processor until closed. No more than a window are under way, so that the slower
// side sets the pace and little is lost.
func oneWay(b *testing.B, batch int, send func() error, receive func() (int, error), closing func()) {
	const window, lost = 192, 50 * time.Millisecond
	var arrived atomic.Int64
	var sending, receiving time.Duration
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pin(1)
		began := processorTime()
		defer func() { receiving = processorTime() - began }()
		for {
			n, err := receive()
			if err != nil || n == 0 {
				return // closed
			}
			arrived.Add(int64(n))
		}
	}()
	pin(0)
	sent, missing := int64(0), int64(0)
	settle := func(most int64) { // waits until no more than most are under way
		last, since := arrived.Load(), time.Time{}
		for sent-missing-last > most {
			now := arrived.Load()
			if now != last || since.IsZero() {
				last, since = now, time.Now()
			} else if time.Since(since) > lost {
				missing = sent - now
				return
			}
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for sent < int64(b.N) {
		settle(window - int64(batch))
		began := processorTime()
		if err := send(); err != nil {
			b.Fatal(err)
		}
		sending += processorTime() - began
		sent += int64(batch)
	}
	settle(0)
	b.StopTimer()
	count := arrived.Load()
	closing()
	<-ended
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(1, count)), "ns/arrived")
	b.ReportMetric(float64(sending)/float64(sent), "send-ns")
	b.ReportMetric(float64(receiving)/float64(max(1, count)), "receive-ns")
	b.ReportMetric(100*float64(sent-count)/float64(sent), "%lost")
}

// pin ties the goroutine to a thread and that to a processor, where the system
// allows it. The thread ends with the goroutine.
func pin(processor int) {
	runtime.LockOSThread()
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil || runtime.NumCPU() < 2 {
		return
	}
	seen := 0
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			if seen == processor {
				set.Zero()
				set.Set(cpu)
				_ = unix.SchedSetaffinity(0, &set)
				return
			}
			seen++
		}
	}
}

// processorTime is what the thread has used so far. Asking is a system call, which
// makes a batch of one some 300 ns slower.
func processorTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}
