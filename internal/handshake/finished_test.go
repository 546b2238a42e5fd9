package handshake

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"hash"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// TestWrongFinished ends a handshake with another message than the right Finished,
// sealed with the right keys: by a server, and by a client.
func TestWrongFinished(t *testing.T) {
	for _, test := range []struct {
		name  string
		typ   handshake.Type
		body  func(right []byte) []byte
		kind  Kind
		alert alert.Description
	}{
		{"changed", handshake.TypeFinished, func(b []byte) []byte { b[11] ^= 1; return b }, KindKeyMismatch, alert.DecryptError},
		{"zero", handshake.TypeFinished, func([]byte) []byte { return make([]byte, 12) }, KindKeyMismatch, alert.DecryptError},
		{"short", handshake.TypeFinished, func(b []byte) []byte { return b[:11] }, KindProtocol, alert.DecodeError},
		{"long", handshake.TypeFinished, func(b []byte) []byte { return append(b, 0) }, KindProtocol, alert.DecodeError},
		{"empty", handshake.TypeFinished, func([]byte) []byte { return nil }, KindProtocol, alert.DecodeError},
		{"another message", handshake.TypeServerHelloDone, func([]byte) []byte { return nil }, KindProtocol, alert.UnexpectedMessage},
		{"key exchange again", handshake.TypeClientKeyExchange, func([]byte) []byte { return nil }, KindProtocol, alert.UnexpectedMessage},
	} {
		for _, byClient := range []bool{false, true} {
			sim := newSimulation(t, &Config{}, certificateServer(t), answers{}, link{delay: time.Millisecond})
			sim.link.tamper = func(fromClient bool, _ int, d []byte) []byte {
				// It is the sender's last flight that has a record of epoch 1.
				if fromClient != byClient || sim.server == nil || !byClient && !sim.server.Done() {
					return d
				}
				sender := sim.server
				if byClient {
					sender = sim.client
				}
				var out []byte
				for rec, rest, ok := record.Next(d); ok; rec, rest, ok = record.Next(rest) {
					if rec.Epoch == 0 || rec.Type != record.TypeHandshake {
						out = append(out, rec.Raw...)
						continue
					}
					last := sender.out.flight[len(sender.out.flight)-1]
					last.typ, last.body = test.typ, test.body(bytes.Clone(last.body))
					var err error
					if out, err = sender.out.sealer.SealBytes(out, record.TypeHandshake, appendFragment(nil, &last, 0, len(last.body))); err != nil {
						t.Fatal(err)
					}
				}
				return out
			}
			sim.run(time.Minute)
			receiver := sim.client
			if byClient {
				receiver = sim.server
			}
			t.Run(test.name, func(t *testing.T) {
				if err := receiver.Err(); err == nil || err.Kind != test.kind || err.Alert != test.alert {
					t.Errorf("by client %v: %v", byClient, sim)
				}
			})
			if byClient && (sim.client.Err() == nil || sim.client.Err().Alert != test.alert) {
				t.Errorf("%s: the client was not told: %v", test.name, sim)
			}
		}
	}
}

// pHash is P_hash of RFC 5246 5, written from it once more.
func pHash(h func() hash.Hash, secret, seed []byte, n int) []byte {
	mac := func(parts ...[]byte) []byte {
		m := hmac.New(h, secret)
		m.Write(bytes.Join(parts, nil))
		return m.Sum(nil)
	}
	var out []byte
	for a := mac(seed); len(out) < n; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:n]
}

// TestKeySchedule compares secrets, keys and Finished with the RFCs' formulas.
func TestKeySchedule(t *testing.T) {
	for _, suite := range suites {
		var client, server [32]byte
		premaster, transcript := make([]byte, 48), make([]byte, 1000)
		for _, b := range [][]byte{client[:], server[:], premaster, transcript} {
			rand.Read(b)
		}
		prf := func(secret []byte, label string, n int, seed ...[]byte) []byte {
			return pHash(suite.hash.New, secret, append([]byte(label), bytes.Join(seed, nil)...), n)
		}
		sum := suite.hash.New()
		sum.Write(transcript)
		digest := sum.Sum(nil)

		for extended, want := range map[bool][]byte{
			false: prf(premaster, "master secret", 48, client[:], server[:]),
			true:  prf(premaster, "extended master secret", 48, digest),
		} {
			got := suite.masterSecret(premaster, extended, transcript, &client, &server)
			if !bytes.Equal(got[:], want) {
				t.Errorf("%s: master secret, extended %v: %x, want %x", suite.Name, extended, got, want)
			}
		}
		master := prf(premaster, "master secret", 48, client[:], server[:])
		wantClient, wantServer := suite.aead.SplitKeyBlock(prf(master, "key expansion", suite.aead.KeyBlockSize(), server[:], client[:]))
		keyed := newPRF(suite.hash, master)
		gotClient, gotServer := suite.keys(keyed, &client, &server)
		if !bytes.Equal(gotClient.Key, wantClient.Key) || !bytes.Equal(gotClient.IV, wantClient.IV) ||
			!bytes.Equal(gotServer.Key, wantServer.Key) || !bytes.Equal(gotServer.IV, wantServer.IV) {
			t.Errorf("%s: keys differ", suite.Name)
		}
		for fromClient, label := range map[bool]string{true: "client finished", false: "server finished"} {
			got := suite.verifyData(keyed, transcript, fromClient)
			if want := prf(master, label, 12, digest); !bytes.Equal(got[:], want) {
				t.Errorf("%s: %s %x, want %x", suite.Name, label, got, want)
			}
		}
	}
	// RFC 4279 2: the key's length in zeros, then the key, each with its length.
	// RFC 5489 2: with ephemeral keys their secret stands in place of the zeros.
	for id, want := range map[uint16]string{0x00a8: "\x00\x03\x00\x00\x00\x00\x03key", 0xd001: "\x00\x06agreed\x00\x03key"} {
		if got := SuiteByID(id).pskPremaster([]byte("agreed"), []byte("key")); string(got) != want {
			t.Errorf("premaster secret of a key with %04x: %x, want %x", id, got, want)
		}
	}
}
