package handshake

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/extension"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

func TestClientAcceptsPuppet(t *testing.T) {
	for _, test := range []struct {
		name   string
		cfg    Config
		change func(*serverFlight)
		want   Question
	}{
		{"plain", Config{}, func(*serverFlight) {}, AskCertificate},
		{"no extension at all", Config{}, func(f *serverFlight) { f.hello.extendedMaster, f.hello.secureRenegotiate = false, false }, AskCertificate},
		{"empty acknowledgement of the server name", Config{ServerName: "server.example"}, func(f *serverFlight) {
			f.helloBody = appendExtensions(ext(extension.ServerNameTypeValue))
		}, AskCertificate},
		{"session id", Config{}, func(f *serverFlight) { f.hello.sessionID = make([]byte, 32) }, AskCertificate},
		{"request for a certificate", Config{}, func(f *serverFlight) { f.request = &certificateRequest{types: []byte{1}, schemes: supportedSchemes} }, AskCertificate},
		{"key without hint", Config{PSK: true}, func(f *serverFlight) { f.hello.suite = 0x00a8 }, AskPSK},
		{"key with empty hint", Config{PSK: true}, func(f *serverFlight) { f.hello.suite, f.exchange.hint = 0x00a8, []byte{} }, AskPSK},
		{"longest chain", Config{}, func(f *serverFlight) { f.chain = slices.Repeat(f.chain, maxChain) }, AskCertificate},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := puppetServer(t, &test.cfg)
			f := p.flight()
			test.change(f)
			p.play(f)
			if got := p.m.Question(); got != test.want {
				t.Fatalf("asks %d, want %d: %v", got, test.want, p.m.Err())
			}
		})
	}
}

// appendExtensions appends extensions to a hello that has some.
func appendExtensions(extensions ...[]byte) func([]byte) []byte {
	return func(body []byte) []byte {
		more := bytes.Join(extensions, nil)
		at := 2 + 32 + 1 + 2 + 1 // of the total length in a ServerHello without session id
		total := int(body[at])<<8 | int(body[at+1])
		total += len(more)
		body[at], body[at+1] = byte(total>>8), byte(total)
		return append(body, more...)
	}
}

func TestClientAgainstHostileServer(t *testing.T) {
	set := func(body []byte) func([]byte) []byte { return func([]byte) []byte { return body } }
	shorten := func(body []byte) []byte { return body[:len(body)-1] }
	lengthen := func(body []byte) []byte { return append(body, 0) }
	for _, test := range []struct {
		name   string
		cfg    Config
		change func(*serverFlight)
		kind   Kind
		alert  alert.Description
		text   string
	}{
		// ServerHello.
		{"DTLS 1.0", Config{}, func(f *serverFlight) { f.hello.version = record.VersionDTLS10 }, KindVersion, alert.ProtocolVersion, "feff"},
		{"TLS 1.2", Config{}, func(f *serverFlight) { f.hello.version = 0x0303 }, KindVersion, alert.ProtocolVersion, "0303"},
		{"TLS 1.0", Config{}, func(f *serverFlight) { f.hello.version = 0x0301 }, KindVersion, alert.ProtocolVersion, "0301"},
		{"unknown suite", Config{}, func(f *serverFlight) { f.hello.suite = 0xc014 }, KindProtocol, alert.IllegalParameter, "c014"},
		{"suite of ours that was not offered", Config{Suites: []uint16{0xc02b}}, func(f *serverFlight) { f.hello.suite = 0xc02f }, KindProtocol, alert.IllegalParameter, "not offered"},
		{"key suite without a key", Config{}, func(f *serverFlight) { f.hello.suite = 0x00a8 }, KindProtocol, alert.IllegalParameter, "not offered"},
		{"signalling value as suite", Config{}, func(f *serverFlight) { f.hello.suite = scsvRenegotiation }, KindProtocol, alert.IllegalParameter, "not offered"},
		{"compression", Config{}, func(f *serverFlight) { f.hello.compression = 1 }, KindProtocol, alert.IllegalParameter, "compression"},
		{"session id of 33 bytes", Config{}, func(f *serverFlight) { f.hello.sessionID = make([]byte, 33) }, KindProtocol, alert.DecodeError, "ServerHello"},
		{"empty hello", Config{}, func(f *serverFlight) { f.helloBody = set(nil) }, KindProtocol, alert.DecodeError, "ServerHello"},
		{"short hello", Config{}, func(f *serverFlight) { f.helloBody = shorten }, KindProtocol, alert.DecodeError, "ServerHello"},
		{"long hello", Config{}, func(f *serverFlight) { f.helloBody = lengthen }, KindProtocol, alert.DecodeError, "ServerHello"},
		{"extension not offered", Config{}, func(f *serverFlight) { f.helloBody = appendExtensions(ext(0x1234)) }, KindProtocol, alert.UnsupportedExtension, "4660"},
		{"session ticket not offered", Config{}, func(f *serverFlight) { f.helloBody = appendExtensions(ext(35)) }, KindProtocol, alert.UnsupportedExtension, "35"},
		{"server name not offered", Config{}, func(f *serverFlight) { f.helloBody = appendExtensions(ext(extension.ServerNameTypeValue)) }, KindProtocol, alert.UnsupportedExtension, "extension 0"},
		{"protocol not offered at all", Config{}, func(f *serverFlight) { f.hello.alpn = "x" }, KindProtocol, alert.UnsupportedExtension, "16"},
		{"point formats with a key", Config{PSK: true, Suites: []uint16{0x00a8}}, func(f *serverFlight) { f.hello.suite, f.hello.pointFormats = 0x00a8, true }, KindProtocol, alert.UnsupportedExtension, "11"},
		{"another protocol", Config{ALPN: []string{"a"}}, func(f *serverFlight) { f.hello.alpn = "b" }, KindProtocol, alert.IllegalParameter, `"b"`},
		{"two protocols", Config{ALPN: []string{"a", "b"}}, func(f *serverFlight) {
			f.helloBody = appendExtensions(ext(extension.ALPNTypeValue, 0, 4, 1, 'a', 1, 'b'))
		}, KindProtocol, alert.DecodeError, "ServerHello"},
		{"no protocol", Config{ALPN: []string{"a"}}, func(f *serverFlight) { f.helloBody = appendExtensions(ext(extension.ALPNTypeValue, 0, 0)) }, KindProtocol, alert.DecodeError, "ServerHello"},
		{"extension twice", Config{}, func(f *serverFlight) {
			f.helloBody = appendExtensions(ext(extension.UseExtendedMasterSecretTypeValue))
		}, KindProtocol, alert.DecodeError, "ServerHello"},
		{"extended master secret with content", Config{}, func(f *serverFlight) {
			f.hello.extendedMaster = false
			f.helloBody = appendExtensions(ext(extension.UseExtendedMasterSecretTypeValue, 1))
		}, KindProtocol, alert.DecodeError, "ServerHello"},
		{"server name with content", Config{ServerName: "a"}, func(f *serverFlight) { f.helloBody = appendExtensions(ext(extension.ServerNameTypeValue, 0)) }, KindProtocol, alert.DecodeError, "ServerHello"},
		{"renegotiation", Config{}, func(f *serverFlight) {
			f.hello.secureRenegotiate = false
			f.helloBody = appendExtensions(ext(extension.RenegotiationInfoTypeValue, 1, 7))
		}, KindProtocol, alert.HandshakeFailure, "renegotiation"},
		{"malformed renegotiation", Config{}, func(f *serverFlight) {
			f.hello.secureRenegotiate = false
			f.helloBody = appendExtensions(ext(extension.RenegotiationInfoTypeValue, 2, 7))
		}, KindProtocol, alert.DecodeError, "ServerHello"},
		{"compressed points only", Config{}, func(f *serverFlight) {
			f.helloBody = appendExtensions(ext(extension.SupportedPointFormatsTypeValue, 1, 1))
		}, KindProtocol, alert.IllegalParameter, "points"},
		{"no point format", Config{}, func(f *serverFlight) {
			f.helloBody = appendExtensions(ext(extension.SupportedPointFormatsTypeValue, 0))
		}, KindProtocol, alert.DecodeError, "ServerHello"},

		// Certificate.
		{"no certificate", Config{}, func(f *serverFlight) { f.chain = nil }, KindBadCertificate, alert.DecodeError, "no certificate"},
		{"empty certificate", Config{}, func(f *serverFlight) { f.chain = [][]byte{{}} }, KindProtocol, alert.DecodeError, "Certificate"},
		{"garbage certificate", Config{}, func(f *serverFlight) { f.chain = [][]byte{{0x30, 0x82}} }, KindBadCertificate, alert.BadCertificate, "parse"},
		{"chain too long", Config{}, func(f *serverFlight) { f.chain = slices.Repeat(f.chain, maxChain+1) }, KindBadCertificate, alert.BadCertificate, "more than 16"},
		{"short list", Config{}, func(f *serverFlight) { f.certBody = shorten }, KindProtocol, alert.DecodeError, "Certificate"},
		{"long list", Config{}, func(f *serverFlight) { f.certBody = lengthen }, KindProtocol, alert.DecodeError, "Certificate"},
		{"certificate of another kind", Config{}, func(f *serverFlight) { f.hello.suite = 0xc02f }, KindBadCertificate, alert.UnsupportedCertificate, "does not fit"},

		// ServerKeyExchange. Two bytes and a hint alone are CVE-2026-54908 in pion.
		{"two bytes", Config{}, func(f *serverFlight) { f.keyBody = set([]byte{0, 0}) }, KindProtocol, alert.DecodeError, "ServerKeyExchange"},
		{"hint only", Config{}, func(f *serverFlight) { f.keyBody = set([]byte{0, 4, 'h', 'i', 'n', 't'}) }, KindProtocol, alert.DecodeError, "ServerKeyExchange"},
		{"empty key exchange", Config{}, func(f *serverFlight) { f.keyBody = set(nil) }, KindProtocol, alert.DecodeError, "ServerKeyExchange"},
		{"short key exchange", Config{}, func(f *serverFlight) { f.keyBody = shorten }, KindProtocol, alert.DecodeError, "ServerKeyExchange"},
		{"long key exchange", Config{}, func(f *serverFlight) { f.keyBody = lengthen }, KindProtocol, alert.DecodeError, "ServerKeyExchange"},
		{"explicit curve", Config{}, func(f *serverFlight) { f.keyBody = func(b []byte) []byte { b[0] = 1; return b } }, KindProtocol, alert.DecodeError, "ServerKeyExchange"},
		{"no signature", Config{}, func(f *serverFlight) {
			f.keyBody = set(append(f.exchange.params(), 4, 3, 0, 0))
		}, KindProtocol, alert.DecodeError, "ServerKeyExchange"},
		{"group not offered", Config{}, func(f *serverFlight) { f.exchange.group = 25 }, KindProtocol, alert.IllegalParameter, "group"},
		{"unknown group", Config{}, func(f *serverFlight) { f.exchange.group = 0xffff }, KindProtocol, alert.IllegalParameter, "0xffff"},
		{"scheme of another key", Config{}, func(f *serverFlight) {
			f.exchange.signed = signed{tls.PSSWithSHA256, make([]byte, 256)}
		}, KindProtocol, alert.IllegalParameter, "does not fit"},
		{"SHA-1", Config{}, func(f *serverFlight) {
			f.exchange.signed = signed{tls.ECDSAWithSHA1, make([]byte, 70)}
		}, KindProtocol, alert.IllegalParameter, "ECDSAWithSHA1"},
		{"unknown scheme", Config{}, func(f *serverFlight) { f.exchange.signed = signed{0xffff, make([]byte, 70)} }, KindProtocol, alert.IllegalParameter, "does not fit"},
		{"signed by another key", Config{}, func(f *serverFlight) { f.signer = testCertificate(t, "ECDSA P-384").Signer }, KindProtocol, alert.DecryptError, "signature is wrong"},
		{"garbage signature", Config{}, func(f *serverFlight) { f.exchange.signed.signature = []byte("garbage") }, KindProtocol, alert.DecryptError, "signature is wrong"},
		{"key exchange of a key of zero bytes", Config{PSK: true}, func(f *serverFlight) { f.hello.suite, f.keyBody = 0x00a8, set(nil) }, KindProtocol, alert.DecodeError, "ServerKeyExchange"},
		{"hint longer than told", Config{PSK: true}, func(f *serverFlight) { f.hello.suite, f.keyBody = 0x00a8, set([]byte{0, 2, 1}) }, KindProtocol, alert.DecodeError, "ServerKeyExchange"},

		// CertificateRequest and ServerHelloDone.
		{"short request", Config{}, func(f *serverFlight) { f.requestBody = shorten }, KindProtocol, alert.DecodeError, "CertificateRequest"},
		{"long request", Config{}, func(f *serverFlight) { f.requestBody = lengthen }, KindProtocol, alert.DecodeError, "CertificateRequest"},
		{"empty request", Config{}, func(f *serverFlight) { f.requestBody = set(nil) }, KindProtocol, alert.DecodeError, "CertificateRequest"},
		{"request without types", Config{}, func(f *serverFlight) { f.requestBody = set([]byte{0, 0, 2, 4, 3, 0, 0}) }, KindProtocol, alert.DecodeError, "CertificateRequest"},
		{"request without schemes", Config{}, func(f *serverFlight) { f.requestBody = set([]byte{1, 64, 0, 0, 0, 0}) }, KindProtocol, alert.DecodeError, "CertificateRequest"},
		{"request with an empty name", Config{}, func(f *serverFlight) { f.requestBody = set([]byte{1, 64, 0, 2, 4, 3, 0, 2, 0, 0}) }, KindProtocol, alert.DecodeError, "CertificateRequest"},
		{"request with a key", Config{PSK: true}, func(f *serverFlight) {
			f.hello.suite, f.exchange.hint, f.request = 0x00a8, []byte{}, &certificateRequest{types: []byte{1}, schemes: supportedSchemes}
		}, KindProtocol, alert.HandshakeFailure, "pre-shared"},
		{"ServerHelloDone with content", Config{}, func(f *serverFlight) { f.doneBody = []byte{0} }, KindProtocol, alert.DecodeError, "ServerHelloDone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := puppetServer(t, &test.cfg)
			f := p.flight()
			test.change(f)
			p.play(f)
			wantFailure(t, p.m, test.kind, test.alert, test.text)
		})
	}
}

// TestClientOutOfTurn sends each message where it does not belong.
func TestClientOutOfTurn(t *testing.T) {
	all := []handshake.Type{handshake.TypeClientHello, handshake.TypeServerHello, 4, handshake.TypeCertificate,
		handshake.TypeServerKeyExchange, handshake.TypeCertificateRequest, handshake.TypeServerHelloDone,
		handshake.TypeCertificateVerify, handshake.TypeClientKeyExchange, handshake.TypeFinished, 22, 255}
	stages := []struct {
		after int // messages of the flight that came before
		fits  []handshake.Type
	}{
		{0, []handshake.Type{handshake.TypeServerHello}},
		{1, []handshake.Type{handshake.TypeCertificate}},
		{2, []handshake.Type{handshake.TypeServerKeyExchange}},
		{3, []handshake.Type{handshake.TypeServerHelloDone, handshake.TypeCertificateRequest}},
	}
	for _, stage := range stages {
		for _, typ := range all {
			if slices.Contains(stage.fits, typ) {
				continue
			}
			p := puppetServer(t, &Config{})
			f := p.flight()
			messages := flightMessages(p, f)
			for _, m := range messages[:stage.after] {
				p.send(m.typ, m.body)
			}
			p.send(typ, []byte("anything"))
			wantFailure(t, p.m, KindProtocol, alert.UnexpectedMessage, "peer sent "+typeName(typ))
		}
	}
	t.Run("second request", func(t *testing.T) {
		p := puppetServer(t, &Config{})
		for _, m := range flightMessages(p, p.flight())[:3] {
			p.send(m.typ, m.body)
		}
		r := certificateRequest{types: []byte{1}, schemes: supportedSchemes}
		p.send(handshake.TypeCertificateRequest, r.marshal())
		p.send(handshake.TypeCertificateRequest, r.marshal())
		wantFailure(t, p.m, KindProtocol, alert.UnexpectedMessage, "CertificateRequest")
	})
}

// flightMessages makes the messages of a flight without giving them to the machine.
func flightMessages(p *puppet, f *serverFlight) []message {
	suite := SuiteByID(f.hello.suite)
	signature, err := sign(f.signer, f.exchange.signed.scheme, p.m.session.ClientRandom[:], f.hello.random[:], f.exchange.params())
	if err != nil {
		p.t.Fatal(err)
	}
	f.exchange.signed.signature = signature
	return []message{
		{typ: handshake.TypeServerHello, body: f.hello.marshal()},
		{typ: handshake.TypeCertificate, body: marshalCertificate(f.chain)},
		{typ: handshake.TypeServerKeyExchange, body: f.exchange.marshal(suite)},
		{typ: handshake.TypeServerHelloDone},
	}
}

// TestClientBadPoint answers with ephemeral keys that are no points of the group;
// it shows only when the client computes with them.
func TestClientBadPoint(t *testing.T) {
	for _, test := range []struct {
		name  string
		group elliptic.Curve
		key   []byte
		text  string
	}{
		{"off the curve", elliptic.P256, append([]byte{4}, make([]byte, 64)...), "not a point"},
		{"infinity", elliptic.P256, []byte{0}, "not a point"},
		{"compressed", elliptic.P256, append([]byte{2}, make([]byte, 32)...), "not a point"},
		{"of another group", elliptic.P384, append([]byte{4}, make([]byte, 64)...), "not a point"},
		{"low order", elliptic.X25519, make([]byte, 32), "low order"},
		{"short", elliptic.X25519, make([]byte, 31), "not a point"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := puppetServer(t, &Config{})
			f := p.flight()
			f.exchange.group, f.exchange.publicKey = test.group, test.key
			p.play(f)
			p.m.AnswerCertificate(nil, p.now)
			wantFailure(t, p.m, KindProtocol, alert.IllegalParameter, test.text)
		})
	}
}

func TestClientHelloVerifyRequests(t *testing.T) {
	request := func(cookie ...byte) []byte { return appendHelloVerifyRequest(nil, cookie) }
	t.Run("malformed", func(t *testing.T) {
		for _, body := range [][]byte{nil, {0xfe, 0xff}, {0xfe, 0xff, 2, 1}, {0xfe, 0xff, 0, 1}, {3, 3, 1, 1}} {
			p := puppetServer(t, &Config{})
			p.send(handshake.TypeHelloVerifyRequest, body)
			wantFailure(t, p.m, KindProtocol, alert.DecodeError, "HelloVerifyRequest")
		}
	})
	t.Run("empty cookie", func(t *testing.T) {
		p := puppetServer(t, &Config{})
		p.m.Output()
		p.send(handshake.TypeHelloVerifyRequest, request())
		wantWaiting(t, p.m)
		if len(p.m.Output()) != 0 || p.m.Stats().Dropped != 1 {
			t.Error("followed a request without a cookie")
		}
	})
	t.Run("fragmented", func(t *testing.T) {
		p := puppetServer(t, &Config{})
		p.m.Output()
		m := outMessage{typ: handshake.TypeHelloVerifyRequest, body: request(1, 2, 3)}
		p.receive(record.TypeHandshake, appendFragment(nil, &m, 0, 3))
		if len(p.m.Output()) != 0 || p.m.Stats().Dropped != 1 {
			t.Error("followed a fragment")
		}
	})
	t.Run("late", func(t *testing.T) {
		p := puppetServer(t, &Config{})
		messages := flightMessages(p, p.flight())
		p.send(messages[0].typ, messages[0].body)
		p.m.Output()
		p.send(handshake.TypeHelloVerifyRequest, request(1))
		wantWaiting(t, p.m)
		if len(p.m.Output()) != 0 || p.m.Stats().Dropped != 1 {
			t.Error("followed a request after ServerHello")
		}
	})
	// A server that is never satisfied, or somebody who plays one: the client follows
	// a few, sends one hello for each, and gives up in time.
	t.Run("endless", func(t *testing.T) {
		p := puppetServer(t, &Config{})
		sent := len(p.m.Output())
		for i := range 1000 {
			p.send(handshake.TypeHelloVerifyRequest, request(byte(i>>8), byte(i), 1))
			sent += len(p.m.Output())
		}
		wantWaiting(t, p.m)
		if sent != 1+maxHellos {
			t.Errorf("sent %d hellos, want %d", sent, 1+maxHellos)
		}
		for p.m.Err() == nil {
			p.now = p.m.Deadline()
			p.m.Expire(p.now)
			p.m.Output()
			p.send(handshake.TypeHelloVerifyRequest, request(byte(p.seq), 2))
			if p.now.Sub(puppetStart) > time.Hour {
				t.Fatal("waits for ever")
			}
		}
		wantFailure(t, p.m, KindTimeout, 0, "repeats itself")
	})
}
