package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gdtls/jwtproto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened opens a Store that the test closes.
func opened(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// numbered is a batch of one move with a token, different for each n.
func numbered(n int) *jwtproto.Batch {
	id := jwtproto.RequestID{byte(n), byte(n >> 8), 1}
	now := time.Unix(1_800_000_000, 0)
	return &jwtproto.Batch{Moves: []jwtproto.Move{{
		Time: now, Group: "REDS", Registration: 1, Number: n % 7, ID: id, Token: jwtproto.TokenID(id[:16]), Expires: now.Add(time.Minute),
	}}}
}

// keep applies a batch that must be kept.
func keep(t *testing.T, s *Store, n int) {
	t.Helper()
	if _, err := s.Apply(t.Context(), jwtproto.Rules{}, numbered(n)); err != nil {
		t.Fatal(err)
	}
}

// fails applies a batch that must not be kept, for a reason.
func fails(t *testing.T, s *Store, n int, why string) {
	t.Helper()
	outcomes, err := s.Apply(t.Context(), jwtproto.Rules{}, numbered(n))
	if err == nil || outcomes != nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), s.file.path) {
		t.Fatalf("outcomes %v, error %v, want one with %q and the file's name", outcomes, err, why)
	}
}

// length is how many rows there are, without gaps.
func length(t *testing.T, s *Store) int {
	t.Helper()
	rows, err := s.History(t.Context(), "REDS", 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if row.Seq != uint64(i+1) {
			t.Fatalf("row %d has number %d", i, row.Seq)
		}
	}
	return len(rows)
}

// change opens a file as any program may, and executes statements.
func change(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// What cannot be opened is refused with the cause and what can be done, and not changed.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(file("text"), []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	change(t, file("foreign"), `CREATE TABLE bookmarks (url TEXT)`)
	change(t, file("labelled"), `PRAGMA application_id = 7`)
	for _, name := range []string{"newer", "older"} {
		s, err := Open(t.Context(), file(name))
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	change(t, file("newer"), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	change(t, file("older"), `DELETE FROM goose_db_version WHERE version_id > 0`)
	if err := os.WriteFile(file("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		options []Option
		want    string
	}{
		{"text", nil, "no SQLite database"},
		{"foreign", nil, "another program"},
		{"labelled", nil, "another program"},
		{"newer", nil, "newer version of the program (its schema has number 999"},
		{"newer", []Option{ReadOnly()}, "newer version"},
		{"older", []Option{ReadOnly()}, "older version"},
		{"empty", []Option{ReadOnly()}, "older version"},
		{"missing", []Option{ReadOnly()}, "cannot be opened"},
		{"none/file", nil, "no such file or folder"},
		{".", nil, "cannot be opened"},
	} {
		before, _ := os.ReadFile(file(test.name))
		s, err := Open(t.Context(), file(test.name), test.options...)
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", test.name)
			continue
		}
		if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), file(test.name)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		if after, _ := os.ReadFile(file(test.name)); test.name != "older" && string(before) != string(after) {
			t.Errorf("%s was changed", test.name)
		}
	}
	if _, err := Open(t.Context(), ""); err == nil {
		t.Error("opened a file without a name")
	}
	if _, err := os.Stat(file("missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("to read made the file: %v", err)
	}
}

// Files are for one user only, and any name will do.
func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%20?#é&_pragma=x.sqlite")
	s := opened(t, path)
	keep(t, s, 0)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, strings.TrimPrefix(entry.Name(), filepath.Base(path)))
		if info, err := entry.Info(); runtime.GOOS != "windows" && (err != nil || info.Mode() != 0o600) {
			t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if got := strings.Join(names, " "); got != " -shm -wal" {
		t.Errorf("the files are %q", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if entries, err = os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("after Close there are %v, %v", entries, err)
	}
}

// Many may open a new file at once: one of them makes the tables.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gdtls.sqlite")
	var opening sync.WaitGroup
	for i := range 6 {
		opening.Go(func() {
			s, err := Open(context.Background(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.Apply(context.Background(), jwtproto.Rules{}, numbered(i)); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
	if n := length(t, opened(t, path)); n != 6 {
		t.Errorf("%d rows", n)
	}
}

// While somebody else writes, a batch waits as long as its context allows.
func TestTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gdtls.sqlite")
	s := opened(t, path)
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.Exec(`BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Apply(short, jwtproto.Rules{}, numbered(0)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	kept := make(chan error, 1)
	go func() {
		_, err := s.Apply(context.Background(), jwtproto.Rules{}, numbered(0))
		kept <- err
	}()
	for s.mu.TryLock() { // until the batch waits
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	for s.mu.TryLock() { // until it waits
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	if n := length(t, s); n != 0 { // a reader does not wait
		t.Errorf("%d rows", n)
	}
	if _, err := other.Exec(`ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := <-kept; err != nil {
		t.Error(err)
	}
}

// A store that may only be read tells all, and keeps nothing.
func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gdtls.sqlite")
	keep(t, opened(t, path), 0)
	s, err := Open(t.Context(), path, ReadOnly())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := length(t, s); n != 1 {
		t.Errorf("%d rows", n)
	}
	if _, err := s.Apply(t.Context(), jwtproto.Rules{}, numbered(1)); err == nil {
		t.Error("kept a batch")
	}
	if _, err := s.readers.Exec(`DELETE FROM history`); code(err) == 0 {
		t.Errorf("a reader deletes: %v", err)
	} else if told := s.file.explain("cannot write to", err); !strings.Contains(told.Error(), "read-only") {
		t.Errorf("told %v", told)
	}
}

// On a full disk nothing is kept, and all is well when there is room again.
func TestDiskFull(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "gdtls.sqlite"))
	keep(t, s, 0)
	// Of this connection only; the next one, after the error, has room.
	if _, err := s.writer.conn.ExecContext(t.Context(), `PRAGMA max_page_count = 1`); err != nil {
		t.Fatal(err)
	}
	kept := 1
	var err error
	for err == nil {
		if _, err = s.Apply(t.Context(), jwtproto.Rules{}, numbered(kept)); err == nil {
			kept++
		}
	}
	if !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("error %v", err)
	}
	if n := length(t, s); n != kept {
		t.Errorf("%d rows, and %d were acknowledged", n, kept)
	}
	for range 10 {
		keep(t, s, kept)
		kept++
	}
	if n := length(t, s); n != kept {
		t.Errorf("%d rows, and %d were acknowledged", n, kept)
	}
}

// A file that is removed or replaced takes no more batches, until it is back.
func TestMoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be moved on Windows")
	}
	dir := t.TempDir()
	path, away := filepath.Join(dir, "gdtls.sqlite"), filepath.Join(dir, "away")
	s := opened(t, path)
	keep(t, s, 0)
	move := func(from, to string) {
		t.Helper()
		for _, more := range []string{"", "-wal", "-shm"} {
			if err := os.Rename(from+more, to+more); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	move(path, away)
	fails(t, s, 1, "removed or replaced")
	fails(t, s, 1, "cannot be opened")
	move(away, path)
	keep(t, s, 1)
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	fails(t, s, 2, "removed or replaced")
	keep(t, s, 3)
	// Somebody else's file in its place is not written to.
	for _, more := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + more); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	change(t, path, `CREATE TABLE bookmarks (url TEXT)`)
	fails(t, s, 4, "removed or replaced")
	fails(t, s, 4, "another program")
	fails(t, s, 4, "another program")
}

// Whatever the machine still had to write when it lost power is lost, and nothing that was
// acknowledged before: a copy of the files with the log cut off anywhere behind what was
// there at an acknowledgement has that, and what it has is whole.
func TestPowerLoss(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gdtls.sqlite")
	s := opened(t, path)
	acknowledged := map[int64]int{} // rows, by the size of the log
	var sizes []int64
	for n := range 12 {
		keep(t, s, n)
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		acknowledged[info.Size()] = n + 1
		sizes = append(sizes, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for i, size := range sizes[:len(sizes)-1] {
		for _, cut := range []int64{0, 1, (sizes[i+1] - size) / 2, sizes[i+1] - size - 1} {
			copied := filepath.Join(dir, fmt.Sprint("copy", i, "-", cut))
			if err := errors.Join(os.WriteFile(copied, data, 0o600), os.WriteFile(copied+"-wal", log[:size+cut], 0o600)); err != nil {
				t.Fatal(err)
			}
			again := opened(t, copied)
			if n := length(t, again); n != acknowledged[size] {
				t.Errorf("%d bytes after %d rows: %d rows are there", cut, acknowledged[size], n)
			}
			keep(t, again, 100)
		}
	}
}

// A copy that was made beside a running server is a Store of that moment.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "gdtls.sqlite"), filepath.Join(dir, "copy.sqlite")
	s := opened(t, path)
	for n := range 5 {
		keep(t, s, n)
	}
	change(t, path, `VACUUM INTO '`+copied+`'`)
	keep(t, s, 5)
	again := opened(t, copied)
	if n := length(t, again); n != 5 {
		t.Errorf("%d rows in the copy", n)
	}
	keep(t, again, 4) // comes again
	keep(t, again, 6)
	if n := length(t, again); n != 6 {
		t.Errorf("%d rows in the copy", n)
	}
	if n := length(t, s); n != 6 {
		t.Errorf("%d rows in the file", n)
	}
}
