package record

import (
	"bytes"
	"testing"
)

// A ClientHello's header, a flight in one datagram, and what is none.
func TestNext(t *testing.T) {
	hello := AppendPlaintext(nil, TypeHandshake, VersionDTLS10, 5, []byte("hello"))
	if want := unhex(t, "16 feff 0000 000000000005 0005 68656c6c6f"); !bytes.Equal(hello, want) {
		t.Fatalf("AppendPlaintext: %x", hello)
	}
	flight := AppendPlaintext(bytes.Clone(hello), TypeChangeCipherSpec, VersionDTLS12, MaxSequence, []byte{1})
	flight = AppendPlaintext(flight, 99, 0xfe00, 0, nil)

	var got []Record
	rest := flight
	for len(rest) > 0 {
		rec, after, ok := Next(rest)
		if !ok {
			t.Fatalf("no record at %x", rest)
		}
		if &rec.Raw[0] != &rest[0] || cap(rec.Raw) != len(rec.Raw) {
			t.Error("Raw is not exactly the record's part of the datagram")
		}
		got, rest = append(got, rec), after
	}
	want := []Record{
		{Type: TypeHandshake, Version: VersionDTLS10, Sequence: 5, Raw: hello},
		{Type: TypeChangeCipherSpec, Version: VersionDTLS12, Sequence: MaxSequence, Raw: flight[len(hello) : len(hello)+14]},
		{Type: 99, Version: 0xfe00, Raw: flight[len(hello)+14:]},
	}
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Type != w.Type || g.Version != w.Version || g.Epoch != w.Epoch || g.Sequence != w.Sequence || !bytes.Equal(g.Raw, w.Raw) {
			t.Errorf("record %d: %+v, want %+v", i, g, w)
		}
	}
	if string(got[0].Fragment()) != "hello" || len(got[2].Fragment()) != 0 {
		t.Error("Fragment is not what follows the header")
	}

	rec, _, ok := Next(unhex(t, "17 fefd 0102 030405060708 0000"))
	if !ok || rec.Epoch != 0x0102 || rec.Sequence != 0x030405060708 {
		t.Errorf("epoch and sequence number: %+v", rec)
	}
}

func TestNextRefuses(t *testing.T) {
	long := func(length int) []byte {
		b := make([]byte, HeaderSize+length)
		copy(b, []byte{byte(TypeApplicationData), 0xfe, 0xfd})
		b[11], b[12] = byte(length>>8), byte(length)
		return b
	}
	if _, _, ok := Next(long(MaxPlaintext + 2048)); !ok {
		t.Error("the longest fragment was refused")
	}
	hello := AppendPlaintext(nil, TypeHandshake, VersionDTLS12, 0, []byte("hello"))
	tls := bytes.Clone(hello)
	tls[1] = 0x03
	for name, datagram := range map[string][]byte{
		"nothing":           nil,
		"part of a header":  hello[:HeaderSize-1],
		"part of a record":  hello[:len(hello)-1],
		"fragment too long": long(MaxPlaintext + 2049),
		"TLS":               tls,
	} {
		if rec, rest, ok := Next(datagram); ok || rec.Raw != nil || rest != nil {
			t.Errorf("%s: %+v", name, rec)
		}
	}
}

func TestLooksLikeDTLS(t *testing.T) {
	hello := AppendPlaintext(nil, TypeHandshake, VersionDTLS10, 0, make([]byte, 100))
	for _, tt := range []struct {
		name     string
		datagram []byte
		want     bool
	}{
		{"hello", hello, true},
		{"truncated hello", hello[:50], true},
		{"header only", hello[:HeaderSize], true},
		{"less than a header", hello[:HeaderSize-1], false},
		{"empty", nil, false},
		{"text", []byte("GET / HTTP/1.1\r\n"), false},
		{"STUN", unhex(t, "0001 0000 2112a442 000102030405060708090a0b"), false},
		{"TLS", unhex(t, "16 0301 0040 01 00003c 0303 0001020304"), false},
		{"RTP", unhex(t, "80fe fefd 0000 0000 0000 0000 0000"), false},
	} {
		if got := LooksLikeDTLS(tt.datagram); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
