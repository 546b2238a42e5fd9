package datagram

import (
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// coalesced returns a pair whose b has received the first two datagrams, "0" and
// "1", of a run of count, and holds the others.
func coalesced(t *testing.T, count int) pair {
	t.Helper()
	p := pairs["udp4"](t)
	if c := p.b.(*Socket).Capabilities(); c&(GSO|GRO) != GSO|GRO {
		t.Skip("UDP_SEGMENT or UDP_GRO is missing or switched off")
	}
	if n, err := p.a.SendMessages(t.Context(), addressed(digits(count), p.toB), MsgNone, -1); n != count || err != nil {
		t.Fatal(n, err)
	}
	in := inputs(2, 5)
	p.b.ReceiveMessages(t.Context(), in[:1], MsgPeek, time.Second)
	if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, time.Second); n != 2 || err != nil || text(in[0]) != "0" || text(in[1]) != "1" {
		t.Fatal(n, err, text(in[0]), text(in[1]))
	}
	// The run came before UDP_GRO was set, and so in pieces; the next does not.
	if n, err := p.b.ReceiveMessages(t.Context(), inputs(count-2, 5), MsgNone, time.Second); n != count-2 || err != nil {
		t.Fatal(n, err)
	}
	if held(p.b) {
		t.Error("a haul is held although it is used up")
	}
	if n, err := p.a.SendMessages(t.Context(), addressed(digits(count), p.toB), MsgNone, -1); n != count || err != nil {
		t.Fatal(n, err)
	}
	if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, time.Second); n != 2 || err != nil || text(in[0]) != "0" || text(in[1]) != "1" {
		t.Fatal(n, err, text(in[0]), text(in[1]))
	}
	if !held(p.b) {
		t.Fatal("no haul is held")
	}
	return p
}

// digits returns count messages "0", "1" and so on.
func digits(count int) []OutputMessage {
	out := outputs(count, 1)
	for i := range out {
		out[i].Vectors[0][0] = '0' + byte(i)
	}
	return out
}

func held(obj DatagramBased) bool {
	o := &obj.(*Socket).driver.(*system).offload
	o.receiving.Lock()
	defer o.receiving.Unlock()
	if (o.haul != nil) != o.pending() {
		panic("what is held does not show")
	}
	return o.haul != nil
}

// What is held shows in the conditions and is received before anything else, by
// calls of every kind; then the socket holds nothing.
func TestHeld(t *testing.T) {
	p := coalesced(t, 8)
	if now := p.b.ConditionCheck(In | Out); now != In|Out {
		t.Error("conditions:", now)
	}
	for _, timeout := range []time.Duration{0, time.Second, -1} {
		if err := p.b.ConditionWait(t.Context(), In, timeout); err != nil {
			t.Error("wait:", err)
		}
	}
	source := p.b.CreateSource(t.Context(), In)
	select {
	case now := <-source.C():
		if now != In {
			t.Error("source:", now)
		}
	case <-time.After(5 * time.Second):
		t.Error("the source does not trigger")
	}
	source.Destroy()
	p.send(t, "8")
	in := inputs(3, 5)
	for _, timeout := range []time.Duration{0, time.Second, -1} {
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgPeek, timeout); n != 1 || err != nil || text(in[0]) != "2" {
			t.Error("peek:", n, err, text(in[0]))
		}
	}
	if n, err := p.b.ReceiveMessages(t.Context(), in[:1], MsgNone, 0); n != 1 || err != nil || text(in[0]) != "2" {
		t.Error("poll:", n, err, text(in[0]))
	}
	if n, err := p.b.ReceiveMessages(t.Context(), in[:1], MsgNone, -1); n != 1 || err != nil || text(in[0]) != "3" {
		t.Error("receive:", n, err, text(in[0]))
	}
	in = inputs(10, 5)
	if n, err := p.b.ReceiveMessages(t.Context(), in, MsgWaitForOne, -1); n != 5 || err != nil || text(in[0]) != "4" || text(in[4]) != "8" {
		t.Error("the rest:", n, err, text(in[0]), text(in[4]))
	}
	if held(p.b) {
		t.Error("something is held at the end")
	}
	if now := p.b.ConditionCheck(In | Out); now != Out {
		t.Error("conditions at the end:", now)
	}
	if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 0); n != 0 || !errors.Is(err, ErrWouldBlock) {
		t.Error("at the end:", n, err)
	}
}

// Held datagrams are cut like others, and each has its sender.
func TestHeldTruncation(t *testing.T) {
	p := coalesced(t, 5)
	in := inputs(3, 5)
	in[1].Vectors = nil
	if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 0); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	for i := range in {
		if cut := in[i].Flags&MsgTrunc != 0; cut != (i == 1) || in[i].Address != p.toA {
			t.Errorf("message %d: flags %#x, from %v", i, in[i].Flags, in[i].Address)
		}
	}
}

// Close drops what is held.
func TestHeldClose(t *testing.T) {
	p := coalesced(t, 5)
	p.closeB()
	if held(p.b) {
		t.Error("something is held after Close")
	}
	if n, err := p.b.ReceiveMessages(t.Context(), inputs(1, 5), MsgNone, 0); n != 0 || !errors.Is(err, ErrClosed) {
		t.Error(n, err)
	}
	if now := p.b.ConditionCheck(In | Out); now != Hup {
		t.Error(now)
	}
}

// A call that waits in the kernel gets what another, which polls, leaves: the
// kernel does not wake it for that.
func TestHeldWakes(t *testing.T) {
	p := coalesced(t, 3)
	if _, err := p.b.ReceiveMessages(t.Context(), inputs(1, 5), MsgNone, 0); err != nil {
		t.Fatal(err)
	}
	for round := range 300 {
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if round%2 == 0 {
				if err := p.b.ConditionWait(background, In, 5*time.Second); err != nil {
					t.Error("wait:", err)
				}
			} else if n, err := p.b.ReceiveMessages(background, inputs(1, 5), MsgNone, 5*time.Second); n != 1 || err != nil {
				t.Error("receive:", n, err)
			}
		})
		waiting.Go(func() {
			for range 1000000 { // until it has some, or the other has them all
				if n, _ := p.b.ReceiveMessages(background, inputs(2, 5), MsgNone, 0); n > 0 {
					return
				}
			}
		})
		if n, err := p.a.SendMessages(t.Context(), addressed(digits(8), p.toB), MsgNone, -1); n != 8 || err != nil {
			t.Fatal(n, err)
		}
		waiting.Wait()
		if t.Failed() {
			t.Fatal("in round", round)
		}
		for { // the rest
			if _, err := p.b.ReceiveMessages(t.Context(), inputs(10, 5), MsgNone, 0); err != nil {
				break
			}
		}
	}
}

// A socket holds no more than one haul, however much there is.
func TestHeldIsBounded(t *testing.T) {
	p := coalesced(t, 3)
	const batch = 64
	in := inputs(2, 5)
	for range 30 {
		if n, err := p.a.SendMessages(t.Context(), addressed(outputs(batch, 1000), p.toB), MsgNone, -1); n != batch || err != nil {
			t.Fatal(n, err)
		}
	}
	seen := 0
	for {
		n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 0)
		if err != nil {
			break
		}
		seen += n
		o := &p.b.(*Socket).driver.(*system).offload
		if o.haul != nil && o.haul.count > haulSize {
			t.Fatal("parcels:", o.haul.count)
		}
	}
	if seen < batch {
		t.Error(seen, "arrived")
	}
}

// control returns a control message.
func control(level, kind int32, value []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(value)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(len(value)))
	copy(b[unix.CmsgLen(0):], value)
	return b
}

func TestSegmentSize(t *testing.T) {
	size := binary.NativeEndian.AppendUint32(nil, 1200)
	stamp := control(unix.SOL_SOCKET, unix.SO_TIMESTAMP, make([]byte, 16))
	gro := control(unix.SOL_UDP, unix.UDP_GRO, size)
	for _, c := range []struct {
		name    string
		control []byte
		want    int
	}{
		{"none", nil, 0},
		{"alone", gro, 1200},
		{"behind another", append(stamp[:len(stamp):len(stamp)], gro...), 1200},
		{"another alone", stamp, 0},
		{"too short a value", control(unix.SOL_UDP, unix.UDP_GRO, size[:2]), 0},
		{"cut", gro[:unix.SizeofCmsghdr], 0},
		{"of another level", control(unix.SOL_SOCKET, unix.UDP_GRO, size), 0},
	} {
		if got := segmentSize(c.control); got != c.want {
			t.Errorf("%s: %d", c.name, got)
		}
	}
}

// No control message makes segmentSize read past the end or run for ever.
func FuzzSegmentSize(f *testing.F) {
	f.Add(control(unix.SOL_UDP, unix.UDP_GRO, []byte{1, 2, 3, 4}))
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Aligned, and with nothing behind it, as in a haul.
		words := make([]uint64, (len(data)+7)/8)
		if len(words) == 0 {
			return
		}
		b := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)[:len(data):len(data)]
		copy(b, data)
		segmentSize(b)
	})
}
