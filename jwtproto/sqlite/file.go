package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver
)

const (
	applicationID = 0x6764746c // as in the first migration

	// patience is how long it may take until the file is not locked, in milliseconds.
	patience = "busy_timeout(5000)"

	maxReaders = 4
	readerIdle = 5 * time.Second

	// migrationTries is how often it is tried to bring a file up to date, since others may
	// do so at the same time.
	migrationTries = 20
	migrationPause = 50 * time.Millisecond
)

//go:embed migrations/*.sql
var migrations embed.FS

// file is where a Store is.
type file struct{ path string }

// newFile makes a path independent of the current folder.
func newFile(path string) (file, error) {
	if path == "" {
		return file{}, errors.New("jwtproto/sqlite: the store needs the name of a file")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return file{}, fmt.Errorf("jwtproto/sqlite: %w", err)
	}
	return file{absolute}, nil
}

// creating is held while a file is made. SQLite's locks belong to the process and end when
// any descriptor of the file is closed, so that nobody else may have it open then.
var creating sync.Mutex

// create makes the file for this user only, if it does not exist. SQLite gives those that
// it puts beside it the same permissions.
func (f file) create() error {
	creating.Lock()
	defer creating.Unlock()
	made, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return made.Close()
}

// database opens the file, which must exist, with pragmas.
func (f file) database(pragmas ...string) (*sql.DB, error) {
	path := filepath.ToSlash(f.path)
	if !strings.HasPrefix(path, "/") { // a drive of Windows
		path = "/" + path
	}
	options := url.Values{"mode": {"rw"}, "_pragma": pragmas, "_dqs": {"0"}, "_defensive": {"1"}, "_error_rc": {"1"}}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}).String())
}

// migrate brings the file up to date, if it is an older one.
func (f file) migrate(ctx context.Context) error {
	for try := 1; ; try++ {
		err := f.check(ctx)
		if errors.Is(err, errOlder) {
			err = f.up(ctx)
		}
		if err == nil || try == migrationTries || !retriable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(migrationPause):
		}
	}
}

// up does the migrations that are left to do.
func (f file) up(ctx context.Context) error {
	db, err := f.database(patience, "journal_mode(WAL)", "synchronous(FULL)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	provider, err := newProvider(db)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		// It may be that somebody else was faster: the next try tells.
		return errors.Join(errOlder, fmt.Errorf("migration %s: %w", partial.Failed.Source.Path, partial.Err))
	}
	return err
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	folder, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, folder, goose.WithDisableGlobalRegistry(true))
}

// Versions that are not this program's.
var (
	errOlder   = errors.New("it was made by an older version of the program, or has never been served from: start the server with it once")
	errForeign = errors.New("it is a SQLite database of another program")
)

// check tells whether the file is of this version of the program; errOlder if it is of an
// older one, or empty. It changes nothing.
func (f file) check(ctx context.Context) error {
	db, err := f.database(patience, "query_only(1)")
	if err != nil {
		return err
	}
	defer db.Close()
	var id, foreign, versioned int
	// In one statement, as somebody else may be making the tables.
	err = db.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		count(*) FILTER (WHERE name NOT IN ('goose_db_version', 'sqlite_sequence')), count(*) FILTER (WHERE name = 'goose_db_version')
		FROM sqlite_schema WHERE type = 'table'`).Scan(&id, &foreign, &versioned)
	switch {
	case err != nil:
		return err
	case id != applicationID && (id != 0 || foreign > 0):
		return errForeign
	case versioned == 0:
		return errOlder
	}
	provider, err := newProvider(db)
	if err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	switch {
	case err != nil:
		return err
	case current > target:
		return fmt.Errorf("it was made by a newer version of the program (its schema has number %d, this program knows %d): use that one", current, target)
	case current < target:
		return errOlder
	}
	return nil
}
