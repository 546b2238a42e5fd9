package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// clockLeeway is how far the clocks of those may differ who ask what was revoked.
const clockLeeway = time.Minute

// PasswordHash gives the hash of an account's password, empty if there is no such
// account.
func (s *Store) PasswordHash(ctx context.Context, name string) (hash string, err error) {
	err = s.read(ctx, "the account ", func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT hash FROM accounts WHERE name = ?`, name).Scan(&hash)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return hash, err
}

// SetPasswordHash adds an account, or changes the hash of its password. What they are like
// is checked by the caller.
func (s *Store) SetPasswordHash(ctx context.Context, name, hash string) error {
	return s.write(ctx, func(w *writer) error {
		_, err := w.conn.ExecContext(context.WithoutCancel(ctx), `INSERT INTO accounts (name, hash) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET hash = excluded.hash`, name, hash)
		return err
	})
}

// RemoveAccount takes an account away, and reports whether there was one.
func (s *Store) RemoveAccount(ctx context.Context, name string) (there bool, err error) {
	err = s.write(ctx, func(w *writer) error {
		result, err := w.conn.ExecContext(context.WithoutCancel(ctx), `DELETE FROM accounts WHERE name = ?`, name)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		there = n > 0
		return err
	})
	return there && err == nil, err
}

// Accounts gives the names of all accounts, in order.
func (s *Store) Accounts(ctx context.Context) (names []string, err error) {
	err = s.read(ctx, "the accounts ", func(tx *sql.Tx) error {
		return each(ctx, tx, `SELECT name FROM accounts ORDER BY name`, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			names = append(names, name)
			return err
		})
	})
	return names, err
}

// Revoke keeps that a login is worth nothing any more, until a time. Those whose time is
// over are forgotten.
func (s *Store) Revoke(ctx context.Context, loginID string, until time.Time) error {
	return s.write(ctx, func(w *writer) error {
		ctx := context.WithoutCancel(ctx)
		if _, err := w.conn.ExecContext(ctx, `DELETE FROM revocations WHERE until < ?`, time.Now().Add(-clockLeeway).UnixMicro()); err != nil {
			return err
		}
		_, err := w.conn.ExecContext(ctx, `INSERT INTO revocations (login, until) VALUES (?, ?) ON CONFLICT DO NOTHING`, loginID, until.UnixMicro())
		return err
	})
}

// Revoked gives the logins that were revoked and whose time is not over.
func (s *Store) Revoked(ctx context.Context) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	err := s.read(ctx, "the revoked logins ", func(tx *sql.Tx) error {
		return each(ctx, tx, `SELECT login, until FROM revocations WHERE until > ?`, func(rows *sql.Rows) error {
			var login string
			var until int64
			err := rows.Scan(&login, &until)
			all[login] = time.UnixMicro(until)
			return err
		}, time.Now().UnixMicro())
	})
	return all, err
}

// WatchRevocations calls changed within a second or so after a login was revoked, by
// whatever program, until ctx ends, and gives the error of ctx. It is called at once, too,
// and after the file could not be read.
func (s *Store) WatchRevocations(ctx context.Context, changed func()) error {
	return s.watch(ctx, `SELECT coalesce(max(id), 0) FROM revocations`, changed)
}
