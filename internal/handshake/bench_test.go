package handshake

import (
	"testing"
	"time"
)

// BenchmarkHandshake is the work of both sides for a full handshake with cookie,
// without a network.
func BenchmarkHandshake(b *testing.B) {
	certificate := testCertificate(b, "ECDSA P-256")
	key := answers{identity: "me", key: []byte("key"), psk: map[string][]byte{"me": []byte("key")}}
	for _, bench := range []struct {
		name           string
		client, server *Config
		answers        answers
	}{
		{"ECDSA", &Config{}, &Config{Certificates: []*Certificate{certificate}}, answers{}},
		{"ECDHE_PSK", &Config{PSK: true}, &Config{PSK: true}, key},
		{"PSK", &Config{PSK: true, Suites: []uint16{0x00a8}}, &Config{PSK: true}, key},
	} {
		b.Run(bench.name, func(b *testing.B) {
			cookies := NewCookies(puppetStart)
			b.ReportAllocs()
			for b.Loop() {
				sim := newSimulation(b, bench.client, bench.server, bench.answers, link{})
				sim.cookies = cookies
				sim.run(time.Minute)
				if !sim.client.Done() || !sim.server.Done() {
					b.Fatal(sim)
				}
			}
		})
	}
}

// BenchmarkVerifyHello is what a hello of an unknown peer costs a server.
func BenchmarkVerifyHello(b *testing.B) {
	cookies := NewCookies(puppetStart)
	h := helloWithCookie(b, cookies, puppetStart)
	right := helloDatagram(1, 1, h.marshal())
	h.cookie[0] ^= 1
	wrong := helloDatagram(1, 1, h.marshal())
	h.cookie = nil
	none := helloDatagram(0, 0, h.marshal())
	for _, bench := range []struct {
		name     string
		datagram []byte
	}{{"without cookie", none}, {"wrong cookie", wrong}, {"right cookie", right}} {
		b.Run(bench.name, func(b *testing.B) {
			dst := make([]byte, 0, 128)
			b.ReportAllocs()
			for b.Loop() {
				cookies.VerifyHello(bench.datagram, puppetAddress, dst, puppetStart)
			}
		})
	}
}

// BenchmarkResumption is the work of both sides when a session is resumed.
func BenchmarkResumption(b *testing.B) {
	r := newResumption(b)
	saved := r.play(b, nil).client.Session().Saved
	cookies := NewCookies(puppetStart)
	r.client.Resume = saved
	b.ReportAllocs()
	for b.Loop() {
		sim := newSimulation(b, &r.client, &r.server, r.answers, link{})
		sim.cookies = cookies
		sim.run(time.Minute)
		if !sim.client.Done() || !sim.server.Done() || !sim.client.Session().Resumed {
			b.Fatal(sim)
		}
	}
}
