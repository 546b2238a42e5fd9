package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strconv"
)

//go:embed page
var pageFiles embed.FS

// assetTypes are the kinds of files that the pages refer to.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// asset is a file that the pages refer to.
type asset struct {
	kind string
	data []byte
}

// pages are what the console serves besides its WebSocket. They do not change.
type pages struct {
	index, login []byte
	prefix       string // of the addresses of assets; names their content, so that it can be kept for ever
	assets       map[string]asset
}

// newPages reads the embedded files. accounts tells whether names and passwords let in.
func newPages(accounts bool) *pages {
	p := &pages{assets: map[string]asset{}}
	sum := sha256.New()
	files, err := fs.ReadDir(pageFiles, "page")
	if err != nil {
		panic(err) // it is embedded
	}
	var documents = map[string][]byte{}
	for _, f := range files {
		data, err := pageFiles.ReadFile(path.Join("page", f.Name()))
		if err != nil {
			panic(err)
		}
		kind := assetTypes[path.Ext(f.Name())]
		if kind == "" {
			documents[f.Name()] = data
			continue
		}
		p.assets[f.Name()] = asset{kind, data}
		sum.Write([]byte(f.Name()))
		sum.Write(data)
	}
	p.prefix = "/assets/" + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:12])
	fill := func(name string) []byte {
		text := bytes.ReplaceAll(documents[name], []byte("{{assets}}"), []byte(p.prefix))
		return bytes.ReplaceAll(text, []byte("{{accounts}}"), strconv.AppendBool(nil, accounts))
	}
	p.index, p.login = fill("index.html"), fill("login.html")
	return p
}

// document serves one of the two pages.
func document(html []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(html)
	}
}

// serveAsset serves a file of which the address names the content.
func (p *pages) serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := p.assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", a.kind)
	_, _ = w.Write(a.data)
}

// pagePolicy lets the pages load what is theirs, and talk to their server, and nothing
// else: no script or style that is written into them, no other site, no frame around
// them.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// secured sets the headers of all answers.
func secured(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", pagePolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		header.Set("Cache-Control", "no-store")
		h.ServeHTTP(w, r)
	})
}
