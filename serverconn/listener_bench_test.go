package serverconn

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// BenchmarkDeliver is the way of a datagram from the listener's reader to that of
// its peer, without the socket and the record: what it costs to have many peers.
func BenchmarkDeliver(b *testing.B) {
	for _, n := range []int{1, 10, 10000} {
		b.Run(fmt.Sprintf("peers=%d", n), func(b *testing.B) {
			l := &DtlsListener{config: newListenerConfig(nil), cookies: handshake.NewCookies(time.Now())}
			l.limits.datagrams, l.limits.bytes, l.limits.memory = l.config.queueDatagrams, l.config.queueBytes, l.config.receiveMemory
			l.table.init()
			peers := make([]*peer, n)
			for i := range peers {
				ip := [4]byte{10}
				binary.BigEndian.PutUint16(ip[2:], uint16(i))
				address := datagram.AddressFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(ip), 5684))
				peers[i] = &peer{listener: l, address: address}
				peers[i].queue.limits = &l.limits
				l.table.add(peers[i])
			}
			r := newReader(l)
			record := append([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 1200 >> 8, 1200 & 0xff}, make([]byte, 1200)...)
			for i := range r.messages {
				r.messages[i].BytesReceived = copy(r.messages[i].Vectors[0], record)
			}
			in := []datagram.InputMessage{{Vectors: [][]byte{make([]byte, 2000)}}}
			b.ReportAllocs()
			next := 0
			for done := 0; done < b.N; done += readBatch {
				for i := range r.messages {
					r.messages[i].Address = peers[(next+i)%n].address
				}
				r.takeBatch(r.messages[:])
				for i := range r.messages {
					if k, err := peers[(next+i)%n].ReceiveMessages(context.Background(), in, 0, 0); k != 1 || err != nil {
						b.Fatal(k, err)
					}
				}
				next = (next + 7919*readBatch) % n
			}
		})
	}
}
