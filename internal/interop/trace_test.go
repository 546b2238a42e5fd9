package interop

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/datagram"
	"gdtls/internal/record"
)

// trace notes the records that go over a base. It is in a failed test's output,
// and tells tests what was on the wire.
type trace struct {
	datagram.DatagramBased
	begin time.Time

	mu     sync.Mutex
	events []event
}

// event is a record on the wire.
type event struct {
	at       time.Duration
	sent     bool
	datagram int // bytes of the whole datagram
	typ      record.ContentType
	epoch    uint16
	fragment []byte
}

func newTrace(t testing.TB, base datagram.DatagramBased) *trace {
	tr := &trace{DatagramBased: base, begin: time.Now()}
	t.Cleanup(func() {
		tr.keepSamples(t)
		if t.Failed() {
			t.Logf("on the wire:\n%s", tr)
		}
	})
	return tr
}

// ReceiveMessages receives from the base.
func (tr *trace) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	n, err := tr.DatagramBased.ReceiveMessages(ctx, messages, flags, timeout)
	for i := range messages[:max(n, 0)] {
		var all []byte
		for _, v := range messages[i].Vectors {
			all = append(all, v...)
		}
		tr.note(false, all[:messages[i].BytesReceived])
	}
	return n, err
}

// SendMessages sends by the base.
func (tr *trace) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	for i := range messages {
		var all []byte
		for _, v := range messages[i].Vectors {
			all = append(all, v...)
		}
		tr.note(true, all)
	}
	return tr.DatagramBased.SendMessages(ctx, messages, flags, timeout)
}

func (tr *trace) note(sent bool, bytes []byte) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	e := event{at: time.Since(tr.begin), sent: sent, datagram: len(bytes)}
	for len(bytes) >= record.HeaderSize {
		length := record.HeaderSize + int(binary.BigEndian.Uint16(bytes[11:]))
		if length > len(bytes) {
			break
		}
		e.typ, e.epoch = record.ContentType(bytes[0]), binary.BigEndian.Uint16(bytes[3:])
		e.fragment = append([]byte(nil), bytes[record.HeaderSize:length]...)
		tr.events = append(tr.events, e)
		bytes = bytes[length:]
	}
}

// message gives the header of a handshake message in plaintext.
func (e *event) message() (typ handshake.Type, fragmented, ok bool) {
	if e.typ != record.TypeHandshake || e.epoch != 0 || len(e.fragment) < handshake.HeaderLength {
		return 0, false, false
	}
	f := e.fragment
	return handshake.Type(f[0]), string(f[1:4]) != string(f[9:12]), true
}

// find gives the first event with a handshake message.
func (tr *trace) find(sent bool, typ handshake.Type) *event {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for i := range tr.events {
		e := &tr.events[i]
		if got, _, ok := e.message(); ok && got == typ && e.sent == sent {
			return e
		}
	}
	return nil
}

// received counts the records that came.
func (tr *trace) received() (n int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for i := range tr.events {
		if !tr.events[i].sent {
			n++
		}
	}
	return n
}

// fragments counts the fragments of messages of one direction, and gives the size
// of its largest datagram with a handshake record, but for ClientHellos, which nobody
// splits.
func (tr *trace) fragments(sent bool) (fragments, largest int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for i := range tr.events {
		e := &tr.events[i]
		typ, fragmented, ok := e.message()
		if e.sent != sent || e.typ != record.TypeHandshake || ok && typ == handshake.TypeClientHello {
			continue
		}
		largest = max(largest, e.datagram)
		if ok && fragmented {
			fragments++
		}
	}
	return fragments, largest
}

// serverExtension tells whether the ServerHello of either side has an extension, and
// how long that is. The hello must not be fragmented.
func (tr *trace) serverExtension(want uint16) (length int, found bool) {
	e := tr.find(false, handshake.TypeServerHello)
	if e == nil {
		e = tr.find(true, handshake.TypeServerHello)
	}
	const fixed = handshake.HeaderLength + 2 + 32
	if e == nil || len(e.fragment) < fixed+1 {
		return 0, false
	}
	rest := e.fragment[fixed:]
	skip := 1 + int(rest[0]) + 2 + 1 + 2
	if len(rest) < skip {
		return 0, false
	}
	for rest = rest[skip:]; len(rest) >= 4; {
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if binary.BigEndian.Uint16(rest) == want {
			return length, true
		}
		if len(rest) < 4+length {
			break
		}
		rest = rest[4+length:]
	}
	return 0, false
}

// serverScheme gives the signature scheme of a ServerKeyExchange of ECDHE, from its
// first fragment; 0 if that is too short.
func (tr *trace) serverScheme() uint16 {
	e := tr.find(false, handshake.TypeServerKeyExchange)
	if e == nil {
		e = tr.find(true, handshake.TypeServerKeyExchange)
	}
	const point = handshake.HeaderLength + 1 + 2
	if e == nil || len(e.fragment) <= point {
		return 0
	}
	scheme := point + 1 + int(e.fragment[point])
	if len(e.fragment) < scheme+2 {
		return 0
	}
	return binary.BigEndian.Uint16(e.fragment[scheme:])
}

func (tr *trace) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var b strings.Builder
	for i := range tr.events {
		e := &tr.events[i]
		direction := "<-"
		if e.sent {
			direction = "->"
		}
		what := ""
		if typ, fragmented, ok := e.message(); ok {
			what = fmt.Sprintf("%v seq %d", typ, binary.BigEndian.Uint16(e.fragment[4:]))
			if fragmented {
				what += " fragment"
			}
		} else if e.typ == record.TypeAlert && e.epoch == 0 {
			what = fmt.Sprintf("alert %d", e.fragment)
		}
		fmt.Fprintf(&b, "%8.1f ms %s %4d bytes: type %d epoch %d, %d bytes %s\n",
			float64(e.at.Microseconds())/1e3, direction, e.datagram, e.typ, e.epoch, len(e.fragment), what)
	}
	return b.String()
}
