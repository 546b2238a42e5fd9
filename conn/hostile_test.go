package conn_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/internal/record"
)

// What is not authenticated, or has no meaning, changes nothing on an established
// connection but is counted (RFC 6347 4.1.2.7, case o).
func TestNothingChanges(t *testing.T) {
	plain := func(typ record.ContentType, content string) []byte {
		return record.AppendPlaintext(nil, typ, record.VersionDTLS12, 1<<40, []byte(content))
	}
	spoil := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	dropped := func(n uint64) conn.Stats { return conn.Stats{Dropped: n} }
	unauthenticated := conn.Stats{Unauthenticated: 1}
	for name, test := range map[string]struct {
		datagrams func(t *testing.T, u *puppet) [][]byte
		counts    conn.Stats
	}{
		"forged plaintext fatal alert":         {one(plain(record.TypeAlert, "\x02\x28")), dropped(1)},
		"forged plaintext close_notify":        {one(plain(record.TypeAlert, "\x01\x00")), dropped(1)},
		"plaintext application data":           {one(plain(record.TypeApplicationData, "forged")), dropped(1)},
		"plaintext ClientHello":                {one(plain(record.TypeHandshake, handshakeMessage(1, "x"))), dropped(1)},
		"plaintext HelloRequest":               {one(plain(record.TypeHandshake, handshakeMessage(0, ""))), dropped(1)},
		"plaintext ChangeCipherSpec":           {one(plain(record.TypeChangeCipherSpec, "\x01")), dropped(1)},
		"unknown content type":                 {one(plain(99, "x")), dropped(1)},
		"empty datagram":                       {one(nil), dropped(1)},
		"text":                                 {one([]byte("GET / HTTP/1.1\r\n\r\n")), dropped(1)},
		"header only":                          {one(plain(record.TypeApplicationData, "")[:record.HeaderSize-1]), dropped(1)},
		"several plaintext records":            {one(append(plain(record.TypeAlert, "\x02\x28"), plain(record.TypeAlert, "\x02\x28")...)), dropped(2)},
		"genuine, but unknown content type":    {sealed(99, "x"), dropped(1)},
		"genuine heartbeat":                    {sealed(24, "x"), dropped(1)},
		"genuine ChangeCipherSpec":             {sealed(record.TypeChangeCipherSpec, "\x01"), dropped(1)},
		"genuine warning":                      {sealed(record.TypeAlert, "\x01\x5a"), dropped(1)},
		"genuine alert of one byte":            {sealed(record.TypeAlert, "\x02"), dropped(1)},
		"genuine alert of three bytes":         {sealed(record.TypeAlert, "\x02\x28\x00"), dropped(1)},
		"genuine empty alert":                  {sealed(record.TypeAlert, ""), dropped(1)},
		"genuine handshake of eleven bytes":    {sealed(record.TypeHandshake, "\x01xxxxxxxxxx"), dropped(1)},
		"genuine ServerHello":                  {sealed(record.TypeHandshake, handshakeMessage(2, "xxx")), dropped(1)},
		"genuine Finished without last flight": {sealed(record.TypeHandshake, handshakeMessage(20, "xxxxxxxxxxxx")), conn.Stats{}},
		"replayed": {func(t *testing.T, u *puppet) [][]byte {
			b := u.data(t, "once")
			return [][]byte{b, bytes.Clone(b), bytes.Clone(b)}
		}, conn.Stats{Received: 1, Replayed: 2}},
		"too old": {func(t *testing.T, u *puppet) [][]byte {
			old := u.data(t, "old")
			u.sealer.SkipTo(u.sealer.NextSequence() + 1000)
			return [][]byte{u.data(t, "once"), old}
		}, conn.Stats{Received: 1, Missing: 1001, Replayed: 1}},
		"changed content":  {func(t *testing.T, u *puppet) [][]byte { return [][]byte{spoil(u.data(t, "x"), 21)} }, unauthenticated},
		"changed tag":      {func(t *testing.T, u *puppet) [][]byte { return [][]byte{spoil(u.data(t, "x"), 37)} }, unauthenticated},
		"changed type":     {func(t *testing.T, u *puppet) [][]byte { return [][]byte{spoil(u.data(t, "x"), 0)} }, unauthenticated},
		"changed sequence": {func(t *testing.T, u *puppet) [][]byte { return [][]byte{spoil(u.data(t, "x"), 9)} }, unauthenticated},
		"changed epoch":    {func(t *testing.T, u *puppet) [][]byte { return [][]byte{spoil(u.data(t, "x"), 3)} }, dropped(1)},
		"other version":    {func(t *testing.T, u *puppet) [][]byte { return [][]byte{spoil(u.data(t, "x"), 2)} }, unauthenticated},
		"not DTLS":         {func(t *testing.T, u *puppet) [][]byte { return [][]byte{spoil(u.data(t, "x"), 1)} }, dropped(1)},
		"cut":              {func(t *testing.T, u *puppet) [][]byte { return [][]byte{u.data(t, "xxx")[:39]} }, dropped(1)},
		"shorter than tag": {func(t *testing.T, u *puppet) [][]byte {
			b := u.data(t, "x")[:20]
			binary.BigEndian.PutUint16(b[11:], 7)
			return [][]byte{b}
		}, dropped(1)},
		"length beyond the datagram":  {func(t *testing.T, u *puppet) [][]byte { return [][]byte{spoil(u.data(t, "x"), 11)} }, dropped(1)},
		"longer than a record may be": {one(plain(record.TypeApplicationData, strings.Repeat("x", record.MaxPlaintext+1000))), dropped(1)},
		"longer than any record":      {one(plain(record.TypeApplicationData, strings.Repeat("x", 20000))), dropped(1)},
		"junk behind a record": {func(t *testing.T, u *puppet) [][]byte {
			return [][]byte{append(u.data(t, "once"), "junk"...)}
		}, conn.Stats{Received: 1, Dropped: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			c, u := newPuppet(t, false)
			u.send(t, test.datagrams(t, u)...)
			for want := test.counts.Received; want > 0; want-- {
				receive(t, c, "once")
			}
			_, _, err := receiveOne(c, 0)
			wantIO(t, err, datagram.CodeWouldBlock)
			want := test.counts
			want.ReceivedBytes = want.Received * uint64(len("once"))
			if s := c.Stats(); s != want {
				t.Errorf("counted %+v, want %+v", s, want)
			}
			if typ, content := u.receive(t); typ != 0 {
				t.Errorf("it was answered: %v, %x", typ, content)
			}
			u.send(t, u.data(t, "still there"))
			receive(t, c, "still there")
			send(t, c, "here too")
			if typ, content := u.receive(t); typ != record.TypeApplicationData || content != "here too" {
				t.Errorf("sent %v, %q", typ, content)
			}
		})
	}
}

func one(b []byte) func(*testing.T, *puppet) [][]byte {
	return func(*testing.T, *puppet) [][]byte { return [][]byte{b} }
}

func sealed(typ record.ContentType, content string) func(*testing.T, *puppet) [][]byte {
	return func(t *testing.T, u *puppet) [][]byte { return [][]byte{u.seal(t, typ, content)} }
}

// Renegotiation is refused with a warning, by both sides, and goes no further
// (RFC 5246 7.4.1.1, RFC 5746).
func TestRenegotiationRefused(t *testing.T) {
	for name, test := range map[string]struct {
		server bool
		typ    byte
	}{"HelloRequest": {false, 0}, "ClientHello": {true, 1}} {
		t.Run(name, func(t *testing.T) {
			c, u := newPuppet(t, test.server)
			for range 3 {
				u.send(t, u.seal(t, record.TypeHandshake, handshakeMessage(test.typ, "")))
				_, _, err := receiveOne(c, 0)
				wantIO(t, err, datagram.CodeWouldBlock)
				if typ, content := u.receive(t); typ != record.TypeAlert || content != "\x01\x64" {
					t.Errorf("answer is %v, %x; want the warning no_renegotiation", typ, content)
				}
			}
			u.send(t, u.data(t, "still there"))
			receive(t, c, "still there")
		})
	}
}

// An authenticated fatal alert ends the connection for good.
func TestFatalAlert(t *testing.T) {
	c, u := newPuppet(t, false)
	u.send(t, u.data(t, "before"), u.seal(t, record.TypeAlert, "\x02\x14"), u.data(t, "after"))
	in := room(3, 10)
	if n, err := c.ReceiveMessages(background, in, 0, -1); n != 1 || err != nil || text(&in[0]) != "before" {
		t.Errorf("received %d, %v", n, err)
	}
	_, _, received := receiveOne(c, -1)
	for _, err := range []error{received, sendOne(c, -1), c.Handshake(background)} {
		wantTLS(t, err, conn.TlsErrorMisc)
		if err != received || !strings.Contains(err.Error(), "peer sent fatal TLS alert: bad_record_mac") {
			t.Errorf("error is %v", err)
		}
	}
	if err := c.Close(background); err != nil {
		t.Error(err)
	}
	if typ, _ := u.receive(t); typ != 0 {
		t.Errorf("something was sent after it: %v", typ)
	}
}

// Several records may lie in one datagram; what stands behind close_notify does not
// count.
func TestRecordsInOneDatagram(t *testing.T) {
	c, u := newPuppet(t, false)
	d := append(u.data(t, "1"), u.data(t, "2")...)
	d = append(d, u.seal(t, record.TypeAlert, "\x01\x00")...)
	u.send(t, append(d, u.data(t, "3")...))
	receive(t, c, "1")
	receive(t, c, "2")
	if _, n, err := receiveOne(c, -1); n != 0 || err != nil {
		t.Errorf("received %d, %v", n, err)
	}
}

// A flood of junk, or of genuine warnings, lets no call run on: one that must not
// block gives up, one with a timeout ends on time, one that has what it needs ends.
func TestFlood(t *testing.T) {
	for _, kind := range []string{"junk", "forged", "warnings"} {
		t.Run(kind, func(t *testing.T) {
			established, u := newPuppet(t, false)
			var junk []byte
			switch kind {
			case "junk":
				junk = []byte("junk")
			case "forged":
				junk = u.data(t, "x")
				junk[len(junk)-1] ^= 1
			}
			base := &flood{DatagramBased: established.BaseSocket(), next: func() []byte {
				if junk == nil {
					return u.seal(t, record.TypeAlert, "\x01\x5a")
				}
				return junk
			}}
			c := established.TestOver(base)

			_, _, err := receiveOne(c, 0)
			wantIO(t, err, datagram.CodeWouldBlock)
			start := time.Now()
			_, _, err = receiveOne(c, 30*time.Millisecond)
			wantIO(t, err, datagram.CodeTimedOut)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			base.message = u.data(t, "in the middle")
			in := room(2, 100)
			if n, err := c.ReceiveMessages(background, in, datagram.MsgWaitForOne, -1); n != 1 || err != nil {
				t.Errorf("received %d, %v", n, err)
			}
			if s := c.Stats(); s.Dropped+s.Unauthenticated != base.given {
				t.Errorf("counted %+v, of %d", s, base.given)
			}
		})
	}
}

// flood is a base from which junk comes without end.
type flood struct {
	datagram.DatagramBased
	next    func() []byte
	given   uint64
	message []byte // comes before the next junk; nil for none
}

func (f *flood) ReceiveMessages(_ context.Context, messages []datagram.InputMessage, _ datagram.MsgFlags, _ time.Duration) (int, error) {
	for i := range messages {
		b := f.message
		if f.message = nil; b == nil {
			b = f.next()
			f.given++
		}
		messages[i].BytesReceived = copy(messages[i].Vectors[0], b)
	}
	return len(messages), nil
}

// A handshake under a flood still keeps its timers: a peer that sends junk as fast
// as it can is given up, and so is one whose own limit is over.
func TestFloodInHandshake(t *testing.T) {
	a, b := datagram.NewPipe()
	defer b.Close()
	base := &flood{DatagramBased: a, next: func() []byte { return []byte("junk") }}
	c := newClient(t, base)
	start := time.Now()
	wantTLS(t, sendOne(c, 50*time.Millisecond), conn.TlsErrorNotTLS)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	server := newServer(t, base)
	_, _, err := receiveOne(server, 50*time.Millisecond)
	wantTLS(t, err, conn.TlsErrorNotTLS)
}

// FuzzEstablishedReceive sends any datagram into an established connection: nothing
// changes but the counters.
func FuzzEstablishedReceive(f *testing.F) {
	c, u := newPuppet(f, false)
	genuine := u.data(f, "x")
	receiveGenuine := func(t testing.TB) {
		u.send(t, u.data(t, "genuine"))
		receive(t, c, "genuine")
	}
	for _, seed := range [][]byte{nil, []byte("junk"), genuine[:13], genuine[:20], bytes.ToUpper(genuine[:21]),
		record.AppendPlaintext(nil, record.TypeAlert, record.VersionDTLS12, 1, []byte{2, 40}),
		record.AppendPlaintext(nil, record.TypeHandshake, record.VersionDTLS12, 1, []byte(handshakeMessage(1, "x")))} {
		f.Add(seed)
	}
	receiveGenuine(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > datagram.MaxDatagram {
			return
		}
		before := c.Stats()
		u.send(t, data)
		_, n, err := receiveOne(c, 0)
		if ioCode(err) != datagram.CodeWouldBlock {
			t.Fatalf("received %d, %v", n, err)
		}
		after := c.Stats()
		if after.Dropped+after.Replayed+after.Unauthenticated == before.Dropped+before.Replayed+before.Unauthenticated {
			t.Errorf("not counted: %+v", after)
		}
		if after.Received != before.Received || after.Sent != before.Sent {
			t.Errorf("counted as a message: %+v", after)
		}
		if typ, content := u.receive(t); typ != 0 {
			t.Errorf("it was answered: %v, %x", typ, content)
		}
		receiveGenuine(t)
	})
}

// FuzzGenuineRecords lets a peer that has the keys send any records: whatever the
// connection makes of them, it ends its calls and can be closed.
func FuzzGenuineRecords(f *testing.F) {
	f.Add(byte(record.TypeApplicationData), []byte("x"), byte(record.TypeAlert), []byte{1, 0}, false)
	f.Add(byte(record.TypeAlert), []byte{2, 40}, byte(record.TypeHandshake), []byte(handshakeMessage(0, "")), true)
	f.Add(byte(record.TypeHandshake), []byte(handshakeMessage(20, "xxxxxxxxxxxx")), byte(record.TypeHandshake), []byte(handshakeMessage(1, "x")), true)
	f.Fuzz(func(t *testing.T, typ1 byte, content1 []byte, typ2 byte, content2 []byte, server bool) {
		if len(content1) > record.MaxPlaintext || len(content2) > record.MaxPlaintext {
			return
		}
		c, u := newPuppet(t, server)
		u.send(t, append(u.seal(t, record.ContentType(typ1), string(content1)), u.seal(t, record.ContentType(typ2), string(content2))...))
		in := room(4, 100)
		n, err := c.ReceiveMessages(background, in, 0, 0)
		messages := 0
		for _, typ := range []byte{typ1, typ2} {
			if record.ContentType(typ) == record.TypeApplicationData {
				messages++
			}
		}
		if n > messages || err != nil && n > 0 {
			t.Errorf("received %d, %v", n, err)
		}
		_ = sendOne(c, 0)
		if err := c.Close(background); err != nil {
			t.Error(err)
		}
	})
}
