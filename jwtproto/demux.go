package jwtproto

import (
	"context"
	"errors"
	"time"

	"gdtls/datagram"
)

// demux is a datagram object from which only DTLS is received. What else comes to its
// base is handed to plain, which must not keep the bytes. So the listener that reads it
// serves both, without a queue between.
type demux struct {
	datagram.DatagramBased
	plain func(data []byte, from datagram.Address)
}

// LocalAddress is the address of the base, if it knows it.
func (d *demux) LocalAddress() datagram.Address {
	if base, ok := d.DatagramBased.(interface{ LocalAddress() datagram.Address }); ok {
		return base.LocalAddress()
	}
	return datagram.Address{}
}

// isDTLS tells a record of DTLS by its first byte (RFC 7983) and the major version after
// it. No text can be confused with that: 254 stands in no UTF-8.
func isDTLS(first, second byte) bool { return first >= 20 && first <= 63 && second == 254 }

// ReceiveMessages receives DTLS, and hands on the rest meanwhile.
func (d *demux) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	kept := 0
	for kept < len(messages) {
		n, err := d.DatagramBased.ReceiveMessages(ctx, messages[kept:], flags, timeout)
		if err != nil || n == 0 {
			switch {
			case kept > 0:
				return kept, nil
			case !deadline.IsZero() && errors.Is(err, datagram.ErrWouldBlock):
				return 0, datagram.ErrTimedOut
			}
			return 0, err
		}
		kept += d.sift(messages[kept : kept+n])
		if kept > 0 && flags&datagram.MsgWaitForOne != 0 {
			break
		}
		if !deadline.IsZero() {
			timeout = max(0, time.Until(deadline)) // 0: only what is there
		}
	}
	return kept, nil
}

// sift hands on what is not DTLS, moves the rest to the front, and counts it.
func (d *demux) sift(messages []datagram.InputMessage) int {
	kept := 0
	for i := range messages {
		m := &messages[i]
		data := gather(m)
		if len(data) < 2 || !isDTLS(data[0], data[1]) {
			d.plain(data, m.Address)
			continue
		}
		if kept < i {
			to := &messages[kept]
			scatter(to.Vectors, data)
			to.BytesReceived, to.Flags, to.Address = m.BytesReceived, m.Flags, m.Address
		}
		kept++
	}
	return kept
}

// gather gives the bytes of a message: its first buffer if all are there.
func gather(m *datagram.InputMessage) []byte {
	if len(m.Vectors) > 0 && m.BytesReceived <= len(m.Vectors[0]) {
		return m.Vectors[0][:m.BytesReceived]
	}
	var data []byte
	for _, v := range m.Vectors {
		data = append(data, v[:min(len(v), m.BytesReceived-len(data))]...)
	}
	return data
}

// scatter puts bytes into buffers.
func scatter(vectors [][]byte, data []byte) {
	for _, v := range vectors {
		data = data[copy(v, data):]
	}
}
