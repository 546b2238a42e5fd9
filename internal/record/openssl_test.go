package record

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"hash"
	"os"
	"testing"

	"github.com/pion/dtls/v2/pkg/crypto/prf"
)

// Records made by OpenSSL, with the secrets that open them, stand in this file.
// go test -run TestOpenSSL -update records them anew with the openssl program
// of this machine; see capture_test.go.
const capturesFile = "testdata/openssl.json"

var update = flag.Bool("update", false, "record testdata/openssl.json anew with the openssl program")

// What each side of a captured conversation says.
const (
	clientText = "text from the client\n"
	serverText = "this is from the server\n"
)

// hexBytes are bytes that stand as hexadecimal digits in JSON.
type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// captures is the file of conversations.
type captures struct {
	Program       string
	Conversations []conversation
}

// conversation is one connection between s_client and s_server.
type conversation struct {
	Suite        string // OpenSSL's name
	MasterSecret hexBytes
	ClientRandom hexBytes
	ServerRandom hexBytes
	Client       []hexBytes // the protected records from the client, in order
	Server       []hexBytes // those from the server
}

// opensslSuites are the suites that are captured.
var opensslSuites = []struct {
	name      string
	algorithm Algorithm
	prf       func() hash.Hash
}{
	{"ECDHE-ECDSA-AES128-GCM-SHA256", AES128GCM, sha256.New},
	{"ECDHE-ECDSA-AES256-GCM-SHA384", AES256GCM, sha512.New384},
	{"ECDHE-ECDSA-AES128-CCM", AES128CCM, sha256.New},
	{"ECDHE-ECDSA-AES256-CCM", AES256CCM, sha256.New},
	{"ECDHE-ECDSA-AES128-CCM8", AES128CCM8, sha256.New},
	{"ECDHE-ECDSA-AES256-CCM8", AES256CCM8, sha256.New},
	{"ECDHE-ECDSA-CHACHA20-POLY1305", ChaCha20Poly1305, sha256.New},
}

func TestOpenSSL(t *testing.T) {
	if *update {
		recordCaptures(t)
	}
	text, err := os.ReadFile(capturesFile)
	if err != nil {
		t.Fatal(err)
	}
	var all captures
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	t.Logf("captured from %s", all.Program)
	conversations := map[string]conversation{}
	for _, c := range all.Conversations {
		conversations[c.Suite] = c
	}
	for _, suite := range opensslSuites {
		t.Run(suite.name, func(t *testing.T) {
			c, ok := conversations[suite.name]
			if !ok {
				t.Fatalf("%s has no such conversation; record it with -update", capturesFile)
			}
			a := suite.algorithm
			seed := append([]byte("key expansion"), c.ServerRandom...)
			seed = append(seed, c.ClientRandom...)
			block, err := prf.PHash(c.MasterSecret, seed, a.KeyBlockSize(), suite.prf)
			if err != nil {
				t.Fatal(err)
			}
			client, server := a.SplitKeyBlock(block)
			checkCaptured(t, a, client, c.Client, clientText)
			checkCaptured(t, a, server, c.Server, serverText)
		})
	}
}

// checkCaptured opens the records of one direction, looks for the text among
// them, and seals their plaintexts again.
func checkCaptured(t *testing.T, a Algorithm, keys Keys, records []hexBytes, text string) {
	t.Helper()
	o, err := NewOpener(a, keys, 1)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	var finished, closed int
	for i, captured := range records {
		rec, rest, ok := Next(bytes.Clone(captured))
		if !ok || len(rest) != 0 {
			t.Fatalf("record %d is none: %x", i, captured)
		}
		plaintext, err := o.Open(&rec)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		switch {
		case rec.Type == TypeApplicationData:
			said.Write(plaintext)
		case rec.Type == TypeHandshake && len(plaintext) == 24 && plaintext[0] == 20:
			finished++
		case rec.Type == TypeAlert && bytes.Equal(plaintext, []byte{1, 0}):
			closed++
		default:
			t.Fatalf("record %d: type %d, %x", i, rec.Type, plaintext)
		}
		checkSealed(t, a, keys, captured, rec, plaintext)
	}
	if said.String() != text || finished == 0 || closed == 0 {
		t.Errorf("opened %d Finished, %q, %d close_notify", finished, said.String(), closed)
	}
}

// checkSealed seals a captured record's plaintext and expects OpenSSL's bytes.
// OpenSSL counts the explicit nonces of GCM from a random start instead of
// taking the sequence number: there the sealer is given that nonce.
func checkSealed(t *testing.T, a Algorithm, keys Keys, captured []byte, rec Record, plaintext []byte) {
	t.Helper()
	s, err := NewSealer(a, keys, rec.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	s.SkipTo(rec.Sequence)
	gcm := a == AES128GCM || a == AES256GCM
	if gcm {
		s.mask = s.number(rec.Sequence) ^ binary.BigEndian.Uint64(captured[HeaderSize:])
	}
	sealed, err := s.SealBytes(nil, rec.Type, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	if gcm {
		copy(sealed[HeaderSize:HeaderSize+8], captured[HeaderSize:])
	}
	if !bytes.Equal(sealed, captured) {
		t.Errorf("sequence number %d: sealed %x, OpenSSL %x", rec.Sequence, sealed, captured)
	}
}
