package wsserver

import (
	"net/http"
	"slices"
	"strings"
)

// CorsAuthenticator is the question of the signal originAuthenticationRequired: may a
// page of this origin talk to the server? It is valid during the call, and belongs to
// one goroutine.
type CorsAuthenticator struct {
	origin  string
	allowed bool
}

// Origin is what the browser says, such as "https://console.example"; empty if the
// client is not a browser.
func (a *CorsAuthenticator) Origin() string { return a.origin }

// SetAllowed answers the question.
func (a *CorsAuthenticator) SetAllowed(allowed bool) { a.allowed = allowed }

// Allowed is the answer so far. It begins as true for no origin, for the server's own,
// and for those of the configuration.
func (a *CorsAuthenticator) Allowed() bool { return a.allowed }

// provenance is where a request comes from, by what a browser says of it.
type provenance int

const (
	noBrowser provenance = iota // says nothing: no browser of today
	samePage                    // a page of this server, or of a configured origin
	otherPage
)

// provenanceOf judges Origin, and without one Sec-Fetch-Site, which browsers do not let
// pages set. others are further origins that count as the server's own.
func provenanceOf(r *http.Request, others []string) provenance {
	origins, sites := r.Header["Origin"], r.Header["Sec-Fetch-Site"]
	switch {
	case len(origins) > 1 || len(sites) > 1:
		return otherPage
	case len(origins) == 1 && (isOwn(origins[0], r) || slices.Contains(others, origins[0])):
		return samePage
	case len(origins) == 1:
		return otherPage
	case len(sites) == 0:
		return noBrowser
	case sites[0] == "same-origin":
		return samePage
	}
	return otherPage
}

// isOwn tells whether an origin is exactly the scheme, host and port that the request
// was sent to.
func isOwn(origin string, r *http.Request) bool {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	host, ok := strings.CutPrefix(origin, scheme)
	return ok && host != "" && strings.EqualFold(host, r.Host)
}
