package console

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A thousand watch, of whom one reads nothing: whoever publishes is as quick as without
// them, what they cost does not grow, and all others see everything.
func TestThousandViewers(t *testing.T) {
	viewers := 1000
	if testing.Short() || raceDetector {
		viewers = 200
	}
	s := serve(t, Config{Events: NewHub(2000, 0), Source: Source{
		Counters: func() Counters { return Counters{} },
		Peers: func() []Peer {
			peers := make([]Peer, 10_000)
			for i := range peers {
				peers[i] = Peer{ID: uint64(i + 1), Address: fmt.Sprintf("192.0.2.1:%d", i), State: "connected"}
			}
			return peers
		},
	}})
	token := s.token("somebody")
	alone := publishTime(s.Events(), "before", 1000)

	const last = "the last one"
	var seen, dropped, failed atomic.Int64
	var watching sync.WaitGroup
	limited := make(chan struct{}, 32) // who connect at once
	ready := make(chan struct{}, viewers)
	for range viewers - 1 {
		limited <- struct{}{}
		w, err := s.dial(token, command{Type: "resume", Epoch: s.hub.epoch, Event: 1000})
		<-limited
		if err != nil {
			t.Fatal(err)
		}
		watching.Go(func() {
			defer w.socket.CloseNow()
			ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
			defer cancel()
			for over := false; !over; {
				_, message, err := w.socket.Read(ctx)
				if err != nil {
					failed.Add(1)
					return
				}
				switch {
				case bytes.HasPrefix(message, []byte(`{"type":"hello"`)):
					ready <- struct{}{}
				case bytes.HasPrefix(message, []byte(`{"type":"events"`)):
					var gone int64
					if _, err := fmt.Sscanf(string(message), `{"type":"events","dropped":%d,`, &gone); err != nil {
						t.Error(err)
					}
					seen.Add(int64(bytes.Count(message, []byte(`{"n":`))))
					dropped.Add(gone)
					over = bytes.Contains(message, []byte(last))
				}
			}
		})
	}
	stalled, err := s.dial(token, resume)
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.socket.CloseNow()
	for range viewers - 1 {
		<-ready
	}
	before := heapOf()
	const events = 4000
	watched := publishTime(s.Events(), "meanwhile", events)
	s.Events().Publish(Event{Level: Info, Text: last})
	watching.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d viewers have lost their connection", failed.Load())
	}
	if got, want := seen.Load()+dropped.Load(), int64(viewers-1)*(events+1); got != want {
		t.Errorf("%d events were seen and %d dropped, together %d of %d", seen.Load(), dropped.Load(), got, want)
	}
	grown := int64(heapOf()) - int64(before)
	t.Logf("%d viewers: nine of ten events take %v to publish, %v without them; %d seen, %d dropped; %d kB more on the heap",
		viewers, watched, alone, seen.Load(), dropped.Load(), grown>>10)
	if grown > 64<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if watched > 100*time.Microsecond {
		t.Errorf("an event takes %v to publish", watched)
	}
}

// publishTime is how long the slowest but one in ten of so many events take to be
// published. They come in bursts, as from a busy server.
func publishTime(h *Hub, text string, events int) time.Duration {
	var took []time.Duration
	for i := range events {
		if i%500 == 499 {
			time.Sleep(50 * time.Millisecond)
		}
		start := time.Now()
		h.Publish(Event{Level: Message, Peer: "192.0.2.1:7", Text: text})
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)*9/10]
}

func heapOf() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// slow is a stream whose reader takes its time.
type slow struct {
	pause  time.Duration
	frames chan []byte
	resume []byte
	once   sync.Once
}

func (s *slow) Read(ctx context.Context) (message []byte, err error) {
	s.once.Do(func() { message = s.resume })
	if message != nil {
		return message, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s *slow) Write(ctx context.Context, message []byte) error {
	select {
	case s.frames <- append([]byte(nil), message...):
		time.Sleep(s.pause)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A viewer that is too slow misses events, and is told how many.
func TestSlowViewer(t *testing.T) {
	s := serve(t, Config{Events: NewHub(1000, 0)})
	stream := &slow{pause: 20 * time.Millisecond, frames: make(chan []byte, 10_000), resume: mustEncode(resume)}
	ctx, cancel := context.WithCancel(t.Context())
	watching := make(chan error, 1)
	go func() { watching <- s.Console.watch(ctx, "somebody", stream) }()
	if f := parse(t, <-stream.frames); f.Type != "hello" {
		t.Fatalf("it begins with %s", f.Type)
	}
	const events = 50_000
	publishMany(s.Events(), 1, events)
	seen, dropped := 0, uint64(0)
	for seen+int(dropped) < events {
		select {
		case frame := <-stream.frames:
			if f := parse(t, frame); f.Type == "events" {
				seen += len(f.Events)
				dropped += f.Dropped
			}
		case <-time.After(limit):
			t.Fatalf("%d seen and %d dropped of %d", seen, dropped, events)
		}
	}
	cancel()
	<-watching
	if dropped == 0 {
		t.Error("none was dropped")
	}
	if n := s.hub.viewers.Load(); n != 0 {
		t.Errorf("%d viewers are left", n)
	}
}

// A server that stops tells its viewers so.
func TestStop(t *testing.T) {
	s := serve(t, Config{})
	w := s.watch(resume)
	w.next("hello")
	code := make(chan websocket.StatusCode, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		for {
			if _, _, err := w.socket.Read(ctx); err != nil {
				code <- websocket.CloseStatus(err)
				return
			}
		}
	}()
	s.stop()
	if got := <-code; got != websocket.StatusGoingAway {
		t.Errorf("closed with %v", got)
	}
	if _, err := net.DialTimeout("tcp", strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/"), limit); err == nil {
		t.Error("it still listens")
	}
}
