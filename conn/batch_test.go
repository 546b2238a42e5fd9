package conn_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"gdtls/datagram"
)

// Batches of any size go over sockets whole, in order, and with their boundaries,
// whatever of the system's capabilities the sockets use, and however the receiver
// cuts its buffers.
func TestBatchesOverUDP(t *testing.T) {
	for _, without := range []datagram.Capability{0, datagram.GSO, datagram.GRO, datagram.Batching, datagram.Batching | datagram.GSO | datagram.GRO} {
		t.Run("without "+without.String(), func(t *testing.T) {
			t.Parallel()
			a, b := udpPair(t, datagram.Without(without))
			p := newPairOver(t, a, b)
			mustHandshake(t, p)
			random := rand.New(rand.NewPCG(7, uint64(without)))
			for range 40 {
				from, to := p.client.DtlsConnection, p.server.DtlsConnection
				if random.IntN(2) == 0 {
					from, to = to, from
				}
				batch := make([]datagram.OutputMessage, 1+random.IntN(100))
				for i := range batch {
					batch[i] = randomMessage(random, i)
					if i > 0 && random.IntN(3) > 0 { // a run of one size
						batch[i].Vectors = batch[i-1].Vectors
					}
				}
				if n, err := from.SendMessages(background, batch, 0, patience); n != len(batch) || err != nil {
					t.Fatalf("sent %d of %d: %v", n, len(batch), err)
				}
				for got := 0; got < len(batch); {
					in := room(1+random.IntN(40), 2000)
					for i := range in {
						cut := random.IntN(1400)
						v := in[i].Vectors[0]
						in[i].Vectors = [][]byte{v[:cut], v[cut : cut+random.IntN(600)]}
					}
					n, err := to.ReceiveMessages(background, in, datagram.MsgWaitForOne, patience)
					if err != nil || n > len(batch)-got {
						t.Fatalf("received %d of %d more: %v", n, len(batch)-got, err)
					}
					for i := range in[:n] {
						checkDelivered(t, &in[i], bytes.Join(batch[got+i].Vectors, nil))
					}
					got += n
				}
			}
		})
	}
}

// checkDelivered compares a message with what was sent, as far as it had room.
func checkDelivered(t *testing.T, m *datagram.InputMessage, sent []byte) {
	t.Helper()
	all := bytes.Join(m.Vectors, nil)
	size := min(len(sent), len(all))
	cut := datagram.MsgNone
	if size < len(sent) {
		cut = datagram.MsgTrunc
	}
	if m.BytesReceived != size || !bytes.Equal(all[:size], sent[:size]) || m.Flags != cut {
		t.Fatalf("%d bytes with flags %#x, of %d that were sent, in a room of %d", m.BytesReceived, m.Flags, len(sent), len(all))
	}
}
