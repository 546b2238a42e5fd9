package conn_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gdtls/datagram"
	"gdtls/internal/record"
)

// ledger is a base that writes down what it is given to send, and takes of it what
// it likes: all, the first few, or nothing, for one reason or another.
type ledger struct {
	*datagram.Pipe
	t *testing.T

	mu      sync.Mutex
	random  *rand.Rand        // nil: it takes all
	sealed  map[uint64][]byte // by nonce: epoch and sequence number
	highest uint64
	refused int
}

func (l *ledger) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range messages {
		l.note(bytes.Join(messages[i].Vectors, nil))
	}
	what := -1
	if l.random != nil {
		what = l.random.IntN(8)
	}
	switch what {
	case 0:
		l.refused += len(messages)
		return 0, datagram.ErrWouldBlock
	case 1:
		l.refused += len(messages)
		return 0, datagram.NewError(datagram.CodeConnectionRefused, "nobody is there")
	case 2:
		l.refused += len(messages)
		return 0, errPath
	case 3:
		some := l.random.IntN(len(messages) + 1)
		l.refused += len(messages) - some
		messages = messages[:some]
	}
	return l.Pipe.SendMessages(ctx, messages, flags, timeout)
}

// note writes a datagram's records down. The same record may be given again, but
// what is new has a nonce above all others.
func (l *ledger) note(d []byte) {
	for len(d) > 0 {
		r, rest, ok := record.Next(d)
		if !ok {
			l.t.Errorf("no record: %x", d)
			return
		}
		d = rest
		if r.Epoch == 0 {
			continue
		}
		nonce := binary.BigEndian.Uint64(r.Fragment())
		if nonce != uint64(r.Epoch)<<48|r.Sequence {
			l.t.Errorf("record %d of epoch %d has nonce %x", r.Sequence, r.Epoch, nonce)
		}
		if before, ok := l.sealed[nonce]; ok {
			if !bytes.Equal(before, r.Raw) {
				l.t.Errorf("nonce %x is used for two records", nonce)
			}
			continue
		}
		if nonce <= l.highest && l.highest != 0 {
			l.t.Errorf("nonce %x comes after %x", nonce, l.highest)
		}
		l.sealed[nonce], l.highest = bytes.Clone(r.Raw), nonce
	}
}

// Whatever a base does with batches, and whatever readers have to answer meanwhile,
// no nonce is used twice; and the messages that were said to be sent arrive, these
// only, each whole and in its writer's order.
func TestNoncesNeverRepeat(t *testing.T) {
	const writers, calls = 3, 120
	for seed := range uint64(4) {
		a, b := datagram.NewPipe(datagram.WithQueue(64))
		base := &ledger{Pipe: b, t: t, sealed: map[uint64][]byte{}}
		c, peer := newPuppetOver(t, true, a, base)
		base.mu.Lock()
		base.random = rand.New(rand.NewPCG(seed, 1))
		base.mu.Unlock()

		var sent [writers][][]byte
		var writing sync.WaitGroup
		for w := range sent {
			random := rand.New(rand.NewPCG(seed, uint64(10+w)))
			writing.Go(func() {
				for range calls {
					batch := make([]datagram.OutputMessage, 1+random.IntN(90))
					for i := range batch {
						batch[i] = randomMessage(random, w)
					}
					timeout := []time.Duration{0, -1, time.Millisecond}[random.IntN(3)]
					n, _ := c.SendMessages(background, batch, 0, timeout)
					for i := range batch[:n] {
						sent[w] = append(sent[w], bytes.Join(batch[i].Vectors, nil))
					}
				}
			})
		}
		ctx, cancel := context.WithCancel(background)
		var reading sync.WaitGroup
		reading.Go(func() { // sends what the peer asks for, also from under the writers
			in := room(4, 2000)
			for ctx.Err() == nil {
				_, _ = c.ReceiveMessages(ctx, in, datagram.MsgWaitForOne, -1)
			}
		})
		reading.Go(func() {
			for ctx.Err() == nil {
				peer.send(t, peer.seal(t, record.TypeHandshake, handshakeMessage(1, "x")), peer.seal(t, record.TypeHandshake, handshakeMessage(20, "xxxxxxxxxxxx")))
				time.Sleep(100 * time.Microsecond)
			}
		})
		var got [writers][][]byte
		alerts := 0
		finished := make(chan struct{})
		go func() { writing.Wait(); close(finished) }()
	receiving:
		for over := false; ; {
			typ, content := peer.receive(t)
			switch {
			case typ == record.TypeApplicationData:
				got[content[0]] = append(got[content[0]], []byte(content))
			case typ == record.TypeAlert:
				alerts++
			case typ != 0: // the last flight
			case over:
				break receiving
			default:
				select {
				case <-finished:
					over = true // one more look
				case <-time.After(50 * time.Microsecond):
				}
			}
		}
		cancel()
		reading.Wait()
		base.mu.Lock()
		t.Logf("seed %d: %d records, %d refused, %d alerts", seed, len(base.sealed), base.refused, alerts)
		if len(base.sealed) < 1000 || base.refused < 100 || alerts == 0 {
			t.Error("too little has happened")
		}
		base.mu.Unlock()
		for w := range sent {
			if len(got[w]) != len(sent[w]) {
				t.Fatalf("writer %d: %d messages were sent, %d arrived", w, len(sent[w]), len(got[w]))
			}
			for i := range sent[w] {
				if !bytes.Equal(got[w][i], sent[w][i]) {
					t.Fatalf("writer %d: message %d is another", w, i)
				}
			}
		}
	}
}

// randomMessage makes a message of a writer, in some vectors.
func randomMessage(random *rand.Rand, writer int) datagram.OutputMessage {
	content := make([]byte, 1+[]int{0, 10, 10, random.IntN(200), 1300}[random.IntN(5)])
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	content[0] = byte(writer)
	cut := random.IntN(len(content) + 1)
	if random.IntN(2) == 0 {
		return datagram.OutputMessage{Vectors: [][]byte{content}}
	}
	return datagram.OutputMessage{Vectors: [][]byte{content[:cut], content[cut:]}}
}
