package handshake

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/extension"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"
	"golang.org/x/crypto/cryptobyte"

	"gdtls/internal/record"
)

// puppet plays the peer of one machine and sends whatever a test wants.
type puppet struct {
	t      testing.TB
	m      *Machine
	now    time.Time
	seq    uint16 // message_seq of the next message
	record uint64 // number of the next record of epoch 0
}

var puppetStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// puppetServer stands against a new client, whose hello has been sent.
func puppetServer(t testing.TB, cfg *Config) *puppet {
	t.Helper()
	m, err := NewClient(cfg, puppetStart)
	if err != nil {
		t.Fatal(err)
	}
	return &puppet{t: t, m: m, now: puppetStart}
}

// receive gives the machine a record of epoch 0.
func (p *puppet) receive(typ record.ContentType, content []byte) {
	p.receiveIn(0, typ, content)
}

func (p *puppet) receiveIn(epoch uint16, typ record.ContentType, content []byte) {
	p.m.Receive(record.AppendPlaintext(nil, typ, record.VersionDTLS12, uint64(epoch)<<48|p.record, content), p.now)
	p.record++
}

// send gives the machine the next message, whole.
func (p *puppet) send(typ handshake.Type, body []byte) {
	m := outMessage{typ: typ, seq: p.seq, body: body}
	p.receive(record.TypeHandshake, appendFragment(nil, &m, 0, len(body)))
	p.seq++
}

// epochRecord is a record of epoch 1 that nobody sealed.
func epochRecord(epoch uint16, sequence uint64, typ record.ContentType, content []byte) []byte {
	d := record.AppendPlaintext(nil, typ, record.VersionDTLS12, sequence, content)
	d[3], d[4] = byte(epoch>>8), byte(epoch)
	return d
}

// wantFailure asserts how a machine failed, and that it told its peer.
func wantFailure(t testing.TB, m *Machine, kind Kind, a alert.Description, text string) {
	t.Helper()
	err := m.Err()
	if err == nil {
		t.Fatalf("did not fail (awaits %s), want %q", m.side.awaited(), text)
	}
	if err.Kind != kind || err.Alert != a || !strings.Contains(err.Error(), text) {
		t.Errorf("failed with kind %d, %s: %v\nwant kind %d, %s: ...%s...", err.Kind, AlertName(err.Alert), err, kind, AlertName(a), text)
	}
	if m.Done() || m.Question() != NoQuestion || !m.Deadline().IsZero() {
		t.Error("goes on after its failure")
	}
	if n := held(m); n != 0 {
		t.Errorf("holds %d bytes after its failure", n)
	}
	out := m.Output()
	if err.Silent() {
		if len(out) != 0 {
			t.Error("a failure that is kept from the peer sent something")
		}
		return
	}
	want := []byte{byte(alert.Fatal), byte(a)}
	rec, _, ok := record.Next(out[len(out)-1])
	if !ok || rec.Type != record.TypeAlert || rec.Epoch == 0 && !bytes.Equal(rec.Fragment(), want) {
		t.Errorf("sent %x instead of an alert", out[len(out)-1])
	}
}

// wantWaiting asserts that a machine has neither failed nor finished.
func wantWaiting(t testing.TB, m *Machine) {
	t.Helper()
	if m.Err() != nil || m.Done() {
		t.Fatalf("does not wait: done %v, %v", m.Done(), m.Err())
	}
}

// serverFlight is a server's first flight, as a test wants it.
type serverFlight struct {
	hello       serverHello
	chain       [][]byte
	exchange    serverKeyExchange
	signer      crypto.Signer
	request     *certificateRequest
	helloBody   func([]byte) []byte // changes a body on its way
	certBody    func([]byte) []byte
	keyBody     func([]byte) []byte
	requestBody func([]byte) []byte
	doneBody    []byte
}

// flight is one that the client accepts.
func (p *puppet) flight() *serverFlight {
	c := testCertificate(p.t, "ECDSA P-256")
	f := &serverFlight{chain: c.Chain, signer: c.Signer}
	f.hello = serverHello{version: record.VersionDTLS12, random: newRandom(), suite: 0xc02b, extendedMaster: true, secureRenegotiate: true}
	f.exchange.group = elliptic.P256
	key, err := newEphemeral(elliptic.P256)
	if err != nil {
		p.t.Fatal(err)
	}
	f.exchange.publicKey = key.PublicKey().Bytes()
	f.exchange.signed.scheme = tls.ECDSAWithP256AndSHA256
	return f
}

// play sends a flight.
func (p *puppet) play(f *serverFlight) {
	p.t.Helper()
	change := func(body []byte, how func([]byte) []byte) []byte {
		if how != nil {
			return how(body)
		}
		return body
	}
	p.send(handshake.TypeServerHello, change(f.hello.marshal(), f.helloBody))
	suite := SuiteByID(f.hello.suite)
	if suite == nil {
		return
	}
	if !suite.PSK() {
		p.send(handshake.TypeCertificate, change(marshalCertificate(f.chain), f.certBody))
		if len(f.exchange.signed.signature) == 0 {
			var err error
			f.exchange.signed.signature, err = sign(f.signer, f.exchange.signed.scheme,
				p.m.session.ClientRandom[:], f.hello.random[:], f.exchange.params())
			if err != nil {
				p.t.Fatal(err)
			}
		}
	}
	if !suite.PSK() || f.exchange.hint != nil || f.keyBody != nil {
		p.send(handshake.TypeServerKeyExchange, change(f.exchange.marshal(suite), f.keyBody))
	}
	if f.request != nil || f.requestBody != nil {
		if f.request == nil {
			f.request = &certificateRequest{types: []byte{typeECDSASign}, schemes: supportedSchemes}
		}
		p.send(handshake.TypeCertificateRequest, change(f.request.marshal(), f.requestBody))
	}
	p.send(handshake.TypeServerHelloDone, f.doneBody)
}

// rawHello is a ClientHello in its wire parts.
type rawHello struct {
	version                               uint16
	random                                [32]byte
	session, cookie, suites, compressions []byte
	extensions                            []byte // with their total length; nil: none
}

func newRawHello(suites ...uint16) rawHello {
	h := rawHello{version: record.VersionDTLS12, random: newRandom(), compressions: []byte{0}}
	for _, id := range suites {
		h.suites = append(h.suites, byte(id>>8), byte(id))
	}
	return h
}

func (h *rawHello) marshal() []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint16(h.version)
	b.AddBytes(h.random[:])
	addBytes8(b, h.session)
	addBytes8(b, h.cookie)
	addBytes16(b, h.suites)
	addBytes8(b, h.compressions)
	b.AddBytes(h.extensions)
	return b.BytesOrPanic()
}

// ext is one extension.
func ext(t extension.TypeValue, data ...byte) []byte {
	var w writer
	place := w.openExtension(t)
	w.bytes(data)
	w.close16(place)
	return w
}

// block is the extensions with their total length.
func block(extensions ...[]byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	addBytes16(b, bytes.Join(extensions, nil))
	return b.BytesOrPanic()
}

// modern are the extensions that a hello for ECDSA with P-256 needs.
func modern() [][]byte {
	return [][]byte{
		ext(extension.SupportedEllipticCurvesTypeValue, 0, 2, 0, byte(elliptic.P256)),
		ext(extension.SupportedSignatureAlgorithmsTypeValue, 0, 2, 4, 3),
		ext(extension.UseExtendedMasterSecretTypeValue),
		ext(extension.RenegotiationInfoTypeValue, 0),
	}
}

func helloDatagram(seq uint16, sequence uint64, body []byte) []byte {
	m := outMessage{typ: handshake.TypeClientHello, seq: seq, body: body}
	return record.AppendPlaintext(nil, record.TypeHandshake, record.VersionDTLS10, sequence, appendFragment(nil, &m, 0, len(body)))
}

var puppetAddress = []byte("192.0.2.1:1234")

// cookieFor gets the cookie for a hello; nil if the hello got no answer.
func cookieFor(t testing.TB, c *Cookies, h rawHello, now time.Time) []byte {
	t.Helper()
	h.cookie = nil
	verified, reply := c.VerifyHello(helloDatagram(0, 0, h.marshal()), puppetAddress, nil, now)
	if verified != nil {
		t.Fatal("a hello without cookie was accepted")
	}
	if reply == nil {
		return nil
	}
	rec, _, _ := record.Next(reply)
	f, _, _ := nextFragment(rec.Fragment())
	cookie, ok := parseHelloVerifyRequest(f.data)
	if !ok {
		t.Fatalf("malformed HelloVerifyRequest %x", reply)
	}
	return cookie
}

// puppetClient stands against a server that has taken the hello; nil if the hello
// was dropped.
func puppetClient(t testing.TB, cfg *Config, h rawHello) *puppet {
	t.Helper()
	cookies := NewCookies(puppetStart)
	if h.cookie = cookieFor(t, cookies, h, puppetStart); h.cookie == nil {
		return nil
	}
	verified, _ := cookies.VerifyHello(helloDatagram(1, 1, h.marshal()), puppetAddress, nil, puppetStart)
	if verified == nil {
		t.Fatal("the cookie was refused")
	}
	return &puppet{t: t, m: NewServer(cfg, verified, puppetStart), now: puppetStart, seq: 2, record: 2}
}

// sentMessage is a message that a machine sent in epoch 0, put together.
func sentMessage(t testing.TB, datagrams [][]byte, typ handshake.Type) []byte {
	t.Helper()
	for _, m := range sentMessages(datagrams) {
		if m.typ == typ {
			return m.body
		}
	}
	t.Fatalf("no %s was sent", typeName(typ))
	return nil
}

// sentMessages are all of epoch 0, in order.
func sentMessages(datagrams [][]byte) []message {
	in := inbound{limit: maxMessage}
	first := true
	for _, d := range datagrams {
		for rec, rest, ok := record.Next(d); ok; rec, rest, ok = record.Next(rest) {
			if rec.Type != record.TypeHandshake || rec.Epoch != 0 {
				continue
			}
			content := rec.Fragment()
			for f, more, ok := nextFragment(content); ok; f, more, ok = nextFragment(more) {
				if first {
					in.next, first = f.MessageSequence, false
				}
				in.add(&f, 0)
			}
		}
	}
	var all []message
	for m, ok := in.pop(); ok; m, ok = in.pop() {
		all = append(all, m)
	}
	return all
}

// rehello makes a new client send another hello than it would.
func rehello(m *Machine, change func(*ClientHello)) {
	c := m.side.(*client)
	change(&c.hello)
	m.out.queue, m.out.messageSeq, m.out.plain.next = nil, 0, 0
	m.stats = Stats{}
	if err := c.sendHello(m, m.clock.heard); err != nil {
		panic(err)
	}
}
