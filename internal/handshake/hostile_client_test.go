package handshake

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/extension"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

func certificateServer(t testing.TB) *Config {
	return &Config{Certificates: []*Certificate{testCertificate(t, "ECDSA P-256")}, ALPN: []string{"a", "b"}}
}

func TestServerAgainstHostileHello(t *testing.T) {
	with := func(more ...[]byte) []byte { return block(append(modern(), more...)...) }
	// instead replaces the modern extension of the same type.
	instead := func(e []byte) []byte {
		list := modern()
		for i := range list {
			if bytes.Equal(list[i][:2], e[:2]) {
				list[i] = e
			}
		}
		return block(list...)
	}
	names := func(list ...byte) []byte {
		return ext(extension.ServerNameTypeValue, append([]byte{byte(len(list) >> 8), byte(len(list))}, list...)...)
	}
	decode := func(extensions []byte) func(*rawHello) { return func(h *rawHello) { h.extensions = extensions } }
	for _, test := range []struct {
		name   string
		change func(*rawHello)
		kind   Kind // 0: the hello is served
		alert  alert.Description
		text   string
	}{
		{"modern", func(*rawHello) {}, 0, 0, ""},
		{"DTLS 1.3 in the version field", func(h *rawHello) { h.version = 0xfefc }, 0, 0, ""},
		{"DTLS 1.0", func(h *rawHello) { h.version = record.VersionDTLS10 }, KindVersion, alert.ProtocolVersion, "feff"},
		{"TLS 1.2", func(h *rawHello) { h.version = 0x0303 }, KindVersion, alert.ProtocolVersion, "0303"},
		{"version zero", func(h *rawHello) { h.version = 0 }, KindVersion, alert.ProtocolVersion, "0000"},
		{"version ffff", func(h *rawHello) { h.version = 0xffff }, KindVersion, alert.ProtocolVersion, "ffff"},
		{"fallback", func(h *rawHello) { h.version = record.VersionDTLS10; h.suites = append(h.suites, 0x56, 0) }, KindFallback, alertInappropriateFallback, "fell back"},
		{"fallback signal with the best version", func(h *rawHello) { h.suites = append(h.suites, 0x56, 0) }, 0, 0, ""},
		{"session id", func(h *rawHello) { h.session = make([]byte, 32) }, 0, 0, ""},
		{"session id of 33 bytes", func(h *rawHello) { h.session = make([]byte, 33) }, KindProtocol, alert.DecodeError, "ClientHello"},
		{"no suite", func(h *rawHello) { h.suites = nil }, KindProtocol, alert.DecodeError, "ClientHello"},
		{"half a suite", func(h *rawHello) { h.suites = h.suites[:1] }, KindProtocol, alert.DecodeError, "ClientHello"},
		{"most suites", func(h *rawHello) { h.suites = append(bytes.Repeat([]byte{0x0a, 0x0a}, 500), h.suites...) }, 0, 0, ""},
		{"no compression list", func(h *rawHello) { h.compressions = nil }, KindProtocol, alert.DecodeError, "ClientHello"},
		{"no null compression", func(h *rawHello) { h.compressions = []byte{1} }, KindProtocol, alert.IllegalParameter, "compression"},
		{"also deflate", func(h *rawHello) { h.compressions = []byte{1, 0} }, 0, 0, ""},
		{"half an extension length", decode([]byte{0}), KindProtocol, alert.DecodeError, "ClientHello"},
		{"extensions longer than told", decode(append(with(), 0)), KindProtocol, alert.DecodeError, "ClientHello"},
		{"extensions shorter than told", decode([]byte{0, 9, 0, 0}), KindProtocol, alert.DecodeError, "ClientHello"},
		{"half an extension", decode(block([]byte{0, 0, 0})), KindProtocol, alert.DecodeError, "ClientHello"},
		{"extension twice", decode(with(ext(0x1234), ext(0x1234))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"unknown extensions", decode(with(ext(0x1234, 1, 2, 3), ext(0x0a0a))), 0, 0, ""},
		{"too many extensions", decode(with(func() (list [][]byte) {
			for i := range 64 {
				list = append(list, ext(extension.TypeValue(0x1000+i)))
			}
			return list
		}()...)), KindProtocol, alert.DecodeError, "ClientHello"},
		{"server name", decode(with(names(0, 0, 1, 'a'))), 0, 0, ""},
		{"server name of an unknown kind", decode(with(names(7, 0, 1, 'a'))), 0, 0, ""},
		{"no server name", decode(with(names())), KindProtocol, alert.DecodeError, "ClientHello"},
		{"empty server name", decode(with(names(0, 0, 0))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"two server names", decode(with(names(0, 0, 1, 'a', 0, 0, 1, 'b'))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"server name with a zero byte", decode(with(names(0, 0, 1, 0))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"long server name", decode(with(names(append([]byte{0, 1, 0}, bytes.Repeat([]byte("a"), 256)...)...))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"short server name", decode(with(names(0, 0, 2, 'a'))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"extended master secret with content", decode(instead(ext(extension.UseExtendedMasterSecretTypeValue, 0))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"renegotiation", decode(instead(ext(extension.RenegotiationInfoTypeValue, 1, 7))), KindProtocol, alert.HandshakeFailure, "renegotiation"},
		{"malformed renegotiation", decode(instead(ext(extension.RenegotiationInfoTypeValue, 1))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"no group", decode(instead(ext(extension.SupportedEllipticCurvesTypeValue, 0, 0))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"half a group", decode(instead(ext(extension.SupportedEllipticCurvesTypeValue, 0, 1, 0))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"other groups only", decode(instead(ext(extension.SupportedEllipticCurvesTypeValue, 0, 2, 0, 25))), KindNoCommon, alert.HandshakeFailure, "no key exchange group in common"},
		{"compressed points only", decode(with(ext(extension.SupportedPointFormatsTypeValue, 1, 1))), KindProtocol, alert.IllegalParameter, "points"},
		{"no point format", decode(with(ext(extension.SupportedPointFormatsTypeValue, 0))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"no signature scheme", decode(instead(ext(extension.SupportedSignatureAlgorithmsTypeValue, 0, 0))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"half a signature scheme", decode(instead(ext(extension.SupportedSignatureAlgorithmsTypeValue, 0, 1, 4))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"other signature schemes only", decode(instead(ext(extension.SupportedSignatureAlgorithmsTypeValue, 0, 4, 2, 3, 8, 4))), KindNoCommon, alert.HandshakeFailure, "no signature algorithm in common"},
		{"protocols", decode(with(ext(extension.ALPNTypeValue, 0, 2, 1, 'a'))), 0, 0, ""},
		{"no protocol", decode(with(ext(extension.ALPNTypeValue, 0, 0))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"empty protocol", decode(with(ext(extension.ALPNTypeValue, 0, 1, 0))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"short protocol", decode(with(ext(extension.ALPNTypeValue, 0, 2, 2, 'a'))), KindProtocol, alert.DecodeError, "ClientHello"},
		{"no suite in common", func(h *rawHello) { h.suites = []byte{0xc0, 0x14, 0xc0, 0x2f} }, KindNoCommon, alert.HandshakeFailure, "no cipher suite in common"},
		{"signalling values only", func(h *rawHello) { h.suites = []byte{0x00, 0xff} }, KindNoCommon, alert.HandshakeFailure, "client offers none"},
		// RFC 5246 7.4.1.4.1: no signature_algorithms means SHA-1.
		{"no extension at all", func(h *rawHello) { h.extensions = nil }, KindNoCommon, alert.HandshakeFailure, "SHA-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newRawHello(0xc02b)
			h.extensions = with()
			test.change(&h)
			p := puppetClient(t, certificateServer(t), h)
			if p == nil {
				t.Fatal("the hello was dropped before the cookie")
			}
			if test.kind != 0 {
				wantFailure(t, p.m, test.kind, test.alert, test.text)
				return
			}
			wantWaiting(t, p.m)
			sentMessage(t, p.m.Output(), handshake.TypeServerHelloDone)
		})
	}
}

// TestServerHelloExtensions asserts that a client hears of nothing that it did not ask for.
func TestServerHelloExtensions(t *testing.T) {
	types := func(extensions []byte, suites ...uint16) []extension.TypeValue {
		h := newRawHello(suites...)
		h.extensions = extensions
		cfg := certificateServer(t)
		cfg.PSK = true
		p := puppetClient(t, cfg, h)
		wantWaiting(t, p.m)
		var got serverHello
		if !got.unmarshal(sentMessage(t, p.m.Output(), handshake.TypeServerHello)) {
			t.Fatal("malformed ServerHello")
		}
		return got.extensions
	}
	all := modern()
	for _, test := range []struct {
		name       string
		extensions []byte
		suites     []uint16
		want       []extension.TypeValue
	}{
		{"key, no extension", nil, []uint16{0x00a8}, nil},
		{"key, empty extensions", []byte{0, 0}, []uint16{0x00a8}, nil},
		{"renegotiation by suite", nil, []uint16{0x00a8, scsvRenegotiation}, []extension.TypeValue{extension.RenegotiationInfoTypeValue}},
		{"no renegotiation, no extended master secret", block(all[:2]...), []uint16{0xc02b}, nil},
		{"modern", block(all...), []uint16{0xc02b}, []extension.TypeValue{extension.RenegotiationInfoTypeValue, extension.UseExtendedMasterSecretTypeValue}},
		{"point formats", block(all[0], all[1], ext(extension.SupportedPointFormatsTypeValue, 1, 0)), []uint16{0xc02b}, []extension.TypeValue{extension.SupportedPointFormatsTypeValue}},
		{"point formats with a key", block(ext(extension.SupportedPointFormatsTypeValue, 1, 0)), []uint16{0x00a8}, nil},
		{"protocol in common", block(all[0], all[1], ext(extension.ALPNTypeValue, 0, 2, 1, 'b')), []uint16{0xc02b}, []extension.TypeValue{extension.ALPNTypeValue}},
		{"no protocol in common", block(all[0], all[1], ext(extension.ALPNTypeValue, 0, 2, 1, 'z')), []uint16{0xc02b}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := types(test.extensions, test.suites...); !slices.Equal(got, test.want) {
				t.Errorf("got extensions %v, want %v", got, test.want)
			}
		})
	}
}

// TestServerFailureText asserts that the reason for a failed negotiation names
// what the server really has, and stays short.
func TestServerFailureText(t *testing.T) {
	h := newRawHello(0xc014, 0xc00a, 0x0035, 0xc02f, 0xc030, 0x002f, 0x000a, 0x0005, 0xc013)
	h.extensions = block(modern()...)
	p := puppetClient(t, certificateServer(t), h)
	text := p.m.Err().Error()
	t.Log(text)
	offer, have, _ := strings.Cut(text, "; server has ")
	if !strings.Contains(offer, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA") || !strings.Contains(offer, "and 5 more") {
		t.Errorf("does not say what the client offers: %s", offer)
	}
	if !strings.Contains(have, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256") || strings.Contains(have, "RSA") || strings.Contains(have, "PSK") {
		t.Errorf("does not say what the server has: %s", have)
	}
	if len(text) > 450 {
		t.Errorf("has %d bytes", len(text))
	}
}

func TestServerAgainstHostileClient(t *testing.T) {
	point := func() []byte {
		key, err := newEphemeral(elliptic.P256)
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte{65}, key.PublicKey().Bytes()...)
	}
	chain := testCertificate(t, "ECDSA P-256").Chain
	require := certificateServer(t)
	require.ClientAuth = RequireClientCertificate
	psk := &Config{PSK: true}
	type step struct {
		typ  handshake.Type
		body []byte
	}
	certificate := func(chain [][]byte) step { return step{handshake.TypeCertificate, marshalCertificate(chain)} }
	exchange := func(body []byte) step { return step{handshake.TypeClientKeyExchange, body} }
	verifyWith := func(s signed) step { return step{handshake.TypeCertificateVerify, s.marshal()} }
	for _, test := range []struct {
		name  string
		cfg   *Config
		steps []step
		kind  Kind
		alert alert.Description
		text  string
	}{
		{"no key exchange", certificateServer(t), []step{exchange(nil)}, KindProtocol, alert.DecodeError, "ClientKeyExchange"},
		{"empty point", certificateServer(t), []step{exchange([]byte{0})}, KindProtocol, alert.DecodeError, "ClientKeyExchange"},
		{"short point", certificateServer(t), []step{exchange([]byte{2, 4})}, KindProtocol, alert.DecodeError, "ClientKeyExchange"},
		{"long key exchange", certificateServer(t), []step{exchange(append(point(), 0))}, KindProtocol, alert.DecodeError, "ClientKeyExchange"},
		{"off the curve", certificateServer(t), []step{exchange(append([]byte{65, 4}, make([]byte, 64)...))}, KindProtocol, alert.IllegalParameter, "not a point"},
		{"infinity", certificateServer(t), []step{exchange([]byte{1, 0})}, KindProtocol, alert.IllegalParameter, "not a point"},
		{"certificate that nobody asked for", certificateServer(t), []step{certificate(chain)}, KindProtocol, alert.UnexpectedMessage, "Certificate"},
		{"CertificateVerify without a certificate", certificateServer(t), []step{exchange(point()), verifyWith(signed{0x0403, []byte{1}})}, KindProtocol, alert.UnexpectedMessage, "CertificateVerify"},
		{"Finished in the clear", certificateServer(t), []step{exchange(point()), {handshake.TypeFinished, make([]byte, 12)}}, KindProtocol, alert.UnexpectedMessage, "epoch 0"},
		{"message too long", certificateServer(t), []step{exchange(make([]byte, maxShortMessage+1))}, KindProtocol, alert.IllegalParameter, "4097 bytes"},

		{"no certificate though required", require, []step{certificate(nil)}, KindCertificateRequired, alert.HandshakeFailure, "did not send"},
		{"no Certificate message though required", require, []step{exchange(point())}, KindProtocol, alert.UnexpectedMessage, "while Certificate was awaited"},
		{"Finished only", require, []step{{handshake.TypeFinished, make([]byte, 12)}}, KindProtocol, alert.UnexpectedMessage, "Finished"},
		{"malformed Certificate", require, []step{{handshake.TypeCertificate, []byte{0, 0}}}, KindProtocol, alert.DecodeError, "Certificate"},
		{"empty certificate", require, []step{certificate([][]byte{{}})}, KindProtocol, alert.DecodeError, "Certificate"},
		{"garbage certificate", require, []step{certificate([][]byte{{1}})}, KindBadCertificate, alert.BadCertificate, "parse"},
		{"chain too long", require, []step{certificate(slices.Repeat(chain, maxChain+1))}, KindBadCertificate, alert.BadCertificate, "more than 16"},
		{"no CertificateVerify", require, []step{certificate(chain), exchange(point()), exchange(point())}, KindProtocol, alert.UnexpectedMessage, "while CertificateVerify was awaited"},
		{"malformed CertificateVerify", require, []step{certificate(chain), exchange(point()), {handshake.TypeCertificateVerify, []byte{4, 3}}}, KindProtocol, alert.DecodeError, "CertificateVerify"},
		{"CertificateVerify by another scheme", require, []step{certificate(chain), exchange(point()), verifyWith(signed{0x0804, make([]byte, 256)})}, KindProtocol, alert.IllegalParameter, "does not fit"},
		{"CertificateVerify by another key", require, []step{certificate(chain), exchange(point()), verifyWith(signed{0x0403, []byte("garbage")})}, KindProtocol, alert.DecryptError, "signature is wrong"},

		{"no identity", psk, []step{exchange(nil)}, KindProtocol, alert.DecodeError, "ClientKeyExchange"},
		{"identity shorter than told", psk, []step{exchange([]byte{0, 2, 'a'})}, KindProtocol, alert.DecodeError, "ClientKeyExchange"},
		{"identity longer than told", psk, []step{exchange([]byte{0, 1, 'a', 'b'})}, KindProtocol, alert.DecodeError, "ClientKeyExchange"},
		{"identity too long", psk, []step{exchange(append([]byte{1, 1}, make([]byte, 257)...))}, KindUnknownIdentity, alertUnknownPSKIdentity, "257 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newRawHello(0xc02b, 0x00a8)
			h.extensions = block(modern()...)
			p := puppetClient(t, test.cfg, h)
			wantWaiting(t, p.m)
			for _, s := range test.steps {
				p.send(s.typ, s.body)
			}
			wantFailure(t, p.m, test.kind, test.alert, test.text)
		})
	}
}

// TestServerFinishedOnly answers a CertificateRequest with a Finished in epoch 1: a
// record that cannot be read, and so may be anything. The server waits for what
// is missing, and says in the end what that was.
func TestServerFinishedOnly(t *testing.T) {
	cfg := certificateServer(t)
	cfg.ClientAuth = RequireClientCertificate
	h := newRawHello(0xc02b)
	h.extensions = block(modern()...)
	p := puppetClient(t, cfg, h)
	p.m.Receive(epochRecord(1, 0, record.TypeHandshake, make([]byte, 40)), p.now)
	wantWaiting(t, p.m)
	for p.m.Err() == nil {
		p.now = p.m.Deadline()
		p.m.Expire(p.now)
		p.m.Output()
	}
	wantFailure(t, p.m, KindTimeout, 0, "its Certificate is missing")
	if waited := p.now.Sub(puppetStart); waited != defaultPatience {
		t.Errorf("waited %v, want %v", waited, defaultPatience)
	}
}

// TestServerOwnConfiguration asserts that what is wrong with the own side is told,
// not sent.
func TestServerOwnConfiguration(t *testing.T) {
	h := newRawHello(0xc02b, 0x00a8)
	h.extensions = block(modern()...)
	hint := &Config{PSK: true, PSKHint: make([]byte, MaxPSKIdentity+1)}
	wantFailure(t, puppetClient(t, hint, h).m, KindInternal, alert.InternalError, "hint has 257 bytes")
	protocols := certificateServer(t)
	protocols.ALPN = []string{strings.Repeat("x", 256)}
	wantFailure(t, puppetClient(t, protocols, h).m, KindInternal, alert.InternalError, "256 bytes")

	many := certificateServer(t)
	many.ClientAuth = RequestClientCertificate
	many.CertificateAuthorities = slices.Repeat([][]byte{make([]byte, 1000)}, 100)
	p := puppetClient(t, many, h)
	wantWaiting(t, p.m)
	var r certificateRequest
	if !r.unmarshal(sentMessage(t, p.m.Output(), handshake.TypeCertificateRequest)) || len(r.authorities) != 0 {
		t.Errorf("sent %d names that are more than fit", len(r.authorities))
	}
	many.CertificateAuthorities = many.CertificateAuthorities[:30]
	if !r.unmarshal(sentMessage(t, puppetClient(t, many, h).m.Output(), handshake.TypeCertificateRequest)) || len(r.authorities) != 30 {
		t.Errorf("sent %d of 30 names", len(r.authorities))
	}

	for _, cfg := range []*Config{
		{ServerName: strings.Repeat("a", 256)},
		{ALPN: []string{""}},
		{ALPN: slices.Repeat([]string{strings.Repeat("a", 255)}, 17)},
		{Suites: []uint16{0x00a8}},
	} {
		if _, err := NewClient(cfg, time.Now()); err == nil {
			t.Errorf("a client was made of %.60v", cfg)
		}
	}
}
