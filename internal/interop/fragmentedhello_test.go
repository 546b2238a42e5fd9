package interop

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/datagram"
	"gdtls/internal/record"
)

// TestFragmentedHello sends ClientHellos in two fragments. A server that keeps nothing
// before the cookie cannot put them together: it would have to keep the first one, or
// to trust a cookie that covers a part of the hello. So ours drops them. OpenSSL and
// GnuTLS answer the first fragment by a HelloVerifyRequest, but do not get further. Who
// keeps state takes them. No client splits its hello by itself.
func TestFragmentedHello(t *testing.T) {
	for name, p := range peers {
		outcome := "dropped"
		if p.traits().takesFragmentedHello {
			outcome = "taken"
		}
		t.Run(name+"/client/"+outcome, func(t *testing.T) {
			t.Parallel()
			o := usual()
			o.server.cookie = !p.traits().takesFragmentedHello
			m := begun(t, p, false, o, splitHellos)
			if !p.traits().takesFragmentedHello {
				expectServerRefusal(t, m, "")
				if m.ours.trace.find(false, handshake.TypeServerHello) != nil {
					t.Error("the server has answered more than a HelloVerifyRequest")
				}
				return
			}
			m.ours.mustHandshake(t)
			m.theirs.established(t)
			m.exchange(t, 20)
		})
	}
	t.Run("gdtls", func(t *testing.T) {
		t.Parallel()
		o := usual()
		server := newServer(t, o.server)
		client := newClient(t, server.local, o.client, splitHellos)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = server.handshakeWithin(briefly) // it waits for another hello
		}()
		expectServerRefusal(t, &match{ours: client}, "")
		<-ended
		if server.trace.received() == 0 || client.trace.received() != 0 {
			t.Errorf("records: %d came to the server, %d from it", server.trace.received(), client.trace.received())
		}
	})
}

// helloSplitter sends each ClientHello as two fragments in two datagrams. Each record
// leaves room for another one in its sequence number.
type helloSplitter struct{ datagram.DatagramBased }

func splitHellos(base datagram.DatagramBased) datagram.DatagramBased { return helloSplitter{base} }

// SendMessages sends the messages, and more datagrams than it tells of.
func (s helloSplitter) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	for i := range messages {
		var all []byte
		for _, v := range messages[i].Vectors {
			all = append(all, v...)
		}
		for _, out := range splitHello(all) {
			one := []datagram.OutputMessage{{Address: messages[i].Address, Vectors: [][]byte{out}}}
			if _, err := s.DatagramBased.SendMessages(ctx, one, flags, timeout); err != nil {
				return i, err
			}
		}
		messages[i].BytesSent = len(all)
	}
	return len(messages), nil
}

// splitHello gives a datagram as it is but for its sequence numbers, or as two.
func splitHello(bytes []byte) [][]byte {
	const header, cut = record.HeaderSize + handshake.HeaderLength, 50
	for rest := bytes; len(rest) >= record.HeaderSize; {
		if epoch := rest[3:5]; epoch[0] == 0 && epoch[1] == 0 {
			binary.BigEndian.PutUint32(rest[7:], 2*binary.BigEndian.Uint32(rest[7:]))
		}
		rest = rest[min(len(rest), record.HeaderSize+int(binary.BigEndian.Uint16(rest[11:]))):]
	}
	if len(bytes) < header+cut || record.ContentType(bytes[0]) != record.TypeHandshake || handshake.Type(bytes[record.HeaderSize]) != handshake.TypeClientHello {
		return [][]byte{bytes}
	}
	fragment := func(from, to int) []byte {
		out := append([]byte(nil), bytes[:header]...)
		binary.BigEndian.PutUint16(out[11:], uint16(handshake.HeaderLength+to-from))
		out[record.HeaderSize+7], out[record.HeaderSize+8] = byte(from>>8), byte(from)
		out[record.HeaderSize+10], out[record.HeaderSize+11] = byte((to-from)>>8), byte(to-from)
		return append(out, bytes[header+from:header+to]...)
	}
	first, second := fragment(0, cut), fragment(cut, len(bytes)-header)
	second[10]++
	return [][]byte{first, second}
}
