package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// gioPackages are those whose names docs/gio.md and docs/qt.md may use, by their folders.
var gioPackages = map[string]string{
	"datagram": "datagram", "conn": "conn", "clientconn": "clientconn", "serverconn": "serverconn", "interop": "internal/interop",
}

// symbols are the exported names of packages, such as "conn.TlsCertificate.Verify":
// functions, types, methods, fields and methods of interfaces, constants, variables
// and, among the functions, the tests.
type symbols map[string]bool

// add notes the symbols of a package's source files, those of tests included.
func (s symbols) add(name, folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no Go files in %s: %v", folder, err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			s.declaration(name, declaration)
		}
	}
	return nil
}

func (s symbols) declaration(name string, declaration ast.Decl) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			s[name+"."+d.Name.Name] = true
			return
		}
		receiver := d.Recv.List[0].Type
		if pointer, ok := receiver.(*ast.StarExpr); ok {
			receiver = pointer.X
		}
		if typ, ok := receiver.(*ast.Ident); ok {
			s[name+"."+typ.Name+"."+d.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, ident := range spec.Names {
					s[name+"."+ident.Name] = true
				}
			case *ast.TypeSpec:
				s[name+"."+spec.Name.Name] = true
				var members *ast.FieldList
				switch typ := spec.Type.(type) {
				case *ast.StructType:
					members = typ.Fields
				case *ast.InterfaceType:
					members = typ.Methods
				default:
					continue
				}
				for _, member := range members.List {
					for _, ident := range member.Names {
						s[name+"."+spec.Name.Name+"."+ident.Name] = true
					}
				}
			}
		}
	}
}

var (
	tableRow   = regexp.MustCompile(`(?m)^\| ([A-Z]\d{3})? *\|(.*)\|(.*)\|(.*)\|$`)
	quotedName = regexp.MustCompile("`((?:datagram|conn|clientconn|serverconn|interop)\\.[A-Za-z0-9.]+)`")
)

// checkTable finds what is wrong with the table of a page whose rows are numbered
// behind a letter: rows that are missing, twice there or without a test or a reason,
// and names of nothing.
func checkTable(text, letter string, rows int, known symbols) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	seen := map[string]int{}
	last := ""
	for _, cells := range tableRow.FindAllStringSubmatch(text, -1) {
		if strings.TrimSpace(cells[4]) == "Test" {
			continue // the heading
		}
		if cells[1] != "" {
			last = cells[1]
			seen[last]++
		}
		tests := quotedName.FindAllStringSubmatch(cells[4], -1)
		if len(tests) == 0 && !strings.Contains(cells[3], "**Difference**") {
			fault("%s has neither a test nor a reason for a difference", last)
		}
		for _, name := range tests {
			if _, function, _ := strings.Cut(name[1], "."); !strings.HasPrefix(function, "Test") {
				fault("%s: %s is no test", last, name[1])
			}
		}
		for _, name := range slices.Concat(tests, quotedName.FindAllStringSubmatch(cells[3], -1)) {
			if !known[name[1]] {
				fault("%s: there is no %s", last, name[1])
			}
		}
	}
	for i := range rows {
		row := fmt.Sprintf("%s%03d", letter, i+1)
		if seen[row] != 1 {
			fault("%s is there %d times", row, seen[row])
		}
		delete(seen, row)
	}
	for row := range seen {
		fault("there should be no %s", row)
	}
	return faults
}

// TestGioTable reads docs/gio.md.
func TestGioTable(t *testing.T) { readTable(t, "gio.md", "G", 219) }

// TestQtTable reads docs/qt.md.
func TestQtTable(t *testing.T) { readTable(t, "qt.md", "Q", 43) }

func readTable(t *testing.T, page, letter string, rows int) {
	t.Helper()
	const top = "../.."
	known := symbols{}
	for name, folder := range gioPackages {
		if err := known.add(name, filepath.Join(top, folder)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(top, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range checkTable(string(text), letter, rows, known) {
		t.Error(fault)
	}
}

// TestGioTableCheck shows that the check of the table finds faults.
func TestGioTableCheck(t *testing.T) {
	known := symbols{"conn.T": true, "conn.T.M": true, "conn.TestT": true}
	const good = "| G001 | x | `conn.T.M` | `conn.TestT` |\n| | more | | `conn.TestT` |\n| G002 | x | **Difference**: why | |\n"
	for name, test := range map[string]struct{ text, want string }{
		"good":          {good, ""},
		"missing":       {strings.Replace(good, "G002", "G001", 1), "G002 is there 0 times"},
		"twice":         {good + good, "G001 is there 2 times"},
		"too many":      {good + "| G003 | x | | `conn.TestT` |\n", "there should be no G003"},
		"no test":       {strings.Replace(good, "**Difference**", "same", 1), "G002 has neither a test nor a reason"},
		"no symbol":     {strings.Replace(good, "T.M", "T.N", 1), "G001: there is no conn.T.N"},
		"no such test":  {strings.Replace(good, "conn.TestT`", "conn.TestU`", 1), "G001: there is no conn.TestU"},
		"is not a test": {strings.Replace(good, "conn.TestT`", "conn.T`", 1), "G001: conn.T is no test"},
	} {
		faults := strings.Join(checkTable(test.text, "G", 2, known), "\n")
		if (faults == "") != (test.want == "") || !strings.Contains(faults, test.want) {
			t.Errorf("%s: faults are %q, want %q", name, faults, test.want)
		}
	}
}
