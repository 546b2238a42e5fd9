package handshake

import (
	"bytes"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// held is how many bytes a machine keeps of what its peer sent and has not been
// handled.
func held(m *Machine) int {
	n := m.in.size
	for _, p := range m.in.slots {
		if p != nil {
			n += cap(p.have) * 16
		}
	}
	for _, r := range m.early.records {
		n += cap(r) + 24
	}
	for _, d := range m.early.data {
		n += cap(d) + 24
	}
	return n
}

// heldMost bounds it on a client; a server that asks for no certificate keeps less.
const heldMost = 2*maxMessage + maxAhead*2*maxRanges*16 + 2*maxEarlyBytes + maxEarly*24

// waiting are machines that wait for their peer, one a state.
func waiting(t testing.TB) map[string]*puppet {
	h := newRawHello(0xc02b)
	h.extensions = block(modern()...)
	p := puppetServer(t, &Config{})
	middle := puppetServer(t, &Config{})
	hello := flightMessages(middle, middle.flight())[0]
	middle.send(hello.typ, hello.body)
	asked := puppetServer(t, &Config{})
	asked.play(asked.flight())
	keyed := puppetServer(t, &Config{})
	keyed.play(keyed.flight())
	keyed.m.AnswerCertificate(nil, keyed.now)
	all := map[string]*puppet{
		"client before ServerHello": p, "client before Certificate": middle, "client with a question": asked,
		"client before Finished": keyed, "server": puppetClient(t, certificateServer(t), h),
	}
	for _, p := range all {
		p.m.Output()
	}
	return all
}

// TestDropped gives machines in each state what must change nothing, and asserts
// that it is counted and answered by nothing.
func TestDropped(t *testing.T) {
	alertRecord := record.AppendPlaintext(nil, record.TypeAlert, record.VersionDTLS12, 7, []byte{1, 90})
	handshakeRecord := func(content []byte) []byte {
		return record.AppendPlaintext(nil, record.TypeHandshake, record.VersionDTLS12, 7, content)
	}
	header := func(typ handshake.Type, length int, seq uint16, offset, n int) []byte {
		return appendHeader(nil, typ, length, seq, offset, n)
	}
	wrongVersion := bytes.Clone(alertRecord)
	wrongVersion[1] = 3
	truncated := alertRecord[:len(alertRecord)-1]
	overlong := bytes.Clone(alertRecord)
	overlong[11], overlong[12] = 0xff, 0xff
	for _, test := range []struct {
		name     string
		datagram []byte
		notDTLS  bool
	}{
		{"empty", nil, true},
		{"one byte", []byte{22}, true},
		{"text", []byte("GET / HTTP/1.1\r\n\r\n"), true},
		{"wrong version", wrongVersion, true},
		{"truncated record", truncated, false},
		{"record longer than its datagram", overlong, false},
		{"epoch 2", epochRecord(2, 0, record.TypeHandshake, make([]byte, 40)), false},
		{"epoch 65535", epochRecord(65535, 0, record.TypeApplicationData, make([]byte, 40)), false},
		{"warning", alertRecord, false},
		{"short alert", record.AppendPlaintext(nil, record.TypeAlert, record.VersionDTLS12, 7, []byte{2}), false},
		{"long alert", record.AppendPlaintext(nil, record.TypeAlert, record.VersionDTLS12, 7, []byte{2, 40, 0}), false},
		{"application data", record.AppendPlaintext(nil, record.TypeApplicationData, record.VersionDTLS12, 7, []byte("data")), false},
		{"empty application data", record.AppendPlaintext(nil, record.TypeApplicationData, record.VersionDTLS12, 7, nil), false},
		{"unknown content type", record.AppendPlaintext(nil, 24, record.VersionDTLS12, 7, []byte{1}), false},
		{"empty handshake record", handshakeRecord(nil), false},
		{"half a header", handshakeRecord(make([]byte, 11)), false},
		{"fragment beyond its message", handshakeRecord(append(header(2, 4, 0, 2, 3), 1, 2, 3)), false},
		{"fragment beyond its record", handshakeRecord(append(header(2, 4, 0, 0, 4), 1, 2, 3)), false},
		{"largest offset and length", handshakeRecord(header(2, 0xffffff, 0, 0xffffff, 0xffffff)), false},
		{"fragment of nothing", handshakeRecord(header(2, 4, 100, 0, 0)), false},
		{"message far ahead", handshakeRecord(append(header(2, 1, 1000, 0, 1), 1)), false},
		{"HelloRequest", handshakeRecord(header(handshake.TypeHelloRequest, 0, 0, 0, 0)), false},
	} {
		for state, p := range waiting(t) {
			before, kept, next := p.m.Stats(), held(p.m), p.m.in.next
			p.m.Receive(bytes.Clone(test.datagram), p.now)
			wantWaiting(t, p.m)
			after := p.m.Stats()
			if test.notDTLS && after.NotDTLS != before.NotDTLS+1 || !test.notDTLS && after.Dropped != before.Dropped+1 {
				t.Errorf("%s, %s: counted %+v after %+v", test.name, state, after, before)
			}
			if len(p.m.Output()) != 0 || held(p.m) != kept || p.m.in.next != next {
				t.Errorf("%s, %s: it had an effect", test.name, state)
			}
		}
	}
}

// TestChangeCipherSpecInOddPlaces asserts that it has no effect anywhere: the
// epoch of a record tells by which keys it is protected.
func TestChangeCipherSpecInOddPlaces(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	ccs := record.AppendPlaintext(nil, record.TypeChangeCipherSpec, record.VersionDTLS12, 99, []byte{1})
	l := link{tamper: func(_ bool, _ int, d []byte) []byte {
		return append(append(bytes.Clone(ccs), d...), ccs...)
	}}
	sim := newSimulation(t, &Config{}, &Config{Certificates: []*Certificate{certificate}}, answers{}, l)
	// The cookie is checked on the first record, so the hellos go without.
	sim.link.tamper = func(fromClient bool, n int, d []byte) []byte {
		if fromClient && n < 2 {
			return d
		}
		return l.tamper(fromClient, n, d)
	}
	sim.run(time.Minute)
	checkAgreement(t, sim)
	if sim.client.Stats().Repeated+sim.server.Stats().Repeated != 0 {
		t.Error("a flight was repeated")
	}
}

func TestFatalAlerts(t *testing.T) {
	for state := range waiting(t) {
		for _, content := range [][]byte{{2, 40}, {2, 255}, {1, 0}, {2, 0}} {
			p := waiting(t)[state]
			p.receive(record.TypeAlert, content)
			text := "fatal TLS alert"
			if content[1] == 0 {
				text = "closed the connection"
			}
			wantFailure(t, p.m, KindPeerAlert, alert.Description(content[1]), text)
			p.receive(record.TypeAlert, content)
			wantFailure(t, p.m, KindPeerAlert, alert.Description(content[1]), text)
		}
	}
}

// TestFloods sends very much of one thing to machines in each state: nothing is
// answered more than rarely, what is kept stays bounded, and the machine ends in time.
func TestFloods(t *testing.T) {
	rng := mathrand.New(mathrand.NewPCG(1, 1))
	random := make([]byte, 1200)
	floods := map[string]func(p *puppet, i int) []byte{
		"random bytes": func(_ *puppet, i int) []byte {
			for j := range random {
				random[j] = byte(rng.Uint32())
			}
			return random[:rng.IntN(len(random))]
		},
		"random records": func(_ *puppet, i int) []byte {
			for j := range random {
				random[j] = byte(rng.Uint32())
			}
			// Not in the clear, where anybody's alert or message must count.
			return epochRecord(1+uint16(i%2), uint64(i), record.ContentType(20+rng.IntN(5)), random[:rng.IntN(200)])
		},
		"warnings": func(*puppet, int) []byte {
			return record.AppendPlaintext(nil, record.TypeAlert, record.VersionDTLS12, 7, []byte{1, 90})
		},
		"application data of epoch 1": func(_ *puppet, i int) []byte {
			return epochRecord(1, uint64(i), record.TypeApplicationData, random[:1000])
		},
		"empty records of epoch 1": func(_ *puppet, i int) []byte {
			return epochRecord(1, uint64(i), record.TypeApplicationData, nil)
		},
		"fragments ahead": func(p *puppet, i int) []byte {
			m := outMessage{typ: 11, seq: p.m.in.next + 1 + uint16(i%maxAhead), body: make([]byte, 1<<13)}
			return record.AppendPlaintext(nil, record.TypeHandshake, record.VersionDTLS12, uint64(i), appendFragment(nil, &m, i%8192, 1))
		},
		"many lengths of one message": func(p *puppet, i int) []byte {
			m := outMessage{typ: 11, seq: p.m.in.next, body: make([]byte, 2+i%2000)}
			return record.AppendPlaintext(nil, record.TypeHandshake, record.VersionDTLS12, uint64(i), appendFragment(nil, &m, 0, 1))
		},
		"ranges of one message": func(p *puppet, i int) []byte {
			m := outMessage{typ: 11, seq: p.m.in.next, body: make([]byte, 4000)}
			return record.AppendPlaintext(nil, record.TypeHandshake, record.VersionDTLS12, uint64(i), appendFragment(nil, &m, i*2%3900, 1))
		},
		"old messages": func(p *puppet, i int) []byte {
			return record.AppendPlaintext(nil, record.TypeHandshake, record.VersionDTLS12, uint64(i),
				appendHeader(nil, p.m.out.repeatedBy, 0, p.m.in.next-1, 0, 0))
		},
	}
	for name, flood := range floods {
		for state, p := range waiting(t) {
			if name == "old messages" && p.m.in.next == 0 {
				continue // there is none
			}
			most, sent := 0, 0
			const n, pace = 3000, 2 * time.Millisecond
			for i := range n {
				p.m.Receive(bytes.Clone(flood(p, i)), p.now)
				p.now = p.now.Add(pace)
				most = max(most, held(p.m))
				sent += len(p.m.Output())
			}
			if p.m.Err() != nil && p.m.Err().Kind != KindKeyMismatch {
				t.Errorf("%s, %s: %v", name, state, p.m.Err())
			}
			if most > heldMost || p.m.in.limit == maxShortMessage && most > heldMost-2*maxMessage+2*maxShortMessage {
				t.Errorf("%s, %s: held %d bytes", name, state, most)
			}
			if name != "old messages" && sent > 1 || sent > maxSends*2 /* a flight of two datagrams */ {
				t.Errorf("%s, %s: %d datagrams were sent", name, state, sent)
			}
			if p.m.Question() != NoQuestion {
				continue // the application's turn
			}
			// However the flood goes on, at one for each time-out, it ends.
			for i := 0; p.m.Err() == nil; i++ {
				p.now = p.m.Deadline()
				p.m.Expire(p.now)
				p.m.Receive(bytes.Clone(flood(p, n+i)), p.now)
				p.m.Output()
				if p.now.Sub(puppetStart) > (stuckPatience+1)*defaultPatience {
					t.Fatalf("%s, %s: waits for ever", name, state)
				}
			}
		}
	}
}

// TestRepetitionsForEver repeats the peer's flight faster than the timer: it is
// answered a few times, and in the end the machine gives up.
func TestRepetitionsForEver(t *testing.T) {
	h := newRawHello(0xc02b)
	h.extensions = block(modern()...)
	p := puppetClient(t, certificateServer(t), h)
	old := helloDatagram(1, 1, h.marshal())
	for p.m.Err() == nil {
		p.m.Receive(bytes.Clone(old), p.now)
		p.now = p.now.Add(300 * time.Millisecond)
		p.m.Expire(p.now)
		p.m.Output()
		if p.now.Sub(puppetStart) > time.Hour {
			t.Fatal("waits for ever")
		}
	}
	wantFailure(t, p.m, KindTimeout, 0, "repeats itself")
	if got := p.m.Stats().Flights; got > maxSends+10 {
		t.Errorf("sent %d flights", got)
	}
}

// TestEarlyData keeps application data that was sealed by the peer and came before
// its Finished, and no more of it than fits.
func TestEarlyData(t *testing.T) {
	for _, size := range []int{0, 5, 3000} {
		var server *Machine
		certificate := testCertificate(t, "ECDSA P-256")
		sim := newSimulation(t, &Config{}, &Config{Certificates: []*Certificate{certificate}}, answers{}, link{delay: time.Millisecond})
		sim.link.tamper = func(fromClient bool, n int, d []byte) []byte {
			if fromClient || sim.server == nil || !sim.server.Done() || server != nil {
				return d
			}
			// Before the server's last flight its data overtakes.
			server = sim.server
			for range 100 {
				data, err := server.Session().Sealer.SealBytes(nil, record.TypeApplicationData, make([]byte, size))
				if err != nil {
					t.Fatal(err)
				}
				sim.client.Receive(data, sim.now)
			}
			if got := held(sim.client); got > heldMost {
				t.Errorf("held %d bytes of data", got)
			}
			return d
		}
		sim.run(time.Minute)
		checkAgreement(t, sim)
		want := min(maxEarly, maxEarlyBytes/max(size, 1))
		got := sim.client.Session().Early
		if len(got) != want || len(got[0]) != size {
			t.Errorf("%d bytes each: kept %d of 100, want %d", size, len(got), want)
		}
		if dropped := sim.client.Stats().Dropped; dropped != uint64(100-want) {
			t.Errorf("%d bytes each: counted %d dropped, want %d", size, dropped, 100-want)
		}
	}
}

// TestForgedRecordsOfEpoch1 does not take a burst of forgeries for a wrong key.
func TestForgedRecordsOfEpoch1(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	sim := newSimulation(t, &Config{}, &Config{Certificates: []*Certificate{certificate}}, answers{}, link{delay: time.Millisecond})
	forged := 0
	sim.link.tamper = func(fromClient bool, n int, d []byte) []byte {
		for _, m := range []*Machine{sim.client, sim.server} {
			for i := range 10 {
				if m != nil && !m.Done() {
					m.Receive(epochRecord(1, uint64(100+i), record.TypeHandshake, make([]byte, 48)), sim.now)
					forged++
				}
			}
		}
		return d
	}
	sim.run(time.Minute)
	checkAgreement(t, sim)
	if got := sim.client.Stats().Undecryptable + sim.server.Stats().Undecryptable; got == 0 || forged == 0 {
		t.Errorf("counted %d of %d forgeries", got, forged)
	}
}
