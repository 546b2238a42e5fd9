package conn_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	pion "github.com/pion/dtls/v2"

	"gdtls/datagram"
)

const payload = 1200

// BenchmarkDatagrams sends datagrams of 1,200 bytes over loopback UDP, and takes
// each one at the other end before the next is sent: through a connection, through
// pion v2's, and bare. AES-128-GCM all.
func BenchmarkDatagrams(b *testing.B) {
	b.Run("gdtls", func(b *testing.B) {
		p := overUDP(b)
		out := []datagram.OutputMessage{{Vectors: [][]byte{make([]byte, payload)}}}
		in := room(1, payload)
		oneByOne(b, func() (int, error) {
			_, err := p.client.SendMessages(background, out, 0, -1)
			return out[0].BytesSent, err
		}, func() (int, error) {
			_, err := p.server.ReceiveMessages(background, in, 0, -1)
			return in[0].BytesReceived, err
		})
	})
	b.Run("gdtls as net.Conn", func(b *testing.B) {
		p := overUDP(b)
		client, server := p.client.NetConn(), p.server.NetConn()
		throughNet(b, client, server)
	})
	b.Run("pion", func(b *testing.B) {
		client, server := pionPair(b)
		throughNet(b, client, server)
	})
	b.Run("udp", func(b *testing.B) {
		one, two := udpPair(b)
		throughNet(b, one.PacketConn().(net.Conn), two.PacketConn().(net.Conn))
	})
}

// BenchmarkPingPong has each datagram answered by another goroutine, so that every
// read waits: that of a connection, and a bare one.
func BenchmarkPingPong(b *testing.B) {
	run := func(b *testing.B, client, server net.Conn) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, payload)
			for {
				n, err := server.Read(buf)
				if err != nil {
					return
				}
				if _, err := server.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
		throughNet(b, client, client)
		client.Close()
		server.Close()
		<-done
	}
	b.Run("gdtls over a pipe", func(b *testing.B) {
		p := newPair(b)
		usesAES128GCM(b, p)
		run(b, p.client.NetConn(), p.server.NetConn())
	})
	b.Run("gdtls", func(b *testing.B) {
		p := overUDP(b)
		run(b, p.client.NetConn(), p.server.NetConn())
	})
	b.Run("udp", func(b *testing.B) {
		one, two := udpPair(b)
		run(b, one.PacketConn().(net.Conn), two.PacketConn().(net.Conn))
	})
}

// BenchmarkBatches moves 32 datagrams a call.
func BenchmarkBatches(b *testing.B) {
	const batch = 32
	p := overUDP(b)
	out, in := make([]datagram.OutputMessage, batch), room(batch, payload)
	for i := range out {
		out[i].Vectors = [][]byte{make([]byte, payload)}
	}
	b.SetBytes(payload)
	b.ReportAllocs()
	for range b.N/batch + 1 {
		if n, err := p.client.SendMessages(background, out, 0, -1); n != batch || err != nil {
			b.Fatal(n, err)
		}
		if n, err := p.server.ReceiveMessages(background, in, 0, -1); n != batch || err != nil {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkPipe is what a connection costs without a network.
func BenchmarkPipe(b *testing.B) {
	p := newPair(b)
	usesAES128GCM(b, p)
	out, in := []datagram.OutputMessage{{Vectors: [][]byte{make([]byte, payload)}}}, room(1, payload)
	oneByOne(b, func() (int, error) {
		_, err := p.client.SendMessages(background, out, 0, -1)
		return out[0].BytesSent, err
	}, func() (int, error) {
		_, err := p.server.ReceiveMessages(background, in, 0, -1)
		return in[0].BytesReceived, err
	})
}

// BenchmarkHandshake is a whole handshake of both sides over a pipe.
func BenchmarkHandshake(b *testing.B) {
	for _, kind := range []string{"ECDSA", "PSK"} {
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				one, two := datagram.NewPipe()
				p := &pair{newClient(b, one), newServer(b, two)}
				if kind == "PSK" {
					p.usesPSK()
				}
				mustHandshake(b, p)
			}
		})
	}
}

func overUDP(b *testing.B) *pair {
	one, two := udpPair(b)
	p := newPairOver(b, one, two)
	usesAES128GCM(b, p)
	return p
}

func usesAES128GCM(b *testing.B, p *pair) {
	if err := p.client.SetCiphersuites("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"); err != nil {
		b.Fatal(err)
	}
	mustHandshake(b, p)
}

func oneByOne(b *testing.B, write, read func() (int, error)) {
	b.SetBytes(payload)
	b.ReportAllocs()
	for b.Loop() {
		if n, err := write(); n != payload || err != nil {
			b.Fatal(n, err)
		}
		if n, err := read(); n != payload || err != nil {
			b.Fatal(n, err)
		}
	}
}

func throughNet(b *testing.B, client, server net.Conn) {
	out, in := make([]byte, payload), make([]byte, payload)
	oneByOne(b, func() (int, error) { return client.Write(out) }, func() (int, error) { return server.Read(in) })
}

// pionPair is a connection of pion v2 over loopback UDP.
func pionPair(b *testing.B) (client, server net.Conn) {
	one, two := udpPair(b)
	certificate := pionCertificate()
	ctx, cancel := context.WithTimeout(background, 20*time.Second)
	defer cancel()
	suites := []pion.CipherSuiteID{pion.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	type result struct {
		conn *pion.Conn
		err  error
	}
	served := make(chan result, 1)
	go func() {
		c, err := pion.ServerWithContext(ctx, two.PacketConn().(net.Conn), &pion.Config{Certificates: []tls.Certificate{certificate}, CipherSuites: suites})
		served <- result{c, err}
	}()
	c, err := pion.ClientWithContext(ctx, one.PacketConn().(net.Conn), &pion.Config{InsecureSkipVerify: true, CipherSuites: suites})
	s := <-served
	if err != nil || s.err != nil {
		b.Fatal(err, s.err)
	}
	b.Cleanup(func() {
		c.Close()
		s.conn.Close()
	})
	return c, s.conn
}

func pionCertificate() tls.Certificate {
	c := serverCert()
	key, err := x509.ParsePKCS8PrivateKey(c.PrivateKey())
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{c.Certificate()}, PrivateKey: key}
}
