package archtest

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systems are those whose builds are checked: files for one system only may
// import something too.
var systems = []string{"linux", "windows", "darwin", "freebsd"}

// load lists the module's packages and all they depend on in a build for goos.
func load(t *testing.T, goos string) graph {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-json=ImportPath,Standard,Module,GoFiles,Imports", module+"/...")
	list.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list for %s: %v\n%s", goos, err, exit.Stderr)
		}
		t.Fatalf("go list for %s: %v", goos, err)
	}
	g := graph{}
	for packages := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(goPackage)
		if err := packages.Decode(p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatalf("reading go list for %s: %v", goos, err)
		}
		g[p.ImportPath] = p
	}
}

func TestImports(t *testing.T) {
	for _, goos := range systems {
		t.Run(goos, func(t *testing.T) {
			g := load(t, goos)
			for _, check := range []func(graph) []string{checkLayers, checkLibrary, checkForbidden} {
				for _, fault := range check(g) {
					t.Error(fault)
				}
			}
		})
	}
}

// TestNames reads every source file of the module, whatever system it is for.
func TestNames(t *testing.T) {
	const root = "../.."
	positions := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || name == root:
			return err
		case entry.IsDir():
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if nested := err == nil; nested || entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		case filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(positions, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, fault := range checkNames(positions, file) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
