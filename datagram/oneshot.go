package datagram

import (
	"context"
	"io"
	"sync"
	"time"
)

// one is what moving a single datagram needs, kept so that it is not allocated
// for each.
type one struct {
	in      [1]InputMessage
	out     [1]OutputMessage
	vectors [1][]byte
}

var ones = sync.Pool{New: func() any { return new(one) }}

// ReceiveOne receives one datagram into buf and returns its length and sender.
// When the peer has closed it returns io.EOF. The rest of a datagram longer
// than buf is lost.
func ReceiveOne(ctx context.Context, obj DatagramBased, buf []byte, timeout time.Duration) (int, Address, error) {
	o := ones.Get().(*one)
	defer o.put()
	o.vectors[0] = buf
	o.in[0].Vectors = o.vectors[:]
	n, err := obj.ReceiveMessages(ctx, o.in[:], MsgNone, timeout)
	switch {
	case err != nil:
		return 0, Address{}, err
	case n == 0:
		return 0, Address{}, io.EOF
	}
	return o.in[0].BytesReceived, o.in[0].Address, nil
}

// SendOne sends data as one datagram to the address, the zero Address for the
// peer that obj is connected to.
func SendOne(ctx context.Context, obj DatagramBased, data []byte, to Address, timeout time.Duration) error {
	o := ones.Get().(*one)
	defer o.put()
	o.vectors[0] = data
	o.out[0] = OutputMessage{Address: to, Vectors: o.vectors[:]}
	_, err := obj.SendMessages(ctx, o.out[:], MsgNone, timeout)
	return err
}

func (o *one) put() {
	*o = one{}
	ones.Put(o)
}
