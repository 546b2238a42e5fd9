package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"strings"
	"time"

	"gdtls/jwtproto"
)

// Of the connection that writes.
const (
	// pageCache is in KiB: a page of the index for each of some thousand groups.
	pageCache = 16 << 10
	// checkpoint is after how many pages of the log they are written to the file.
	checkpoint = 4096
	// firstPause is how long it waits for its turn to write before it asks again; it waits
	// twice as long each time up to maxPause. SQLite's own waiting begins too late.
	firstPause = 100 * time.Microsecond
	maxPause   = 5 * time.Millisecond
)

// writer is the connection that writes, with what it needs again and again.
type writer struct {
	file       *file
	remembered int // tokens of each group
	db         *sql.DB
	conn       *sql.Conn
	opened     []os.FileInfo // the file and its log, by which they are known again

	statements map[*bulk]*[classes]*sql.Stmt
	groups     map[string]*group

	// Of the batch at hand; kept for their room.
	args   []any
	ledger jwtproto.Ledger
}

// connect opens the file to write, which must be one of this version.
func connect(ctx context.Context, f *file, remembered int) (*writer, error) {
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	// A file that was restored may not be in WAL mode.
	db, err := f.database(patience, "journal_mode(WAL)", "synchronous(FULL)", "temp_store(MEMORY)",
		fmt.Sprintf("cache_size(-%d)", pageCache), fmt.Sprintf("wal_autocheckpoint(%d)", checkpoint))
	if err != nil {
		return nil, err
	}
	w := &writer{file: f, remembered: remembered, db: db, statements: map[*bulk]*[classes]*sql.Stmt{}, groups: map[string]*group{}}
	if w.conn, err = db.Conn(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	// The first look at a table opens the log; from then on begin waits.
	for _, statement := range []string{`SELECT count(*) FROM groups`, `PRAGMA busy_timeout = 0`} {
		if _, err := w.conn.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	for _, name := range w.files() {
		info, err := os.Stat(name)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.opened = append(w.opened, info)
	}
	return w, nil
}

func (w *writer) files() []string { return []string{w.file.path, w.file.path + "-wal"} }

// moved reports errMoved if the files are not those that are open any more.
func (w *writer) moved() error {
	for i, name := range w.files() {
		info, err := os.Stat(name)
		if err != nil || !os.SameFile(info, w.opened[i]) {
			return errMoved
		}
	}
	return nil
}

// close closes the connection. One with statements would stay open.
func (w *writer) close() error {
	var errs []error
	for _, of := range w.statements {
		for _, statement := range of {
			if statement != nil {
				errs = append(errs, statement.Close())
			}
		}
	}
	return errors.Join(append(errs, w.conn.Close(), w.db.Close())...)
}

var (
	beginNow = bulk{head: `BEGIN IMMEDIATE`}
	commit   = bulk{head: `COMMIT`}
	rollback = bulk{head: `ROLLBACK`}
)

// begin waits for the turn to write. Nobody else writes until the transaction ends.
func (w *writer) begin(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := w.exec(&beginNow, 1, nil)
		if err == nil || !retriable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// bulk is a statement for many rows at once, as head, row, row and so on, tail.
type bulk struct{ head, row, tail string }

// classes are the sizes of statements, which are powers of two: there are statements for 1
// to 64 rows.
const classes = 7

// statement prepares what takes 1<<class rows.
func (w *writer) statement(b *bulk, class int) (*sql.Stmt, error) {
	of := w.statements[b]
	if of == nil {
		of = new([classes]*sql.Stmt)
		w.statements[b] = of
	}
	if of[class] == nil {
		text := b.head + strings.Repeat(b.row+",", 1<<class-1) + b.row + b.tail
		prepared, err := w.conn.PrepareContext(context.Background(), text)
		if err != nil {
			return nil, err
		}
		of[class] = prepared
	}
	return of[class], nil
}

// exec executes a statement for n rows. row appends the values of each to args; it may be
// nil if there are none.
func (w *writer) exec(b *bulk, n int, row func(args []any, i int) []any) error {
	for done := 0; done < n; {
		class := min(bits.Len(uint(n-done))-1, classes-1)
		statement, err := w.statement(b, class)
		if err != nil {
			return err
		}
		w.args = w.args[:0]
		for range 1 << class {
			if row != nil {
				w.args = row(w.args, done)
			}
			done++
		}
		if _, err := statement.ExecContext(context.Background(), w.args...); err != nil {
			return err
		}
	}
	return nil
}

// query asks for n rows of values, and has each row of the answer scanned. The last one
// may be asked for more than once. row may be nil if there are no values.
func (w *writer) query(b *bulk, n int, row func(args []any, i int) []any, scan func(*sql.Rows) error) error {
	for done := 0; done < n; {
		class := min(bits.Len(uint(n-done-1)), classes-1)
		statement, err := w.statement(b, class)
		if err != nil {
			return err
		}
		w.args = w.args[:0]
		for range 1 << class {
			if row != nil {
				w.args = row(w.args, min(done, n-1))
			}
			done++
		}
		if err := w.scan(statement, scan); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) scan(statement *sql.Stmt, scan func(*sql.Rows) error) error {
	rows, err := statement.QueryContext(context.Background(), w.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
