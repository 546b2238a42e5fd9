package conn_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/pion/dtls/v2/pkg/crypto/prf"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/internal/record"
)

// puppet is one end of an established connection that a test plays by hand, with
// the session's keys.
type puppet struct {
	base   *datagram.Pipe
	sealer *record.Sealer
	opener *record.Opener
}

// newPuppet makes a connection over a pipe and gives one side, and the other as a
// puppet. The suite must be one with AES-128-GCM.
func newPuppet(t testing.TB, server bool) (*conn.DtlsConnection, *puppet) {
	t.Helper()
	a, b := datagram.NewPipe()
	return newPuppetOver(t, server, a, b)
}

// newPuppetOver is newPuppet with given bases; the puppet's must be a pipe.
func newPuppetOver(t testing.TB, server bool, clientBase, serverBase datagram.DatagramBased) (*conn.DtlsConnection, *puppet) {
	t.Helper()
	return puppetOf(t, server, newPairOver(t, clientBase, serverBase))
}

// puppetOf is newPuppet with a pair that has not made its handshake.
func puppetOf(t testing.TB, server bool, p *pair) (*conn.DtlsConnection, *puppet) {
	t.Helper()
	p.usesPSK()
	for _, c := range p.both() {
		if err := c.SetCiphersuites("TLS_PSK_WITH_AES_128_GCM_SHA256"); err != nil {
			t.Fatal(err)
		}
	}
	mustHandshake(t, p)
	return puppetAfter(t, server, p)
}

// puppetAfter is newPuppet with a pair that has made its handshake.
func puppetAfter(t testing.TB, server bool, p *pair) (*conn.DtlsConnection, *puppet) {
	t.Helper()
	s := p.client.TestSession()
	keys, err := prf.GenerateEncryptionKeys(s.MasterSecret[:], s.ClientRandom[:], s.ServerRandom[:], 0, 16, 4, sha256.New)
	if err != nil {
		t.Fatal(err)
	}
	clientKeys := record.Keys{Key: keys.ClientWriteKey, IV: keys.ClientWriteIV}
	serverKeys := record.Keys{Key: keys.ServerWriteKey, IV: keys.ServerWriteIV}
	c, mine, theirs, base := p.client.DtlsConnection, serverKeys, clientKeys, p.server.BaseSocket()
	if server {
		c, mine, theirs, base = p.server.DtlsConnection, clientKeys, serverKeys, p.client.BaseSocket()
	}
	u := &puppet{base: base.(*datagram.Pipe)}
	if u.sealer, err = record.NewSealer(record.AES128GCM, mine, 1); err != nil {
		t.Fatal(err)
	}
	if u.opener, err = record.NewOpener(record.AES128GCM, theirs, 1); err != nil {
		t.Fatal(err)
	}
	u.sealer.SkipTo(1) // Finished has the first number
	return c, u
}

// seal makes a genuine record.
func (u *puppet) seal(t testing.TB, typ record.ContentType, content string) []byte {
	t.Helper()
	b, err := u.sealer.SealBytes(nil, typ, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (u *puppet) data(t testing.TB, content string) []byte {
	t.Helper()
	return u.seal(t, record.TypeApplicationData, content)
}

func (u *puppet) send(t testing.TB, datagrams ...[]byte) {
	t.Helper()
	for _, d := range datagrams {
		if err := datagram.SendOne(background, u.base, d, datagram.Address{}, patience); err != nil {
			t.Fatal(err)
		}
	}
}

// receive gives the next record that the other side has sent, type 0 if there is
// none.
func (u *puppet) receive(t testing.TB) (typ record.ContentType, content string) {
	t.Helper()
	buf := make([]byte, 2000)
	n, _, err := datagram.ReceiveOne(background, u.base, buf, 0)
	if err != nil {
		return 0, ""
	}
	rec, rest, ok := record.Next(buf[:n])
	if ok && rec.Type == record.TypeChangeCipherSpec { // before a Finished
		rec, _, ok = record.Next(rest)
	}
	if !ok {
		t.Fatalf("no record: %x", buf[:n])
	}
	typ = rec.Type
	plain, err := u.opener.Open(&rec)
	if err != nil {
		t.Fatal(err)
	}
	return typ, string(plain)
}

// handshakeMessage is an empty-headed message of the handshake.
func handshakeMessage(typ byte, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(typ)<<24|uint32(len(body)))
	b = append(b, 0, 0, 0, 0, 0, byte(len(body)>>16), byte(len(body)>>8), byte(len(body)))
	return string(b) + body
}
