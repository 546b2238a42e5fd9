package handshake

import (
	"bytes"
	"testing"
	"time"

	"gdtls/internal/record"
)

// fuzzHandshake is a handshake for fuzzing: with certificates on both sides or with a key.
func fuzzHandshake(t testing.TB, psk bool) *simulation {
	l := link{delay: time.Millisecond}
	if psk {
		a := answers{identity: "me", key: []byte("key"), psk: map[string][]byte{"me": []byte("key")}}
		return newSimulation(t, &Config{PSK: true, Repairs: 8}, &Config{PSK: true, PSKHint: []byte("hint"), Repairs: 8}, a, l)
	}
	certificate := testCertificate(t, "ECDSA P-256")
	server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate, ALPN: []string{"a"}, MTU: 400, Repairs: 8}
	return newSimulation(t, &Config{ALPN: []string{"a"}, ServerName: "a", MTU: 400, Repairs: 8}, server, answers{clientCertificate: certificate}, l)
}

// checkEnd asserts what holds for every handshake: it ends, and two sides that
// are both done agree.
func checkEnd(t *testing.T, sim *simulation) {
	t.Helper()
	if !sim.over() {
		t.Fatalf("no end: %v", sim)
	}
	if sim.client.Done() && sim.server == nil {
		t.Fatal("client is done without a server")
	}
	if sim.client.Done() && sim.server.Done() {
		checkAgreement(t, sim)
	}
	for _, m := range []*Machine{sim.client, sim.server} {
		if m != nil && m.Err() != nil && m.Err().Error() == "" {
			t.Fatal("failure without a reason")
		}
		if m != nil && held(m) > heldMost {
			t.Fatalf("holds %d bytes", held(m))
		}
	}
}

// addDatagrams adds what one side sent in the samples, each for a state of the
// machine that receives it.
func addDatagrams(f *testing.F, side int) {
	for _, s := range samples(f) {
		for i, d := range s.datagrams[side] {
			f.Add(uint8(i), false, d)
			f.Add(uint8(i+1), true, d)
		}
	}
	for i, m := range peerMessages(f, side) {
		f.Add(uint8(i%6), true, record.AppendPlaintext(nil, record.TypeHandshake, record.VersionDTLS12, uint64(i), m))
	}
	for _, d := range [][]byte{
		record.AppendPlaintext(nil, record.TypeAlert, record.VersionDTLS12, 9, []byte{2, 40}),
		record.AppendPlaintext(nil, record.TypeAlert, record.VersionDTLS12, 9, []byte{1, 0}),
		record.AppendPlaintext(nil, record.TypeApplicationData, record.VersionDTLS12, 9, []byte("data")),
		epochRecord(1, 0, record.TypeHandshake, make([]byte, 40)),
	} {
		f.Add(uint8(2), true, d)
	}
}

// FuzzClientReceive puts a datagram into a handshake, at any time.
func FuzzClientReceive(f *testing.F) {
	addDatagrams(f, 1)
	f.Fuzz(func(t *testing.T, state uint8, psk bool, datagram []byte) {
		sim := fuzzHandshake(t, psk)
		sim.before = func(arrived int) {
			if arrived == int(state%12) {
				sim.client.Receive(bytes.Clone(datagram), sim.now)
			}
		}
		sim.run(time.Hour)
		checkEnd(t, sim)
	})
}

// FuzzServerReceive puts a datagram into a handshake, at any time.
func FuzzServerReceive(f *testing.F) {
	addDatagrams(f, 0)
	f.Fuzz(func(t *testing.T, state uint8, psk bool, datagram []byte) {
		sim := fuzzHandshake(t, psk)
		sim.before = func(arrived int) {
			if arrived >= int(state%12) && sim.server != nil {
				sim.server.Receive(bytes.Clone(datagram), sim.now)
				sim.before = nil
			}
		}
		sim.run(time.Hour)
		checkEnd(t, sim)
	})
}

// mutation is how FuzzMutation changes a record.
type mutation uint8

const (
	mutateXor mutation = iota
	mutateSet
	mutateCut
	mutateInsert
	mutateRepeat
	mutations
)

// mutate changes one record of a datagram at an offset.
func mutate(datagram []byte, n uint8, offset uint16, how mutation, value byte) []byte {
	var records [][]byte
	for rec, rest, ok := record.Next(datagram); ok; rec, rest, ok = record.Next(rest) {
		records = append(records, bytes.Clone(rec.Raw))
	}
	if len(records) == 0 {
		return datagram
	}
	r := &records[int(n)%len(records)]
	at := int(offset) % len(*r)
	switch how % mutations {
	case mutateXor:
		(*r)[at] ^= value
	case mutateSet:
		(*r)[at] = value
	case mutateCut:
		*r = (*r)[:at]
	case mutateInsert:
		*r = append((*r)[:at:at], append([]byte{value}, (*r)[at:]...)...)
	case mutateRepeat:
		*r = append(*r, *r...)
	}
	return bytes.Join(records, nil)
}

// FuzzMutation runs a whole handshake in which one datagram is changed at one place.
func FuzzMutation(f *testing.F) {
	for n := range uint8(6) {
		for how := range mutations {
			f.Add(n%2 == 0, n, n%3, uint16(7*n), uint8(how), byte(1<<n), n%3 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, fromClient bool, n, r uint8, offset uint16, how, value uint8, psk bool) {
		sim := fuzzHandshake(t, psk)
		sim.link.tamper = func(c bool, i int, d []byte) []byte {
			if c == fromClient && i == int(n%12) {
				return mutate(d, r, offset, mutation(how), value)
			}
			return d
		}
		sim.run(time.Hour)
		checkEnd(t, sim)
	})
}
