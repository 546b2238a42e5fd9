// Package sqlite keeps what a jwtproto.Server has to remember in one SQLite file.
//
// What Apply has returned for is on the disk: the file is in WAL mode and synced at each
// commit, so that neither a crash of the program nor of the machine takes it back. Several
// Stores, in one program or in several, may have the same file open; they take turns to
// write, and readers never wait for writers. The file must be on a disk of this machine,
// since file locks and shared memory do not work over a network.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"gdtls/jwtproto"
)

// How many rows of its history a group keeps.
const (
	DefaultRows = 1_000_000
	MinRows     = remembered // the tokens of so many are known, and their rows are needed
)

// Store is a jwtproto.Store in a file. Safe for concurrent use.
type Store struct {
	// Constant.
	file       file
	keep       int64 // rows of each group
	remembered int   // tokens of each group
	readOnly   bool
	readers    *sql.DB

	closed atomic.Bool // set while mu is held; readers do not wait for a batch
	mu     sync.Mutex  // guards the rest; held while a batch is kept
	writer *writer     // nil: to be connected when it is needed
}

var _ jwtproto.Store = (*Store)(nil)

// An Option changes how Open opens a Store.
type Option func(*Store)

// WithRows says how many rows of its history each group keeps, DefaultRows otherwise, and
// at least MinRows. Some more may be there.
func WithRows(n int) Option { return func(s *Store) { s.keep = int64(max(n, MinRows)) } }

// ReadOnly opens a file that must exist, changes nothing in it, and has Apply fail.
func ReadOnly() Option { return func(s *Store) { s.readOnly = true } }

// Open opens the file of a Store, which it makes, readable for the user only, if it does
// not exist. A file of an older version is brought up to date; one of a newer version is
// refused. So is a SQLite database that another program made.
func Open(ctx context.Context, path string, options ...Option) (*Store, error) {
	s := &Store{keep: DefaultRows, remembered: remembered}
	for _, option := range options {
		option(s)
	}
	var err error
	if s.file, err = newFile(path); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, s.file.explain("cannot open", err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.readOnly {
		err = s.file.check(ctx)
	} else if err = s.file.create(); err == nil {
		err = s.file.migrate(ctx)
	}
	if err != nil {
		return err
	}
	if s.readers, err = s.file.database(patience, "query_only(1)"); err != nil {
		return err
	}
	s.readers.SetMaxOpenConns(maxReaders)
	s.readers.SetMaxIdleConns(maxReaders)
	s.readers.SetConnMaxIdleTime(readerIdle)
	if !s.readOnly {
		if s.writer, err = connect(ctx, &s.file, s.remembered); err != nil {
			return errors.Join(err, s.readers.Close())
		}
	}
	return nil
}

// Close ends the use of the file. The last one to close it leaves one file, without a log
// beside it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	var writing error
	if s.writer != nil {
		writing = s.writer.close()
		s.writer = nil
	}
	if err := errors.Join(writing, s.readers.Close()); err != nil {
		return s.file.explain("cannot close", err)
	}
	return nil
}

// read has something read in a transaction of its own, so that it sees one state of all.
func (s *Store) read(ctx context.Context, what string, do func(*sql.Tx) error) error {
	if s.closed.Load() {
		return jwtproto.ErrStoreClosed
	}
	err := func() error {
		tx, err := s.readers.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // nothing was written
		return do(tx)
	}()
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		return jwtproto.ErrStoreClosed
	}
	return s.file.explain("cannot read "+what+"from", err)
}

// errReadOnly is Apply's after ReadOnly.
var errReadOnly = fmt.Errorf("jwtproto/sqlite: the store was opened to be read only")
