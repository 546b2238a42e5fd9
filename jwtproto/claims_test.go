package jwtproto

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzClaims compares parseClaims with encoding/json.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { "sub" : "A" , "iat":1}`, `{"sub":{"sub":["}",{"x":"\\\""}]},"exp":-1.5e3}`, `{"sub":1,"sub":2}`, `{"s\u0075b":"x"}`,
		`[]`, `null`, `"x"`, `{"iat":true,"exp":null,"aud":[]}`, `{"exp":1 }`, "{\"exp\":1\n,\"iat\":2}", `{"":1}`, `{"sub":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := parseClaims(text)
		// Reads tokens in order, so that both of a pair of claims are seen.
		want, wantOK := slowClaims(text)
		if ok != wantOK {
			t.Fatalf("%q: ok is %v, want %v", text, ok, wantOK)
		}
		for _, name := range []string{"sub", "seq_state_number", "seq_state", "seq_max", "registration", "jti", "iat", "exp", "aud"} {
			if value := *got.named([]byte(name)); ok && !bytes.Equal(value, want[name]) {
				t.Errorf("%q: %s is %q, want %q", text, name, value, want[name])
			}
			value := *got.named([]byte(name))
			n, isInteger := value.integer()
			var number int64
			if unmarshals := value != nil && string(value) != "null" && json.Unmarshal(value, &number) == nil; ok && (unmarshals != isInteger || n != number && isInteger) {
				t.Errorf("%q: %s is the integer %d (%v), want %d (%v)", text, name, n, isInteger, number, unmarshals)
			}
			s, isText := value.text()
			var wanted string
			if unmarshals := len(value) > 0 && value[0] == '"' && json.Unmarshal(value, &wanted) == nil; ok && (unmarshals != isText || isText && string([]rune(string(s))) != wanted) {
				t.Errorf("%q: %s is the text %q (%v), want %q (%v)", text, name, s, isText, wanted, unmarshals)
			}
		}
	})
}

// slowClaims does the same with a json.Decoder.
func slowClaims(text []byte) (map[string][]byte, bool) {
	if !json.Valid(text) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return nil, false
	}
	found := map[string][]byte{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, false
		}
		if _, twice := found[name.(string)]; twice && new(claims).named([]byte(name.(string))) != nil {
			return nil, false
		}
		found[name.(string)] = value
	}
	return found, true
}

// FuzzRequest takes whatever comes through all stages. Nothing is accepted that has not
// been signed: every accepted token is one of the seeds.
func FuzzRequest(f *testing.F) {
	directory := testLab(f).current.Load()
	now := time.Now()
	good := map[string]bool{}
	for _, row := range specification {
		token := row.token()
		f.Add(token)
		good[string(token)] = true
	}
	f.Fuzz(func(t *testing.T, token []byte) {
		r, why := decodeRequest(token, MaxRequest)
		if (r == nil) != (why != accepted) {
			t.Fatalf("%q: request %v, refused %q", token, r, why)
		}
		if r == nil || r.find(directory.groups, "", now) != accepted {
			return
		}
		if r.verify(Machine{}, DefaultLeeway, now) == accepted && !good[string(token)] && !isMalleable(token, good) {
			t.Errorf("%q is accepted, and nobody has signed it", token)
		}
	})
}

// isMalleable reports whether a token differs from a good one in bits of base64 only that
// stand for nothing: what they decode to is the same.
func isMalleable(token []byte, good map[string]bool) bool {
	for g := range good {
		if isCompact([]byte(g)) && isCompact(token) && slices.EqualFunc(strings.Split(g, "."), strings.Split(string(token), "."), func(a, b string) bool {
			x, _ := base64.RawURLEncoding.DecodeString(a)
			y, _ := base64.RawURLEncoding.DecodeString(b)
			return bytes.Equal(x, y)
		}) {
			return true
		}
	}
	return false
}

// FuzzReply has a client read whatever comes.
func FuzzReply(f *testing.F) {
	secret := []byte(secretText)
	ack := newSealer(secret).seal(acknowledgement("REDS", RequestID{}, 1, time.Now()))
	f.Add(ack)
	f.Add(newSealer(secret).seal(refusal(DecodeFailed, time.Now())))
	f.Add([]byte(replyHeader + "e30.AA"))
	f.Fuzz(func(t *testing.T, token []byte) {
		if c, err := openReply(token, secret); err == nil && c.Issuer != Audience {
			t.Errorf("%q verifies as a reply of %q", token, c.Issuer)
		}
	})
}

// FuzzKey reads whatever is in a key file.
func FuzzKey(f *testing.F) {
	f.Add(pkixPEM(ecKey().Public()))
	f.Add(sshLine(ecKey().Public()))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := ParsePublicKey(data); (key == nil) == (err == nil) && err == nil {
			t.Errorf("%q: key %v, %v", data, key, err)
		}
	})
}
