package archtest

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// makeGraph builds a graph of lines "importer: imported imported", where an
// importer of this module counts as one with code outside of tests. Packages
// with a dot in their first element belong to the module of that path, the
// rest to the standard library.
func makeGraph(lines ...string) graph {
	g := graph{}
	add := func(name string) *goPackage {
		if g[name] == nil {
			p := &goPackage{ImportPath: name}
			first, _, _ := strings.Cut(name, "/")
			switch {
			case first == module:
				p.Module = &struct{ Path string }{module}
				p.GoFiles = []string{"x.go"}
			case matches(pionModule+"/...", name):
				p.Module = &struct{ Path string }{pionModule}
			case strings.Contains(first, "."):
				p.Module = &struct{ Path string }{name}
			default:
				p.Standard = true
			}
			g[name] = p
		}
		return g[name]
	}
	for _, line := range lines {
		importer, imported, _ := strings.Cut(line, ":")
		for _, name := range strings.Fields(imported) {
			add(name)
			add(importer).Imports = append(add(importer).Imports, name)
		}
		add(importer)
	}
	return g
}

// expect compares the faults found with the one wanted; "" wants none.
func expect(t *testing.T, faults []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(faults) > 0:
		t.Errorf("unexpected faults: %q", faults)
	case want != "" && (len(faults) != 1 || !strings.Contains(faults[0], want)):
		t.Errorf("faults %q, want one with %q", faults, want)
	}
}

func TestGraphRules(t *testing.T) {
	const fine = ""
	tests := []struct {
		name  string
		check func(graph) []string
		lines []string
		want  string
	}{
		{"down the list", checkLayers, []string{"gdtls/cmd/gdtls: gdtls/wsserver gdtls/jwtproto", "gdtls/jwtproto: gdtls/serverconn gdtls/clientconn", "gdtls/serverconn: gdtls/conn gdtls/datagram", "gdtls/conn: gdtls/datagram gdtls/internal/handshake net", "gdtls/internal/handshake: gdtls/internal/record"}, fine},
		{"below cmd", checkLayers, []string{"gdtls/cmd/gdtls: gdtls/cmd/gdtls/bench"}, fine},
		{"conn knows no side", checkLayers, []string{"gdtls/conn: gdtls/clientconn"}, "gdtls/conn imports gdtls/clientconn, which stands above it"},
		{"nobody knows cmd", checkLayers, []string{"gdtls/jwtproto: gdtls/cmd/gdtls"}, "gdtls/jwtproto imports gdtls/cmd/gdtls"},
		{"jwtproto and wsserver, down", checkLayers, []string{"gdtls/wsserver: gdtls/jwtproto"}, "gdtls/wsserver imports gdtls/jwtproto, of which it must not know"},
		{"jwtproto and wsserver, up", checkLayers, []string{"gdtls/jwtproto: gdtls/wsserver"}, "gdtls/jwtproto imports gdtls/wsserver, which"},
		{"datagram knows no TLS", checkLayers, []string{"gdtls/datagram: gdtls/internal/record"}, "gdtls/datagram imports gdtls/internal/record, of which it must not know"},
		{"datagram knows no connection", checkLayers, []string{"gdtls/datagram: gdtls/conn"}, "gdtls/datagram imports gdtls/conn"},
		{"internal knows no conn", checkLayers, []string{"gdtls/internal/handshake: gdtls/conn"}, "gdtls/internal/handshake imports gdtls/conn"},
		{"internal knows no datagram", checkLayers, []string{"gdtls/internal/record: gdtls/datagram"}, "gdtls/internal/record imports gdtls/datagram"},
		{"record knows no handshake", checkLayers, []string{"gdtls/internal/record: gdtls/internal/handshake"}, "gdtls/internal/record imports gdtls/internal/handshake"},
		{"unknown package", checkLayers, []string{"gdtls/conn: gdtls/internal/novel"}, "gdtls/internal/novel is in no layer: add it to layers"},
		{"unknown package below a known one", checkLayers, []string{"gdtls/conn/novel: net"}, "gdtls/conn/novel is in no layer"},

		{"allowed modules", checkLibrary, []string{"gdtls/conn: gdtls/internal/handshake net/http golang.org/x/crypto software.sslmate.com/src/go-pkcs12", "gdtls/internal/handshake: github.com/pion/dtls/v2/pkg/protocol/handshake", "github.com/pion/dtls/v2/pkg/protocol/handshake: github.com/pion/dtls/v2/internal/util"}, fine},
		{"others use more", checkLibrary, []string{"gdtls/cmd/gdtls: gdtls/conn github.com/alecthomas/kong"}, fine},
		{"a CLI library", checkLibrary, []string{"gdtls/datagram: github.com/alecthomas/kong"}, "gdtls/datagram must not depend on module github.com/alecthomas/kong"},
		{"a database by a detour", checkLibrary, []string{"gdtls/conn: golang.org/x/net", "golang.org/x/net: example.org/database"}, "gdtls/conn > golang.org/x/net > example.org/database"},
		{"a name that only begins alike", checkLibrary, []string{"gdtls/conn: golang.org/xyz"}, "module golang.org/xyz"},

		{"pion's building blocks", checkForbidden, []string{"gdtls/internal/handshake: github.com/pion/dtls/v2/pkg/crypto/prf"}, fine},
		{"pion's Conn", checkForbidden, []string{"gdtls/cmd/gdtls: github.com/pion/dtls/v2"}, "gdtls/cmd/gdtls > github.com/pion/dtls/v2: pion's Conn"},
		{"pion's Conn by a detour", checkForbidden, []string{"gdtls/cmd/gdtls: example.org/webrtc", "example.org/webrtc: github.com/pion/dtls/v2"}, "gdtls/cmd/gdtls > example.org/webrtc > github.com/pion/dtls/v2"},
		{"pion's Conn, measured", checkForbidden, []string{"gdtls/cmd/gdtls: gdtls/cmd/gdtls/internal/bench", "gdtls/cmd/gdtls/internal/bench: github.com/pion/dtls/v2"}, fine},
		{"pion's Conn, measured and used", checkForbidden, []string{"gdtls/cmd/gdtls: gdtls/cmd/gdtls/internal/bench github.com/pion/dtls/v2", "gdtls/cmd/gdtls/internal/bench: github.com/pion/dtls/v2"}, "gdtls/cmd/gdtls > github.com/pion/dtls/v2: pion's Conn"},
		{"random nonces", checkForbidden, []string{"gdtls/internal/record: github.com/pion/dtls/v2/pkg/crypto/ciphersuite"}, "CVE-2026-26014"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expect(t, test.check(makeGraph(test.lines...)), test.want)
		})
	}
}

func TestNameRules(t *testing.T) {
	tests := []struct {
		name, imports, expr, want string
	}{
		{"a sound codec", `"` + pionHandshake + `"`, "handshake.MessageFinished{}", ""},
		{"our own package", `"gdtls/internal/handshake"`, "handshake.Handshake{}", ""},
		{"the panicking codec", `"` + pionHandshake + `"`, "handshake.MessageServerKeyExchange{}", "CVE-2026-54908"},
		{"under another name", `h "` + pionHandshake + `"`, "new(h.MessageServerKeyExchange)", "h.MessageServerKeyExchange"},
		{"as a method expression", `"` + pionHandshake + `"`, "(*handshake.Handshake).Unmarshal", "handshake.Handshake"},
		{"the record container", `"` + pionRecord + `"`, "new(recordlayer.RecordLayer)", "recordlayer.RecordLayer"},
		{"the record header", `"` + pionRecord + `"`, "recordlayer.Header{}", ""},
		{"without a name", `. "` + pionRecord + `"`, "new(RecordLayer)", "import " + pionRecord + " under a name"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			positions := token.NewFileSet()
			file, err := parser.ParseFile(positions, "x.go", "package x\nimport "+test.imports+"\nvar _ = "+test.expr, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, checkNames(positions, file), test.want)
		})
	}
}
