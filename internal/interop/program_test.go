package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// program is a peer's program of our own, built from source when a test first needs
// it, for this run.
type program struct {
	name  string
	build func(target string) error

	once   sync.Once
	missed error // constant after once
}

// missing tells of a package that is needed to build a program.
type missing struct{ what, why string }

func (m missing) Error() string { return "needs " + m.what + ": " + m.why }

// programs is where they are built; main removes it.
var programs = sync.OnceValue(func() string { return must(os.MkdirTemp("", "gdtls-interop")) })

// path gives the program, and skips the test if it cannot be built here.
func (p *program) path(t *testing.T) string {
	t.Helper()
	target := filepath.Join(programs(), p.name)
	p.once.Do(func() { p.missed = p.build(target) })
	switch p.missed.(type) {
	case nil:
		return target
	case missing:
		t.Skip(p.missed)
	default:
		t.Fatal(p.missed)
	}
	return ""
}

func (p *program) version(t *testing.T) string {
	t.Helper()
	return versionOf(t, p.path(t), "version")
}

// versionOf gives the first line of a program's output.
func versionOf(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	needProgram(t, name)
	out, err := exec.CommandContext(t.Context(), name, arguments...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return firstPart(string(out), "\n")
}

func firstPart(s, separator string) string {
	part, _, _ := strings.Cut(s, separator)
	return part
}

// inC builds a program of testdata around a library, with the flags of its header and
// linker. needed is the Debian package with them, and version how the library's own
// name and version begin: the tests know the habits of that one.
func inC(needed, version, source string, flags func() ([]string, error)) func(string) error {
	return func(target string) error {
		if _, err := exec.LookPath("gcc"); err != nil {
			return missing{"gcc", err.Error()}
		}
		extra, err := flags()
		if err != nil {
			return missing{needed, err.Error()}
		}
		arguments := append([]string{"-O1", "-o", target,
			filepath.Join("testdata", "peer.c"), filepath.Join("testdata", source)}, extra...)
		compile := exec.Command("gcc", arguments...)
		compile.Env = append(os.Environ(), "LC_ALL=C")
		out, err := compile.CombinedOutput()
		switch text := string(out); {
		case err == nil:
		case strings.Contains(text, "No such file or directory") || strings.Contains(text, "cannot find -l"):
			return missing{needed, text}
		case strings.Contains(text, "#error"): // which tells of the wrong version
			return missing{strings.TrimRight(version, "., "), text}
		default:
			return fmt.Errorf("building %s: %v\n%s", source, err, text)
		}
		if out, err = exec.Command(target, "version").CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %v\n%s", target, err, out)
		}
		if !strings.HasPrefix(string(out), version) {
			return missing{strings.TrimRight(version, "., "), "here is " + strings.TrimSpace(string(out))}
		}
		return nil
	}
}

// fixed are flags that are the same everywhere.
func fixed(flags ...string) func() ([]string, error) {
	return func() ([]string, error) { return flags, nil }
}

// fromPkgConfig are flags that pkg-config knows.
func fromPkgConfig(name string) func() ([]string, error) {
	return func() ([]string, error) {
		out, err := exec.Command("pkg-config", "--cflags", "--libs", name).Output()
		return strings.Fields(string(out)), err
	}
}

// inGo builds the program of a nested module. What its module needs is fetched first.
func inGo(folder string) func(string) error {
	return func(target string) error {
		fetch := exec.Command("go", "mod", "download")
		fetch.Dir = folder
		if out, err := fetch.CombinedOutput(); err != nil {
			return missing{"the modules of " + folder, fmt.Sprintf("%v: %s", err, out)}
		}
		build := exec.Command("go", "build", "-buildvcs=false", "-o", target, ".")
		build.Dir = folder
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %v\n%s", folder, err, out)
		}
		return nil
	}
}
