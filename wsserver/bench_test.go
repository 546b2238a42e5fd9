package wsserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func BenchmarkVerify(b *testing.B) {
	bearer := newBearer(b)
	token := tokenFor(b, bearer, "ada", time.Hour).Text
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bearer.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPSK(b *testing.B) {
	bearer := newBearer(b)
	identity := []byte(tokenFor(b, bearer, "ada", time.Hour).PSKIdentity)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := bearer.PSK(identity); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefuse is what a request costs that is refused, beside what net/http does.
func BenchmarkRefuse(b *testing.B) {
	bearer := newBearer(b)
	s := NewWebSocketServer(bearer, Config{RequestsPerSecond: -1})
	for name, token := range map[string]string{
		"no token": "",
		"forged":   tokenFor(b, bearer, "ada", time.Hour).Text[1:],
		"unsigned": tokenFor(b, bearer, "ada", time.Hour).Text + "A",
	} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header = header("Connection", "Upgrade", "Upgrade", "websocket")
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			w := &discardResponse{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				s.ServeHTTP(w, r)
			}
		})
	}
}

func BenchmarkPasswordHash(b *testing.B) {
	p := newPasswordChecker()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.check(b.Context(), "", "a wrong password"); err != nil {
			b.Fatal(err)
		}
	}
}
