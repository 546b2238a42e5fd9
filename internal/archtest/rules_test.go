// Package archtest holds the rules about who may import whom, as tests.
package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	module = "gdtls"

	pionModule    = "github.com/pion/dtls/v2"
	pionHandshake = pionModule + "/pkg/protocol/handshake"
	pionRecord    = pionModule + "/pkg/protocol/recordlayer"
)

// A layer is a package of the module, or with "/..." at its end a package and
// everything below it.
type layer struct {
	path string
	// blind lists layers further down that this one must not import either.
	blind []string
}

// layers lists the packages from the top of the house to its ground. An import
// may only point down the list. A package that only tests use stands at the
// top, where no product code can reach it.
var layers = []layer{
	{path: "cmd/..."},
	{path: "wsserver", blind: []string{"jwtproto"}},
	{path: "jwtproto/storetest"},
	{path: "jwtproto/postgres/pgtest"},
	{path: "jwtproto/sqlite"},
	{path: "jwtproto/postgres"},
	{path: "jwtproto"},
	{path: "serverconn"},
	{path: "clientconn"},
	{path: "conn"},
	{path: "datagram", blind: []string{"internal/handshake", "internal/record"}},
	{path: "internal/handshake"},
	{path: "internal/record"},
	{path: "internal/signal"},
	{path: "internal/ratelimit"},
}

// library lists the packages that other programs import. They must not bring
// along more than the modules of libraryModules.
var (
	library        = []string{"conn", "clientconn", "serverconn", "datagram"}
	libraryModules = []string{module, pionModule, "golang.org/x/...", "software.sslmate.com/src/go-pkcs12"}
)

// forbiddenPackages must not be reached by any product code.
var forbiddenPackages = map[string]string{
	pionModule:                             "pion's Conn is a peer in tests, never a part of the product",
	pionModule + "/pkg/crypto/ciphersuite": "its AEADs draw random nonces (CVE-2026-26014); use gdtls/internal/record",
}

// benchmark is the one package that may reach forbidden packages: it measures pion's
// Conn, cipher suites and all, beside ours, with itself as peer over loopback.
const benchmark = module + "/cmd/gdtls/internal/bench"

// forbiddenNames must not be mentioned by any product code. The two containers
// are listed as types because their Unmarshal can also be called through
// pion's interfaces.
var forbiddenNames = map[string]map[string]string{
	pionHandshake: {
		"MessageServerKeyExchange": "its Unmarshal panics on a short message (CVE-2026-54908)",
		"Handshake":                "its Unmarshal reads a ServerKeyExchange (CVE-2026-54908)",
	},
	pionRecord: {
		"RecordLayer": "its Unmarshal reads a ServerKeyExchange (CVE-2026-54908)",
	},
}

// A goPackage is what the rules need of one entry of "go list -json".
type goPackage struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
	GoFiles    []string
	Imports    []string
}

// A graph holds the packages of a build and their non-test imports, by import
// path.
type graph map[string]*goPackage

// product returns the module's packages that have code outside of tests, in
// order.
func (g graph) product() []*goPackage {
	var found []*goPackage
	for _, name := range slices.Sorted(maps.Keys(g)) {
		p := g[name]
		if p.Module != nil && p.Module.Path == module && len(p.GoFiles) > 0 {
			found = append(found, p)
		}
	}
	return found
}

// reach returns every package that from needs, each with the shortest chain of
// imports that leads to it. What only the package except needs is left out, if it
// is not empty.
func (g graph) reach(from, except string) map[string][]string {
	chains := map[string][]string{from: {from}}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		p, listed := g[queue[0]]
		if !listed || p.ImportPath == except {
			continue
		}
		for _, next := range p.Imports {
			if _, seen := chains[next]; !seen {
				chains[next] = append(slices.Clone(chains[queue[0]]), next)
				queue = append(queue, next)
			}
		}
	}
	return chains
}

// matches reports whether name is what pattern names, or lies below it if
// pattern ends in "/...".
func matches(pattern, name string) bool {
	prefix, tree := strings.CutSuffix(pattern, "/...")
	return name == prefix || tree && strings.HasPrefix(name, prefix+"/")
}

// layerOf returns the index of the layer of a package of the module, or -1.
func layerOf(importPath string) int {
	name := strings.TrimPrefix(importPath, module+"/")
	return slices.IndexFunc(layers, func(l layer) bool { return matches(l.path, name) })
}

// checkLayers finds the imports that do not point down the list of layers, and
// the packages that stand in no layer.
func checkLayers(g graph) (faults []string) {
	for _, p := range g.product() {
		own := layerOf(p.ImportPath)
		if own < 0 {
			faults = append(faults, fmt.Sprintf("%s is in no layer: add it to layers in internal/archtest/rules_test.go, below the packages that import it and above those that it imports", p.ImportPath))
			continue
		}
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module+"/") {
				continue
			}
			other := layerOf(imported)
			switch {
			case other < 0:
				// Reported for the imported package itself.
			case other < own || other == own && !strings.HasSuffix(layers[own].path, "/..."):
				faults = append(faults, fmt.Sprintf("%s imports %s, which stands above it", p.ImportPath, imported))
			case slices.Contains(layers[own].blind, layers[other].path):
				faults = append(faults, fmt.Sprintf("%s imports %s, of which it must not know", p.ImportPath, imported))
			}
		}
	}
	return faults
}

// checkLibrary finds the modules that the library would bring into a program
// beyond those it may depend on.
func checkLibrary(g graph) (faults []string) {
	for _, name := range library {
		chains := g.reach(module+"/"+name, "")
		for _, needed := range slices.Sorted(maps.Keys(chains)) {
			p, listed := g[needed]
			if !listed || p.Standard || p.Module == nil {
				continue
			}
			if !slices.ContainsFunc(libraryModules, func(m string) bool { return matches(m, p.Module.Path) }) {
				faults = append(faults, fmt.Sprintf("%s/%s must not depend on module %s: %s", module, name, p.Module.Path, strings.Join(chains[needed], " > ")))
			}
		}
	}
	return faults
}

// checkForbidden finds the chains of imports by which product code reaches a
// forbidden package otherwise than through the benchmark.
func checkForbidden(g graph) (faults []string) {
	for _, p := range g.product() {
		chains := g.reach(p.ImportPath, benchmark)
		for _, name := range slices.Sorted(maps.Keys(forbiddenPackages)) {
			if chain, reached := chains[name]; reached {
				faults = append(faults, fmt.Sprintf("%s: %s", strings.Join(chain, " > "), forbiddenPackages[name]))
			}
		}
	}
	return faults
}

// checkNames finds the forbidden names that a file mentions.
func checkNames(positions *token.FileSet, file *ast.File) (faults []string) {
	imported := map[string]string{} // local name to import path
	for _, spec := range file.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil || forbiddenNames[importPath] == nil {
			continue
		}
		switch {
		case spec.Name == nil:
			imported[path.Base(importPath)] = importPath
		case spec.Name.Name == ".":
			faults = append(faults, fmt.Sprintf("%s: import %s under a name, so that its uses can be checked", positions.Position(spec.Pos()), importPath))
		default:
			imported[spec.Name.Name] = importPath
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if qualifier, ok := selector.X.(*ast.Ident); ok {
			if why := forbiddenNames[imported[qualifier.Name]][selector.Sel.Name]; why != "" {
				faults = append(faults, fmt.Sprintf("%s: %s.%s: %s", positions.Position(n.Pos()), qualifier.Name, selector.Sel.Name, why))
			}
		}
		return true
	})
	return faults
}
