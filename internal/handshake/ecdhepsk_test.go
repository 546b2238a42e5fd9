package handshake

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"
)

// TestForwardSecretKeys asserts that pre-shared keys go with ephemeral ones where
// both sides can (RFC 8442), and alone where one cannot.
func TestForwardSecretKeys(t *testing.T) {
	a := answers{identity: "me", key: []byte("key"), psk: map[string][]byte{"me": []byte("key")}}
	plain := &Config{PSK: true, Suites: []uint16{0x00a8}}
	for _, test := range []struct {
		name           string
		client, server *Config
		want           uint16
	}{
		{"both", &Config{PSK: true}, &Config{PSK: true}, 0xd001},
		{"both, with a hint", &Config{PSK: true}, &Config{PSK: true, PSKHint: []byte("hint")}, 0xd001},
		{"plain client", plain, &Config{PSK: true}, 0x00a8},
		{"plain server", &Config{PSK: true}, plain, 0x00a8},
	} {
		t.Run(test.name, func(t *testing.T) {
			sim := newSimulation(t, test.client, test.server, a, link{})
			sim.run(time.Minute)
			checkAgreement(t, sim)
			if got := sim.client.Session().Suite.ID; got != test.want {
				t.Errorf("suite %04x, want %04x", got, test.want)
			}
		})
	}
	t.Run("other key", func(t *testing.T) {
		other := a
		other.key = []byte("other")
		sim := newSimulation(t, &Config{PSK: true}, &Config{PSK: true}, other, link{})
		sim.run(time.Minute)
		checkFailure(t, sim, KindPeerAlert, alert.DecryptError, KindKeyMismatch, alert.DecryptError)
	})
}

// TestHostileKeyExchangeWithKey sends a client what CVE-2026-54908 is about, and
// other key exchanges that make no sense.
func TestHostileKeyExchangeWithKey(t *testing.T) {
	for _, test := range []struct {
		name  string
		body  []byte
		alert alert.Description
	}{
		{"nothing", nil, alert.DecodeError},
		{"empty hint only", []byte{0, 0}, alert.DecodeError},
		{"hint only", []byte{0, 1, 'h'}, alert.DecodeError},
		{"curve type only", []byte{0, 0, 3}, alert.DecodeError},
		{"explicit curve", []byte{0, 0, 1, 0, 23, 1, 4}, alert.DecodeError},
		{"no point", []byte{0, 0, 3, 0, 23, 0}, alert.DecodeError},
		{"something behind the point", []byte{0, 0, 3, 0, 23, 1, 4, 0}, alert.DecodeError},
		{"group that was not offered", []byte{0, 0, 3, 0, 25, 1, 4}, alert.IllegalParameter},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := puppetServer(t, &Config{PSK: true})
			f := p.flight()
			f.hello.suite, f.keyBody = 0xd001, func([]byte) []byte { return slices.Clone(test.body) }
			p.play(f)
			if err := p.m.Err(); err == nil || err.Alert != test.alert {
				t.Errorf("got %v, want %s", err, AlertName(test.alert))
			}
		})
	}
	t.Run("no key exchange at all", func(t *testing.T) {
		p := puppetServer(t, &Config{PSK: true})
		f := p.flight()
		f.hello.suite = 0xd001
		p.send(handshake.TypeServerHello, f.hello.marshal())
		p.send(handshake.TypeServerHelloDone, nil)
		wantFailure(t, p.m, KindProtocol, alert.UnexpectedMessage, "ServerHelloDone while ServerKeyExchange")
	})
	t.Run("point off the curve", func(t *testing.T) {
		p := puppetServer(t, &Config{PSK: true})
		f := p.flight()
		f.hello.suite = 0xd001
		f.exchange = serverKeyExchange{hint: []byte{}, group: elliptic.P256, publicKey: append([]byte{4}, make([]byte, 64)...)}
		p.play(f)
		if p.m.Question() != AskPSK {
			t.Fatalf("no question: %v", p.m.Err())
		}
		p.m.AnswerPSK([]byte("me"), []byte("key"), p.now)
		wantFailure(t, p.m, KindProtocol, alert.IllegalParameter, "not a point")
	})
}
