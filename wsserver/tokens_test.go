package wsserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// sign makes a token of any header and claims, as an attacker or another issuer may.
func sign(t testing.TB, algorithm jose.SignatureAlgorithm, key any, head map[jose.HeaderKey]any, claims any) string {
	t.Helper()
	options := new(jose.SignerOptions)
	for k, v := range head {
		options.WithHeader(k, v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// encode is base64url.
func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// goodClaims are those of a token that is taken, changed.
func goodClaims(change map[string]any) map[string]any {
	now := time.Now().Unix()
	claims := map[string]any{"iss": "gdtls", "aud": "gdtls", "sub": "ada", "sid": "abc", "iat": now, "exp": now + 60}
	for k, v := range change {
		if v == nil {
			delete(claims, k)
		} else {
			claims[k] = v
		}
	}
	return claims
}

func TestVerify(t *testing.T) {
	b := newBearer(t)
	now := time.Now().Unix()
	kid := map[jose.HeaderKey]any{"kid": "k1"}
	claims := func(change map[string]any) string {
		return sign(t, jose.HS256, testKeys[0].Secret, kid, goodClaims(change))
	}
	type m = map[string]any
	for name, test := range map[string]struct {
		token string
		want  error // nil: good
	}{
		"good":                  {claims(nil), nil},
		"older key":             {sign(t, jose.HS256, testKeys[1].Secret, map[jose.HeaderKey]any{"kid": "k0"}, goodClaims(nil)), nil},
		"audience in a list":    {claims(m{"aud": []string{"other", "gdtls"}}), nil},
		"claims of others":      {claims(m{"foo": "bar", "jti": "x"}), nil},
		"longest name":          {claims(m{"sub": strings.Repeat("a", MaxNameLength)}), nil},
		"name in UTF-8":         {claims(m{"sub": "Ada Lovelace-Brontë"}), nil},
		"nbf in the past":       {claims(m{"nbf": now - 5}), nil},
		"expired":               {claims(m{"exp": now - 1}), ErrExpiredToken},
		"expires now":           {claims(m{"exp": now}), ErrExpiredToken},
		"never expires":         {claims(m{"exp": nil}), ErrInvalidToken},
		"expires too late":      {claims(m{"exp": now + 86400 + 60}), ErrInvalidToken},
		"expires in no time":    {claims(m{"exp": 1e30}), ErrInvalidToken},
		"expires at 2^62":       {claims(m{"exp": int64(1) << 62}), ErrInvalidToken},
		"expires as text":       {claims(m{"exp": "tomorrow"}), ErrInvalidToken},
		"not yet":               {claims(m{"nbf": now + 30}), ErrInvalidToken},
		"issued in the future":  {claims(m{"iat": now + 30}), ErrInvalidToken},
		"other issuer":          {claims(m{"iss": "other"}), ErrInvalidToken},
		"no issuer":             {claims(m{"iss": nil}), ErrInvalidToken},
		"other audience":        {claims(m{"aud": "other"}), ErrInvalidToken},
		"no audience":           {claims(m{"aud": nil}), ErrInvalidToken},
		"empty list":            {claims(m{"aud": []string{}}), ErrInvalidToken},
		"no name":               {claims(m{"sub": nil}), ErrInvalidToken},
		"long name":             {claims(m{"sub": strings.Repeat("a", MaxNameLength+1)}), ErrInvalidToken},
		"name of two lines":     {claims(m{"sub": "a\nb"}), ErrInvalidToken},
		"name with a space":     {claims(m{"sub": "ada "}), ErrInvalidToken},
		"no login":              {claims(m{"sid": nil}), ErrInvalidToken},
		"strange login":         {claims(m{"sid": "a.b"}), ErrInvalidToken},
		"wrong kid":             {sign(t, jose.HS256, testKeys[0].Secret, map[jose.HeaderKey]any{"kid": "k2"}, goodClaims(nil)), ErrInvalidToken},
		"another key's kid":     {sign(t, jose.HS256, testKeys[0].Secret, map[jose.HeaderKey]any{"kid": "k0"}, goodClaims(nil)), ErrInvalidToken},
		"no kid":                {sign(t, jose.HS256, testKeys[0].Secret, nil, goodClaims(nil)), ErrInvalidToken},
		"unknown secret":        {sign(t, jose.HS256, []byte(strings.Repeat("x", 32)), kid, goodClaims(nil)), ErrInvalidToken},
		"HS512 with our secret": {sign(t, jose.HS512, []byte(strings.Repeat("1", 64)), kid, goodClaims(nil)), ErrInvalidToken},
		"ES256":                 {sign(t, jose.ES256, ecdsaKey(t), kid, goodClaims(nil)), ErrInvalidToken},
		"crit": {sign(t, jose.HS256, testKeys[0].Secret,
			map[jose.HeaderKey]any{"kid": "k1", "crit": []string{"foo"}, "foo": 1}, goodClaims(nil)), ErrInvalidToken},
		"claims are a list": {sign(t, jose.HS256, testKeys[0].Secret, kid, []int{1}), ErrInvalidToken},
		"empty":             {"", ErrInvalidToken},
		"two parts":         {"a.b", ErrInvalidToken},
		"four parts":        {claims(nil) + ".a", ErrInvalidToken},
		"space in it":       {claims(nil) + " ", ErrInvalidToken},
		"line break in it":  {strings.Replace(claims(nil), ".", ".\n", 1), ErrInvalidToken},
		"padding":           {claims(nil) + "=", ErrInvalidToken},
		"no signature":      {claims(nil)[:strings.LastIndexByte(claims(nil), '.')+1], ErrInvalidToken},
		"too long":          {claims(m{"foo": strings.Repeat("a", maxToken)}), ErrInvalidToken},
	} {
		t.Run(name, func(t *testing.T) {
			who, err := b.Verify(test.token)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%v, not %v", err, test.want)
			}
			if (err == nil) != (who.Name != "") {
				t.Errorf("identity %+v with error %v", who, err)
			}
		})
	}
	for _, none := range []string{"none", "None", "NONE", ""} {
		payload, _ := json.Marshal(goodClaims(nil))
		for _, signature := range []string{"", "AAAA"} {
			token := encode(`{"alg":"`+none+`","kid":"k1"}`) + "." + encode(string(payload)) + "." + signature
			if _, err := b.Verify(token); !errors.Is(err, ErrInvalidToken) {
				t.Errorf("alg %q, signature %q: %v", none, signature, err)
			}
		}
	}
}

func ecdsaKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// No other character anywhere leaves a token good.
func TestTamperedToken(t *testing.T) {
	b := newBearer(t)
	text := tokenFor(t, b, "ada", time.Hour).Text
	if _, err := b.Verify(text); err != nil {
		t.Fatal(err)
	}
	for i := range len(text) {
		other := byte('A')
		if text[i] == other {
			other = 'B'
		}
		if _, err := b.Verify(text[:i] + string(other) + text[i+1:]); err == nil {
			// The last character of 32 bytes has two bits that say nothing.
			if i != len(text)-1 {
				t.Errorf("character %d may be another", i)
			}
		}
	}
}

func TestIssue(t *testing.T) {
	b := newBearer(t, func(c *BearerConfig) { c.Leeway = 2 * time.Second; c.MaxLife = time.Hour })
	before := time.Now()
	token, err := b.Issue("ada", MethodTicket, 90*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	who, err := b.Verify(token.Text)
	if err != nil {
		t.Fatal(err)
	}
	issued := token.Identity
	if who.Name != "ada" || who.LoginID != issued.LoginID || who.Method != MethodTicket ||
		!who.Since.Equal(issued.Since) || !who.Expires.Equal(issued.Expires.Add(2*time.Second)) {
		t.Errorf("verified %+v, issued %+v", who, issued)
	}
	if life := issued.Expires.Sub(before); life < 90*time.Second || life > 93*time.Second {
		t.Errorf("it lives for %v", life)
	}
	for _, d := range []time.Duration{time.Second, -time.Millisecond} {
		if _, err := b.verify(token.Text, who.Expires.Add(-d)); (err == nil) != (d > 0) {
			t.Errorf("%v before its end: %v", d, err)
		}
	}
	second, err := b.Issue("ada", MethodTicket, time.Hour)
	if err != nil || second.Identity.LoginID == issued.LoginID {
		t.Errorf("two logins have the id %s, %v", issued.LoginID, err)
	}
	for _, bad := range []struct {
		name string
		life time.Duration
	}{{"", time.Minute}, {"a\x00b", time.Minute}, {"ada", 0}, {"ada", -time.Second}, {"ada", time.Hour + 1}, {strings.Repeat("a", 65), time.Minute}} {
		if _, err := b.Issue(bad.name, MethodPassword, bad.life); err == nil {
			t.Errorf("%q gets a token for %v", bad.name, bad.life)
		}
	}
}

func TestKeysRotate(t *testing.T) {
	old, next := testKeys[0], GenerateKey()
	keys, err := NewKeys(old)
	if err != nil {
		t.Fatal(err)
	}
	b := newBearer(t, func(c *BearerConfig) { c.Keys = keys })
	first := tokenFor(t, b, "ada", time.Hour)
	good := func(token Token, want bool) {
		t.Helper()
		if _, err := b.Verify(token.Text); (err == nil) != want {
			t.Errorf("token: %v", err)
		}
		if _, _, err := b.PSK([]byte(token.PSKIdentity)); (err == nil) != want {
			t.Errorf("PSK: %v", err)
		}
	}
	good(first, true)
	if err := keys.Set(next, old); err != nil {
		t.Fatal(err)
	}
	second := tokenFor(t, b, "ada", time.Hour)
	if !strings.HasSuffix(second.PSKIdentity, "."+next.ID) {
		t.Errorf("the first key does not sign: %s", second.PSKIdentity)
	}
	good(first, true)
	good(second, true)
	if err := keys.Set(next); err != nil {
		t.Fatal(err)
	}
	good(first, false)
	good(second, true)
	// A key of the same name and another secret is another key.
	if err := keys.Set(Key{ID: next.ID, Secret: old.Secret}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(second.Text); err == nil {
		t.Error("a token outlives its secret")
	}
}

func TestBadKeys(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	for name, keys := range map[string][]Key{
		"none":         nil,
		"no name":      {{"", secret}},
		"long name":    {{strings.Repeat("a", 17), secret}},
		"name with .":  {{"a.b", secret}},
		"short secret": {{"a", secret[:31]}},
		"long secret":  {{"a", make([]byte, 257)}},
		"twice":        {{"a", secret}, {"a", secret}},
	} {
		if _, err := NewKeys(keys...); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), string(secret[:8])) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
	keys, err := NewKeys(Key{"a", secret})
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Set(); err == nil || keys.signing().id != "a" {
		t.Errorf("after a bad Set: %v, %v", err, keys.signing().id)
	}
	if key := GenerateKey(); len(key.Secret) != 32 || !isID(key.ID, maxKeyID) || key.ID == GenerateKey().ID {
		t.Errorf("generated %v with %d bytes", key, len(key.Secret))
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	b := newBearer(t)
	token := tokenFor(t, b, "ada", time.Hour)
	var text strings.Builder
	for _, h := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&text, nil)} {
		slog.New(h).Info("x", "token", token, "key", testKeys[0])
	}
	fmt.Fprintf(&text, "%v %+v %#v %s %v %+v %#v %s", token, token, token, token, testKeys[0], testKeys[0], testKeys[0], testKeys[0])
	for _, secret := range []string{token.Text, token.PSKIdentity, string(testKeys[0].Secret),
		fmt.Sprint(testKeys[0].Secret), base64.StdEncoding.EncodeToString(testKeys[0].Secret)} {
		if strings.Contains(text.String(), secret) {
			t.Errorf("printed: %s", text.String())
		}
	}
	_, err := b.Verify(token.Text + "A")
	if err == nil || strings.Contains(err.Error(), token.Text[:20]) {
		t.Errorf("the error is %v", err)
	}
}

func TestRevocations(t *testing.T) {
	store := new(MemoryRevocations)
	b := newBearer(t, func(c *BearerConfig) { c.Revocations = store })
	token, other := tokenFor(t, b, "ada", time.Hour), tokenFor(t, b, "ada", time.Hour)
	var told []string
	id := b.ConnectRevoked(func(loginID string) { told = append(told, loginID) })
	for range 2 {
		if err := b.Revoke(t.Context(), token.Identity.LoginID); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) != 1 || told[0] != token.Identity.LoginID {
		t.Errorf("told of %q", told)
	}
	b.Disconnect(id)
	if _, err := b.Verify(token.Text); !errors.Is(err, ErrRevokedToken) {
		t.Errorf("revoked: %v", err)
	}
	if _, _, err := b.PSK([]byte(token.PSKIdentity)); !errors.Is(err, ErrRevokedToken) {
		t.Errorf("revoked PSK: %v", err)
	}
	if _, err := b.Verify(other.Text); err != nil {
		t.Errorf("another login of the same person: %v", err)
	}
	// A program that starts later knows it.
	later := newBearer(t, func(c *BearerConfig) { c.Revocations = store })
	if _, err := later.Verify(token.Text); !errors.Is(err, ErrRevokedToken) {
		t.Errorf("after a restart: %v", err)
	}
}

// failing are Revocations whose database is away.
type failing struct{ read, write error }

func (f failing) Revoke(context.Context, string, time.Time) error { return f.write }
func (f failing) Revoked(context.Context) (map[string]time.Time, error) {
	return nil, f.read
}

func TestRevocationsFail(t *testing.T) {
	away := errors.New("away")
	keys, _ := NewKeys(testKeys...)
	if _, err := NewBearerAuthenticator(t.Context(), BearerConfig{Keys: keys, Revocations: failing{read: away}}); !errors.Is(err, away) {
		t.Errorf("revocations cannot be read: %v", err)
	}
	b := newBearer(t, func(c *BearerConfig) { c.Revocations = failing{write: away} })
	token := tokenFor(t, b, "ada", time.Hour)
	if err := b.Revoke(t.Context(), token.Identity.LoginID); !errors.Is(err, away) {
		t.Errorf("a revocation cannot be written: %v", err)
	}
	if _, err := b.Verify(token.Text); !errors.Is(err, ErrRevokedToken) {
		t.Errorf("it does not hold: %v", err)
	}
	if _, err := NewBearerAuthenticator(t.Context(), BearerConfig{}); err == nil {
		t.Error("no keys: no error")
	}
	if _, err := NewBearerAuthenticator(t.Context(), BearerConfig{Keys: keys, CookieName: "a;b"}); err == nil {
		t.Error("a bad name of a cookie: no error")
	}
}

// The list forgets what is over, and so does not grow without end.
func TestRevocationListIsBounded(t *testing.T) {
	var l revocationList
	now := time.Unix(1000, 0)
	for i := range 100_000 {
		l.add(fmt.Sprint(i), now.Add(time.Second), now)
		if i%100 == 99 {
			now = now.Add(time.Second)
		}
	}
	if n := len(l.until); n > 300 {
		t.Errorf("%d are kept of which 100 count", n)
	}
	if l.add("x", now, now) || len(l.all(now)) != 0 {
		t.Error("what is over is added")
	}
	if !l.add("x", now.Add(time.Second), now) || l.add("x", now.Add(time.Second), now) {
		t.Error("whether one is new is told wrong")
	}
	if all := l.all(now); !maps.Equal(all, map[string]time.Time{"x": now.Add(time.Second)}) {
		t.Errorf("all: %v", all)
	}
}
