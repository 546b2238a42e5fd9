package sqlite

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"gdtls/jwtproto"
)

// When the disk takes no more, nothing is acknowledged, and all goes on when it does.
func TestWriteFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gdtls.sqlite")
	s := opened(t, path)
	keep(t, s, 0)
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var free syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &free); err != nil {
		t.Fatal(err)
	}
	full := free
	full.Cur = uint64(info.Size()) + 1000 // in the middle of a page
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	_, err = s.Apply(t.Context(), jwtproto.Rules{}, numbered(1))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &free); err != nil {
		t.Fatal(err)
	}
	if code(err) == 0 {
		t.Fatalf("kept more than there is room for: %v", err)
	}
	if n := length(t, s); n != 1 {
		t.Errorf("%d rows", n)
	}
	keep(t, s, 1)
	if n := length(t, s); n != 2 {
		t.Errorf("%d rows", n)
	}
}
