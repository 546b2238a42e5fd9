package wsserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Nobody is let in by a token that is not signed, whatever it is like.
func FuzzToken(f *testing.F) {
	b := newBearer(f)
	good := tokenFor(f, b, "ada", time.Hour).Text
	for _, seed := range []string{
		"", ".", "..", good, good + ".", strings.ToUpper(good), good[:len(good)-1],
		encode(`{"alg":"none"}`) + "." + encode(`{}`) + ".",
		encode(`{"alg":"HS256","kid":"k1"}`) + "." + encode(`{"exp":1}`) + ".AAAA",
		encode(`{"alg":"HS256","kid":["k1"],"crit":["b64"],"b64":false}`) + ".A.A",
		encode(`{"alg":"HS256","x5c":["AAAA"],"jwk":{"kty":"oct","k":"AAAA"}}`) + ".A.A",
		encode(strings.Repeat("[", 900)) + ".A.A",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		who, err := b.Verify(text)
		if err != nil {
			if who != (Identity{}) {
				t.Errorf("%+v with error %v", who, err)
			}
			return
		}
		// The seeds are of a process of their own, so the token may be another; but it
		// is signed with one of the keys.
		last := strings.LastIndexByte(text, '.')
		signature, err := base64.RawURLEncoding.DecodeString(text[last+1:])
		if err != nil {
			t.Fatal(err)
		}
		signed := slices.ContainsFunc(testKeys, func(key Key) bool {
			mac := hmac.New(sha256.New, key.Secret)
			mac.Write([]byte(text[:last]))
			return hmac.Equal(mac.Sum(nil), signature)
		})
		if !signed || who.Name != "ada" {
			t.Errorf("%q lets in %+v", text, who)
		}
	})
}

// An identity that has a key is canonical: it is what would be made of its parts.
func FuzzPSKIdentity(f *testing.F) {
	b := newBearer(f)
	good := tokenFor(f, b, "ada@example.org", time.Hour).PSKIdentity
	for _, seed := range []string{"", ".", "...", good, good + " ", "a.b.c.d", "ada.4000000000.abc.k1", "\xff" + good, "ada.-0.a.k1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, identity []byte) {
		key, who, err := b.PSK(identity)
		if err != nil {
			if key != nil || who != (Identity{}) {
				t.Errorf("key %x of %+v with error %v", key, who, err)
			}
			return
		}
		kid := string(identity[strings.LastIndexByte(string(identity), '.')+1:])
		if again := pskIdentity(who, kid); again != string(identity) || len(identity) > maxPSKIdentity || !utf8.Valid(identity) {
			t.Errorf("%q has a key, as %q has", identity, again)
		}
		if len(key) != 32 || !time.Now().Before(who.Expires) {
			t.Errorf("key of %d bytes for %+v", len(key), who)
		}
	})
}

// A hash that is taken is canonical up to its numbers, and its costs are within bounds.
func FuzzPasswordHash(f *testing.F) {
	for _, seed := range []string{
		"", "$", "$$$$$", adasHash(), "$argon2id$v=19$m=8,t=1,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=008,t=01,p=1$" + salt16 + "$" + hash32, "$argon2id$v=19$m=65536,t=16,p=8$" + salt16 + "$" + hash32,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePasswordHash(text)
		if err != nil {
			return
		}
		if h.memory < 8*uint32(h.threads) || h.memory > maxArgonMemory || h.passes < 1 || h.passes > maxArgonPasses || h.threads < 1 || h.threads > maxArgonThreads {
			t.Errorf("%q costs %+v", text, h.argonParams)
		}
		again, err := parsePasswordHash(h.String())
		if err != nil || again.String() != h.String() {
			t.Errorf("%q is written as %q, which is %v, %v", text, h, again, err)
		}
		if h.memory*h.passes < 1<<10 {
			h.compute("x") // does not panic
		}
	})
}

// No body of a request brings a login without a password, and the answer never has what
// was sent.
func FuzzLoginBody(f *testing.F) {
	login := NewLogin(newBearer(f), LoginConfig{LoginsPerSecond: -1, Accounts: new(MemoryAccounts)})
	login.checker.decoy = hashPassword("x", argonParams{memory: minArgonMemory, passes: 1, threads: 1})
	for _, seed := range []string{
		"", "{}", "null", "[]", `"x"`, `{"username":"ada","password":"correct horse"}`, `{"ticket":""}`, `{"ticket":"AAAAAAAAAAAAAAAAAAAAAA"}`,
		`{"username":"ada","username":null}`, `{"USERNAME":"ada"}`, `{"username":"\ud800","password":"\u0000"}`,
		strings.Repeat("[", 4000), strings.Repeat(`{"username":`, 300), `{} {}`,
	} {
		f.Add(seed)
	}
	handler := login.Handler()
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/login", "/login/once", "/renew", "/logout"} {
			r := httptest.NewRequest("POST", path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			switch w.Code {
			case 400, 401, 413:
			default:
				t.Errorf("%s: status %d", path, w.Code)
			}
			if w.Body.Len() > 64 || len(w.Result().Cookies()) > 0 {
				t.Errorf("%s: answer %q, %v", path, w.Body, w.Result().Cookies())
			}
		}
	})
}
