// Package postgres keeps what a jwtproto.Server must not forget in PostgreSQL, so that
// several servers can share it: any of them answers any request, and none contradicts
// another.
//
// # What holds
//
// A batch is one transaction, which holds the rows of its groups. So two servers that have
// requests of one group take turns, and those of different groups go side by side. Apply
// returns when the database has said that the transaction is durable, as far as the
// database's own settings go; synchronous_commit is turned on if it is off.
//
// While the database cannot be reached Apply fails, at once if nobody listens there and
// when its context ends otherwise, and works again as soon as the database does. The Store
// need not be opened again.
//
// # What it needs
//
// PostgreSQL 14 or newer, with a database in UTF-8 whose owner the user is, or with a
// schema named gdtls whose owner the user is. All tables are in that schema. A connection
// pooler between may share sessions, but not transactions.
package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"gdtls/jwtproto"
)

// DefaultRows is how many rows of each group's history are kept at least.
const DefaultRows = 1_000_000

// A Store is a jwtproto.Store in a database. Open makes it.
type Store struct {
	// Constant.
	pool     *pgxpool.Pool
	node     string        // tells this Store from all others
	rows     uint64        // of each group that are kept
	events   bool          // others are told of new rows
	patience time.Duration // of listeners

	life context.Context // ends with Close
	end  context.CancelFunc
}

var _ jwtproto.Store = (*Store)(nil)

// An Option changes what Open makes.
type Option func(*Store)

// WithRows sets how many rows of each group's history are kept at least; 0 and less mean
// DefaultRows. Rows whose token has not expired are kept longer.
func WithRows(rows int) Option {
	return func(s *Store) {
		if rows > 0 {
			s.rows = uint64(rows)
		}
	}
}

// Open connects to the database at an address such as
// postgres://user:password@host/database, as libpq takes it, and brings its tables up to
// date. What the address leaves out comes from libpq's environment variables. It is an
// error if the tables are of a newer program.
func Open(ctx context.Context, address string, options ...Option) (*Store, error) {
	config, err := configure(address)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, config.ConnConfig.Copy()); err != nil {
		return nil, explain("cannot use the database", err)
	}
	s := &Store{node: newNode(), rows: DefaultRows, patience: listenerPatience}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	for _, option := range options {
		option(s)
	}
	limit(config.ConnConfig)
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		s.end()
		return nil, explain("cannot use the database", err)
	}
	return s, nil
}

func newNode() string {
	var random [8]byte
	rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// Close ends the use of the Store, and waits for what is under way. Who watches or listens
// gets jwtproto.ErrStoreClosed.
func (s *Store) Close() error {
	s.end()
	s.pool.Close()
	return nil
}

// Status reports about all groups, as of one moment.
func (s *Store) Status(ctx context.Context) ([]jwtproto.GroupStatus, error) {
	all, err := s.status(ctx)
	return all, s.explain("cannot read the groups", err)
}

// History gives rows of a group, as jwtproto.Store says.
func (s *Store) History(ctx context.Context, group string, after uint64, limit int) ([]jwtproto.Row, error) {
	rows, err := s.history(ctx, group, after, limit)
	return rows, s.explain("cannot read the history", err)
}

// explain makes an error tell what could not be done; nil stays nil.
func (s *Store) explain(what string, err error) error {
	if err != nil && s.life.Err() != nil {
		return jwtproto.ErrStoreClosed
	}
	return explain(what, err)
}

// earliest and latest bound the times that are kept. Requests may tell any.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
)

// bounded gives a time as it is kept: zero is NULL.
func bounded(t time.Time) *time.Time {
	switch {
	case t.IsZero():
		return nil
	case t.Before(earliest):
		t = earliest.Add(time.Microsecond)
	case t.After(latest):
		t = latest
	}
	return &t
}

// instant gives a time that was kept.
func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
