package handshake

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// sample is what the machines of a simulated handshake sent.
type sample struct {
	datagrams [2][][]byte // of the client and of the server
}

// samples are handshakes with certificates of several kinds on both sides, and with keys.
func samples(t testing.TB) []sample {
	var all []sample
	for _, kind := range []string{"ECDSA P-256", "RSA", "Ed25519", ""} {
		var s sample
		client := &Config{ALPN: []string{"a", "b"}, ServerName: "server.example", PSK: kind == "", Resumable: true}
		server := &Config{Sessions: NewSessions(NewMemoryStore(10, 1<<16)), ALPN: []string{"b"}, PSK: kind == "", PSKHint: []byte("hint")}
		a := answers{identity: "me", key: []byte("key"), psk: map[string][]byte{"me": []byte("key")}}
		if kind != "" {
			server.Certificates = []*Certificate{testCertificate(t, kind)}
			server.ClientAuth = RequireClientCertificate
			server.CertificateAuthorities = [][]byte{{0x30, 0}}
			a.clientCertificate = server.Certificates[0]
		}
		sim := newSimulation(t, client, server, a, link{tamper: func(fromClient bool, _ int, d []byte) []byte {
			side := 1
			if fromClient {
				side = 0
			}
			s.datagrams[side] = append(s.datagrams[side], bytes.Clone(d))
			return d
		}})
		sim.run(time.Minute)
		if !sim.client.Done() || !sim.server.Done() {
			t.Fatal(sim)
		}
		all = append(all, s)
	}
	return all
}

// peersFile holds messages that other implementations sent. The interoperation tests
// write it: go test ./internal/interop -update-samples.
const peersFile = "testdata/peers.json"

// peerMessages are whole handshake messages, with their headers, of OpenSSL, GnuTLS,
// the real Gio, mbed TLS, wolfSSL and both pions; side 0 are those of clients.
func peerMessages(t testing.TB, side int) (all [][]byte) {
	t.Helper()
	text, err := os.ReadFile(peersFile)
	if err != nil {
		t.Fatal(err)
	}
	var byWho map[string][]string
	if err := json.Unmarshal(text, &byWho); err != nil {
		t.Fatal(err)
	}
	for _, who := range slices.Sorted(maps.Keys(byWho)) {
		messages := byWho[who]
		if strings.HasSuffix(who, " as client") != (side == 0) {
			continue
		}
		for _, m := range messages {
			b, err := hex.DecodeString(m)
			if err != nil || len(b) < handshake.HeaderLength {
				t.Fatalf("%s: a sample of %s is none", peersFile, who)
			}
			all = append(all, b)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no messages", peersFile)
	}
	return all
}

// bodies are all messages of a type in the samples.
func bodies(t testing.TB, typ handshake.Type) [][]byte {
	var all [][]byte
	for _, s := range samples(t) {
		for _, datagrams := range s.datagrams {
			for _, m := range sentMessages(datagrams) {
				if m.typ == typ {
					all = append(all, m.body)
				}
			}
		}
	}
	for side := range 2 {
		for _, m := range peerMessages(t, side) {
			if handshake.Type(m[0]) == typ {
				all = append(all, m[handshake.HeaderLength:])
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("no sample has a %s", typeName(typ))
	}
	return all
}

// addBodies adds samples to a fuzz target that takes a body alone.
func addBodies(f *testing.F, typ handshake.Type) {
	for _, body := range bodies(f, typ) {
		f.Add(body)
	}
}

func FuzzClientHello(f *testing.F) {
	addBodies(f, handshake.TypeClientHello)
	f.Fuzz(func(t *testing.T, body []byte) {
		var h, again ClientHello
		if !h.unmarshal(body) || h.renegotiates || len(body) > 1<<15 {
			return
		}
		if !again.unmarshal(h.marshal()) {
			t.Fatalf("cannot read what was written of %+v", h)
		}
		if !reflect.DeepEqual(h, again) {
			t.Fatalf("wrote %+v\nand read %+v", h, again)
		}
	})
}

func FuzzServerHello(f *testing.F) {
	addBodies(f, handshake.TypeServerHello)
	f.Fuzz(func(t *testing.T, body []byte) {
		var h, again serverHello
		if !h.unmarshal(body) || h.renegotiates || h.compressedOnly {
			return
		}
		if !again.unmarshal(h.marshal()) {
			t.Fatalf("cannot read what was written of %+v", h)
		}
		h.extensions, again.extensions = nil, nil // unknown ones are not written
		if !reflect.DeepEqual(h, again) {
			t.Fatalf("wrote %+v\nand read %+v", h, again)
		}
	})
}

func FuzzCertificate(f *testing.F) {
	addBodies(f, handshake.TypeCertificate)
	f.Fuzz(func(t *testing.T, body []byte) {
		chain, err := parseCertificate(body)
		if err != nil {
			return
		}
		if len(chain) > maxChain {
			t.Fatalf("took %d certificates", len(chain))
		}
		if again := marshalCertificate(chain); !bytes.Equal(again, body) {
			t.Fatalf("read %x and wrote %x", body, again)
		}
	})
}

func FuzzCertificateRequest(f *testing.F) {
	addBodies(f, handshake.TypeCertificateRequest)
	f.Fuzz(func(t *testing.T, body []byte) {
		var r certificateRequest
		if !r.unmarshal(body) {
			return
		}
		if again := r.marshal(); !bytes.Equal(again, body) {
			t.Fatalf("read %x and wrote %x", body, again)
		}
	})
}

func FuzzServerKeyExchange(f *testing.F) {
	addBodies(f, handshake.TypeServerKeyExchange)
	f.Add([]byte{0, 0})
	f.Add([]byte{0, 4, 'h', 'i', 'n', 't'})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, suite := range suites {
			var x serverKeyExchange
			if !x.unmarshal(suite, body) {
				continue
			}
			if again := x.marshal(suite); !bytes.Equal(again, body) {
				t.Fatalf("%s: read %x and wrote %x", suite.Name, body, again)
			}
		}
	})
}

func FuzzClientKeyExchange(f *testing.F) {
	addBodies(f, handshake.TypeClientKeyExchange)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, suite := range suites {
			var x clientKeyExchange
			if !x.unmarshal(suite, body) {
				continue
			}
			if again := x.marshal(suite); !bytes.Equal(again, body) {
				t.Fatalf("%s: read %x and wrote %x", suite.Name, body, again)
			}
			for _, group := range groups {
				if key, err := newEphemeral(group); err != nil {
					t.Fatal(err)
				} else if suite.ecdhe {
					agree(key, x.publicKey)
				}
			}
		}
	})
}

// FuzzHelloVerify gives a server without state anything.
func FuzzHelloVerify(f *testing.F) {
	for _, s := range samples(f) {
		for _, datagrams := range s.datagrams {
			for _, d := range datagrams {
				f.Add(d)
			}
		}
	}
	for _, m := range peerMessages(f, 0) {
		f.Add(record.AppendPlaintext(nil, record.TypeHandshake, record.VersionDTLS10, 0, m))
	}
	cookies := NewCookies(puppetStart)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		verified, reply := cookies.VerifyHello(datagram, puppetAddress, nil, puppetStart)
		if verified != nil {
			t.Fatal("somebody guessed a cookie")
		}
		if len(reply) > len(datagram) {
			t.Fatalf("answers %d bytes with %d", len(datagram), len(reply))
		}
		if reply == nil {
			return
		}
		rec, rest, ok := record.Next(reply)
		fragment, more, whole := nextFragment(rec.Fragment())
		cookie, right := parseHelloVerifyRequest(fragment.data)
		if !ok || len(rest) != 0 || !whole || len(more) != 0 || !right || len(cookie) != 32 {
			t.Fatalf("answers with %x", reply)
		}
	})
}

// FuzzInbound feeds fragments: those of a message that was split in any way, which
// must come out as it was, among anything else.
func FuzzInbound(f *testing.F) {
	for _, s := range samples(f)[:1] {
		for _, datagrams := range s.datagrams {
			for _, d := range datagrams {
				f.Add(d[record.HeaderSize:], d, uint64(len(d)), uint8(len(d)))
			}
		}
	}
	f.Fuzz(func(t *testing.T, message, noise []byte, seed uint64, size uint8) {
		rng := mathrand.New(mathrand.NewPCG(seed, 0))
		if len(message) > 2000 {
			return
		}
		fragments := split(message, rng, 1+int(size))
		rng.Shuffle(len(fragments), func(i, j int) { fragments[i], fragments[j] = fragments[j], fragments[i] })

		in := inbound{limit: maxMessage}
		for other, rest, ok := nextFragment(noise); ok; other, rest, ok = nextFragment(rest) {
			in.add(&other, uint16(rng.IntN(2)))
			checkInbound(t, &in)
		}
		for _, ok := in.pop(); ok; _, ok = in.pop() {
			checkInbound(t, &in)
		}
		// Whatever is there, repeating a message brings it through. It is protected,
		// since what is may not be displaced by what is not.
		for range 2 + len(fragments)/maxRanges {
			for i := range fragments {
				fragments[i].MessageSequence = in.next
				in.add(&fragments[i], 1)
				checkInbound(t, &in)
			}
		}
		got, ok := in.pop()
		if !ok || got.seq != fragments[0].MessageSequence {
			t.Fatalf("message %d of %d bytes in %d fragments is not complete", in.next, len(message), len(fragments))
		}
		if got.typ == handshake.TypeCertificate && len(got.body) == len(message) && !bytes.Equal(got.body, message) {
			// Only noise of the same kind may have stood in its place.
			if !sameKind(noise, len(message)) {
				t.Fatalf("got %x, want %x", got.body, message)
			}
		}
	})
}

// sameKind tells whether noise has a fragment that passes for one of the message.
func sameKind(noise []byte, length int) bool {
	for f, rest, ok := nextFragment(noise); ok; f, rest, ok = nextFragment(rest) {
		if f.Type == handshake.TypeCertificate && int(f.Length) == length {
			return true
		}
	}
	return false
}
