package wsserver

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestProvenance(t *testing.T) {
	others := []string{"https://also.example"}
	for name, test := range map[string]struct {
		header http.Header
		tls    bool
		want   provenance
	}{
		"nothing said":             {nil, false, noBrowser},
		"own":                      {header("Origin", "http://host.example:81"), false, samePage},
		"own, in capitals":         {header("Origin", "http://HOST.example:81"), false, samePage},
		"own, over TLS":            {header("Origin", "https://host.example:81"), true, samePage},
		"no TLS":                   {header("Origin", "https://host.example:81"), false, otherPage},
		"TLS":                      {header("Origin", "http://host.example:81"), true, otherPage},
		"other port":               {header("Origin", "http://host.example"), false, otherPage},
		"configured":               {header("Origin", "https://also.example"), false, samePage},
		"opaque":                   {header("Origin", "null"), false, otherPage},
		"empty":                    {header("Origin", ""), false, otherPage},
		"two":                      {header("Origin", "http://host.example:81", "Origin", "http://host.example:81"), false, otherPage},
		"fetched by own":           {header("Sec-Fetch-Site", "same-origin"), false, samePage},
		"fetched by a sibling":     {header("Sec-Fetch-Site", "same-site"), false, otherPage},
		"fetched by another":       {header("Sec-Fetch-Site", "cross-site"), false, otherPage},
		"by the user":              {header("Sec-Fetch-Site", "none"), false, otherPage},
		"two fetches":              {header("Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "same-origin"), false, otherPage},
		"origin counts more":       {header("Origin", "http://evil.example", "Sec-Fetch-Site", "same-origin"), false, otherPage},
		"configured, not the same": {header("Origin", "https://also.example", "Sec-Fetch-Site", "cross-site"), false, samePage},
	} {
		r := httptest.NewRequest("POST", "http://host.example:81/", nil)
		r.Header = test.header
		if test.tls {
			r.TLS = new(tls.ConnectionState)
		}
		if got := provenanceOf(r, others); got != test.want {
			t.Errorf("%s: %d, not %d", name, got, test.want)
		}
	}
}

// A page may fetch what the cookie opens, without an Origin.
func TestCookieOfAFetch(t *testing.T) {
	b := newBearer(t)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = header("Sec-Fetch-Site", "same-origin", "Cookie", "gdtls_token="+tokenFor(t, b, "ada", DefaultLife).Text)
	if who, err := b.Validate(r); err != nil || who.Name != "ada" {
		t.Errorf("%+v, %v", who, err)
	}
}
