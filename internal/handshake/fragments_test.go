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

// piece makes a fragment of a message of one repeated byte.
func piece(typ handshake.Type, seq uint16, length, from, to int, fill byte) *fragment {
	f := &fragment{data: bytes.Repeat([]byte{fill}, to-from)}
	f.Type, f.Length, f.MessageSequence = typ, uint32(length), seq
	f.FragmentOffset, f.FragmentLength = uint32(from), uint32(to-from)
	return f
}

// checkInbound asserts what always holds.
func checkInbound(t testing.TB, in *inbound) {
	t.Helper()
	size := 0
	for i, p := range in.slots {
		if p == nil {
			continue
		}
		size += len(p.body)
		if int(p.seq)%maxAhead != i || p.seq-in.next >= maxAhead {
			t.Fatalf("message %d stands in slot %d while %d is awaited", p.seq, i, in.next)
		}
		if len(p.have) > maxRanges {
			t.Fatalf("message %d has %d ranges", p.seq, len(p.have))
		}
		for j, h := range p.have {
			if h.from < 0 || h.from >= h.to || h.to > len(p.body) || j > 0 && p.have[j-1].to >= h.from {
				t.Fatalf("message %d has ranges %v", p.seq, p.have)
			}
		}
	}
	if size != in.size || size > 2*in.limit {
		t.Fatalf("holds %d bytes, counted %d, at most %d", size, in.size, 2*in.limit)
	}
}

// TestReassembly splits a message in many ways; it comes out as it was.
func TestReassembly(t *testing.T) {
	rng := mathrand.New(mathrand.NewPCG(2, 2))
	for round := range 300 {
		message := make([]byte, rng.IntN(400))
		for i := range message {
			message[i] = byte(rng.Uint32())
		}
		fragments := split(message, rng, 1+round%40)
		rng.Shuffle(len(fragments), func(i, j int) { fragments[i], fragments[j] = fragments[j], fragments[i] })
		in := inbound{next: uint16(65530 + round), limit: maxMessage}
		var got *[]byte
		for again := 0; got == nil; again++ {
			if again > 10 {
				t.Fatalf("message of %d bytes in %d fragments never became complete", len(message), len(fragments))
			}
			for i := range fragments {
				f := fragments[i]
				f.MessageSequence = uint16(65530 + round)
				in.add(&f, 0)
				checkInbound(t, &in)
				if m, ok := in.pop(); ok {
					got = &m.body
					break
				}
			}
		}
		if !bytes.Equal(*got, message) {
			t.Fatalf("got %x, want %x", *got, message)
		}
		f := fragments[0]
		f.MessageSequence = uint16(65530 + round)
		if fate := in.add(&f, 0); fate != fateOld {
			t.Fatalf("a fragment of a message that was taken is %d", fate)
		}
	}
}

// split cuts a message into fragments of at most the given size, that overlap
// now and then.
func split(message []byte, rng *mathrand.Rand, size int) []fragment {
	var all []fragment
	add := func(from, to int) {
		f := piece(handshake.TypeCertificate, 0, len(message), from, to, 0)
		copy(f.data, message[from:to])
		all = append(all, *f)
	}
	if len(message) == 0 {
		add(0, 0)
	}
	for at := 0; at < len(message); {
		to := min(len(message), at+1+rng.IntN(size))
		add(max(0, at-rng.IntN(3)), to)
		if rng.IntN(4) == 0 {
			add(at, to)
		}
		at = to
	}
	return all
}

func TestReassemblyBounds(t *testing.T) {
	type step struct {
		f     *fragment
		epoch uint16
		want  fate
	}
	const cert, fin = handshake.TypeCertificate, handshake.TypeFinished
	for _, test := range []struct {
		name     string
		steps    []step
		complete int // messages that come out
	}{
		{"longest", []step{{piece(cert, 0, maxMessage, 0, maxMessage, 1), 0, fateKept}}, 1},
		{"too long", []step{{piece(cert, 0, maxMessage+1, 0, 1, 1), 0, fateTooLong}}, 0},
		{"too long, ahead", []step{{piece(cert, 1, maxMessage+1, 0, 1, 1), 0, fateDropped}}, 0},
		{"furthest ahead", []step{{piece(cert, maxAhead-1, 1, 0, 1, 1), 0, fateKept}}, 0},
		{"too far ahead", []step{{piece(cert, maxAhead, 1, 0, 1, 1), 0, fateDropped}}, 0},
		{"behind", []step{{piece(cert, 0xffff, 1, 0, 1, 1), 0, fateOld}}, 0},
		{"fragment of nothing", []step{{piece(cert, 0, 9, 4, 4, 1), 0, fateDropped}}, 0},
		{"same again", []step{{piece(cert, 0, 9, 0, 4, 1), 0, fateKept}, {piece(cert, 0, 9, 1, 3, 1), 0, fateKnown}}, 0},
		{"another length wins", []step{
			{piece(cert, 0, 100, 0, 99, 1), 0, fateKept}, {piece(cert, 0, 9, 0, 9, 1), 0, fateKept}}, 1},
		{"another type wins", []step{
			{piece(fin, 0, 9, 0, 8, 1), 0, fateKept}, {piece(cert, 0, 9, 0, 9, 1), 0, fateKept}}, 1},
		{"protected wins", []step{
			{piece(fin, 0, 9, 0, 8, 1), 0, fateKept}, {piece(fin, 0, 9, 0, 9, 1), 1, fateKept}, {piece(fin, 0, 9, 0, 9, 2), 0, fateDropped}}, 1},
		{"ahead gives way", []step{
			{piece(cert, 5, maxMessage, 0, 1, 1), 0, fateKept},
			{piece(cert, 6, maxMessage, 0, 1, 1), 0, fateKept},
			{piece(cert, 7, 1, 0, 1, 1), 0, fateDropped},
			{piece(cert, 0, maxMessage, 0, maxMessage, 1), 0, fateKept},
		}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := inbound{limit: maxMessage}
			for i, s := range test.steps {
				if got := in.add(s.f, s.epoch); got != s.want {
					t.Errorf("step %d: fate %d, want %d", i, got, s.want)
				}
				checkInbound(t, &in)
			}
			n := 0
			for m, ok := in.pop(); ok; m, ok = in.pop() {
				n++
				if len(m.body) > 0 && !bytes.Equal(m.body, bytes.Repeat([]byte{1}, len(m.body))) {
					t.Error("the wrong fragments came out")
				}
			}
			if n != test.complete {
				t.Errorf("%d messages came out, want %d", n, test.complete)
			}
		})
	}
	t.Run("contradictions", func(t *testing.T) {
		in := inbound{limit: maxMessage}
		began := 0
		for i := range 3 * maxDiscards {
			if in.add(piece(cert, 0, 100+i, 0, 1, 1), 0) == fateKept {
				began++
			}
		}
		if began != maxDiscards+1 {
			t.Errorf("began anew %d times, want %d", began-1, maxDiscards)
		}
		if got := in.add(piece(cert, 0, 9, 0, 9, 1), 1); got != fateKept {
			t.Errorf("what is protected: fate %d", got)
		}
	})
	t.Run("ranges", func(t *testing.T) {
		in := inbound{limit: maxMessage}
		for i := range maxRanges {
			if got := in.add(piece(cert, 0, 1000, 2*i, 2*i+1, 1), 0); got != fateKept {
				t.Fatalf("range %d: fate %d", i, got)
			}
		}
		if got := in.add(piece(cert, 0, 1000, 500, 501, 1), 0); got != fateDropped {
			t.Errorf("one range more: fate %d", got)
		}
		if got := in.add(piece(cert, 0, 1000, 0, 1000, 1), 0); got != fateKept {
			t.Errorf("the whole: fate %d", got)
		}
		if _, ok := in.pop(); !ok {
			t.Error("not complete")
		}
	})
}

// refragment is a link that cuts the handshake records of epoch 0 into fragments
// of n bytes, each in a datagram of its own; reversed or not, and each twice or not.
func refragment(n int, reversed, twice bool) func(datagram []byte) [][]byte {
	return func(datagram []byte) [][]byte {
		var out [][]byte
		for rec, rest, ok := record.Next(datagram); ok; rec, rest, ok = record.Next(rest) {
			if rec.Epoch != 0 || rec.Type != record.TypeHandshake {
				out = append(out, rec.Raw)
				continue
			}
			for f, more, ok := nextFragment(rec.Fragment()); ok; f, more, ok = nextFragment(more) {
				m := outMessage{typ: f.Type, seq: f.MessageSequence, body: make([]byte, f.Length)}
				copy(m.body[f.FragmentOffset:], f.data)
				for at := 0; ; at += n {
					size := min(n, len(f.data)-at)
					cut := record.AppendPlaintext(nil, rec.Type, rec.Version, rec.Sequence,
						appendFragment(nil, &m, int(f.FragmentOffset)+at, size))
					out = append(out, cut)
					if twice {
						out = append(out, cut)
					}
					if at+size >= len(f.data) {
						break
					}
				}
			}
		}
		if reversed {
			for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
				out[i], out[j] = out[j], out[i]
			}
		}
		return out
	}
}

// TestHandshakeRefragmented runs whole handshakes whose messages are cut on
// their way. Hellos stay whole: a server without state drops a part of one.
func TestHandshakeRefragmented(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	for _, size := range []int{1, 7, 100} {
		for _, reversed := range []bool{false, true} {
			for _, twice := range []bool{false, true} {
				server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate}
				sim := newSimulation(t, &Config{}, server, answers{clientCertificate: certificate}, link{delay: time.Millisecond})
				cut := refragment(size, reversed, twice)
				sim.link.split = func(fromClient bool, d []byte) [][]byte {
					if fromClient && sim.server == nil || d[13] == byte(handshake.TypeHelloVerifyRequest) {
						return [][]byte{d}
					}
					return cut(d)
				}
				sim.run(time.Minute)
				checkAgreement(t, sim)
				// Bytes that come one by one in reverse need no more ranges than one.
				if sim.client.Stats().Repeated+sim.server.Stats().Repeated != 0 {
					t.Errorf("size %d, reversed %v, twice %v: a flight was repeated", size, reversed, twice)
				}
			}
		}
	}
}

func TestOversizedMessage(t *testing.T) {
	p := puppetServer(t, &Config{})
	messages := flightMessages(p, p.flight())
	p.send(messages[0].typ, messages[0].body)
	m := outMessage{typ: handshake.TypeCertificate, seq: p.seq, body: make([]byte, maxMessage+1)}
	p.receive(record.TypeHandshake, appendFragment(nil, &m, 0, 1000))
	wantFailure(t, p.m, KindProtocol, alert.IllegalParameter, "peer's Certificate has 65537 bytes")
}
