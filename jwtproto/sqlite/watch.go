package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gdtls/jwtproto"
)

// watchInterval is how often the file is looked at for what others have changed.
const watchInterval = time.Second

// watch calls changed at once, and whenever a query for a number gives another one, until
// ctx ends or the Store is closed.
func (s *Store) watch(ctx context.Context, query string, changed func()) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	known := int64(-1)
	for {
		var n int64
		err := s.read(ctx, "changes ", func(tx *sql.Tx) error { return tx.QueryRowContext(ctx, query).Scan(&n) })
		switch {
		case errors.Is(err, jwtproto.ErrStoreClosed):
			return err
		case err != nil:
			known = -1 // it may be another file when it can be read again
		case n != known:
			known = n
			changed()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
