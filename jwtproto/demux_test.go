package jwtproto

import (
	"errors"
	"slices"
	"testing"
	"time"

	"gdtls/datagram"
)

var testTime = time.Unix(1e9, 0)

// TestDemux sends both kinds in any order: what is DTLS comes in order and in the caller's
// buffers, the rest goes to the other side.
func TestDemux(t *testing.T) {
	record := func(b byte) []byte { return []byte{22, 254, b} }
	send := [][]byte{[]byte("eyJ"), record(1), {}, record(2), []byte("1"), {20, 3}, record(3), {63, 254}, {64, 254}, {19, 254}}
	a, b := datagram.NewPipe()
	defer a.Close()
	defer b.Close()
	var plain []string
	d := &demux{b, func(data []byte, _ datagram.Address) { plain = append(plain, string(data)) }}
	for _, data := range send {
		if err := datagram.SendOne(t.Context(), a, data, datagram.Address{}, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	messages := make([]datagram.InputMessage, 10)
	for i := range messages {
		messages[i].Vectors = [][]byte{make([]byte, 1), make([]byte, 10)}
	}
	n, err := d.ReceiveMessages(t.Context(), messages, datagram.MsgWaitForOne, -1)
	if err != nil || n != 4 {
		t.Fatalf("%d messages, %v", n, err)
	}
	for i, want := range [][]byte{record(1), record(2), record(3), {63, 254}} {
		if got := gather(&messages[i]); !slices.Equal(got, want) {
			t.Errorf("message %d is %x, want %x", i, got, want)
		}
	}
	if want := []string{"eyJ", "", "1", "\x14\x03", "\x40\xfe", "\x13\xfe"}; !slices.Equal(plain, want) {
		t.Errorf("the other side got %q, want %q", plain, want)
	}
	// The timeouts hold although something else comes.
	for _, test := range []struct {
		timeout time.Duration
		want    error
	}{{0, datagram.ErrWouldBlock}, {30 * time.Millisecond, datagram.ErrTimedOut}} {
		if err := datagram.SendOne(t.Context(), a, []byte("eyJ"), datagram.Address{}, time.Second); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if n, err := d.ReceiveMessages(t.Context(), messages, datagram.MsgWaitForOne, test.timeout); n != 0 || !errors.Is(err, test.want) {
			t.Errorf("timeout %v: %d messages, %v", test.timeout, n, err)
		}
		if took := time.Since(begun); took < test.timeout {
			t.Errorf("timeout %v took %v", test.timeout, took)
		}
	}
	a.Close()
	if n, err := d.ReceiveMessages(t.Context(), messages, datagram.MsgNone, -1); n != 0 || err != nil {
		t.Errorf("after the end: %d messages, %v", n, err)
	}
}
