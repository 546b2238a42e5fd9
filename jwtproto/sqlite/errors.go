package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"gdtls/jwtproto"
)

// errMoved: what is written would be lost with the open file.
var errMoved = errors.New("it was removed or replaced while it was in use: put it back, and nothing else")

// code is SQLite's primary result code of an error, 0 if it is none of SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// retriable reports whether somebody else may be what an error came from.
func retriable(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	return errors.Is(err, errOlder)
}

// explain says which file an error is about, and what can be done.
func (f file) explain(what string, err error) error {
	switch {
	case errors.Is(err, jwtproto.ErrStoreClosed), errors.Is(err, errReadOnly):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("jwtproto/sqlite: %s %s: %w", what, f.path, err)
	}
	advice := ""
	switch code(err) {
	case sqlite3.SQLITE_FULL:
		advice = "the disk is full: make room, and it goes on"
	case sqlite3.SQLITE_NOTADB:
		advice = "it is no SQLite database: choose another file"
	case sqlite3.SQLITE_CORRUPT:
		advice = "it is damaged: restore a copy, or save what sqlite3's .recover finds"
	case sqlite3.SQLITE_READONLY:
		advice = "it or its folder is read-only: the user of the server must be able to write both"
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		advice = "it or a file beside it (-wal, -shm) cannot be opened: the user of the server must be able to read and write them and their folder"
	case sqlite3.SQLITE_IOERR:
		advice = "the disk fails, or is full"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		advice = "another program holds it locked"
	}
	if errors.Is(err, fs.ErrNotExist) {
		advice = "there is no such file or folder"
	}
	if advice == "" {
		return fmt.Errorf("jwtproto/sqlite: %s %s: %w", what, f.path, err)
	}
	return fmt.Errorf("jwtproto/sqlite: %s %s: %s: %w", what, f.path, advice, err)
}
