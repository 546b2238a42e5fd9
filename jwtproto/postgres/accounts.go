package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	selectHash = `
SELECT hash FROM gdtls.accounts WHERE name = $1`

	setHash = `
INSERT INTO gdtls.accounts (name, hash) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET hash = excluded.hash`

	deleteAccount = `
DELETE FROM gdtls.accounts WHERE name = $1`

	selectAccounts = `
SELECT name FROM gdtls.accounts ORDER BY name`

	addRevocation = `
INSERT INTO gdtls.revocations (login, until) VALUES ($1, $2)
ON CONFLICT DO NOTHING`

	dropRevocations = `
DELETE FROM gdtls.revocations WHERE until < $1`

	selectRevocations = `
SELECT login, until FROM gdtls.revocations WHERE until > $1`
)

// revocationsChannel is where the trigger of the table tells of changes.
const revocationsChannel = "gdtls_revocations"

// PasswordHash gives the hash of an account's password, empty if there is no such
// account.
func (s *Store) PasswordHash(ctx context.Context, name string) (hash string, err error) {
	err = s.pool.QueryRow(ctx, selectHash, name).Scan(&hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return hash, s.explain("cannot read the account", err)
}

// SetPasswordHash adds an account, or changes the hash of its password. What they are like
// is checked by the caller.
func (s *Store) SetPasswordHash(ctx context.Context, name, hash string) error {
	_, err := s.pool.Exec(ctx, setHash, name, hash)
	return s.explain("cannot write the account", err)
}

// RemoveAccount takes an account away, and reports whether there was one.
func (s *Store) RemoveAccount(ctx context.Context, name string) (bool, error) {
	done, err := s.pool.Exec(ctx, deleteAccount, name)
	return done.RowsAffected() > 0, s.explain("cannot remove the account", err)
}

// Accounts gives the names of all accounts, in order.
func (s *Store) Accounts(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx, selectAccounts)
	if err != nil {
		return nil, s.explain("cannot read the accounts", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, s.explain("cannot read the accounts", err)
}

// Revoke keeps that a login is worth nothing any more, until a time. Those whose time is
// over are forgotten.
func (s *Store) Revoke(ctx context.Context, loginID string, until time.Time) error {
	var write pgx.Batch
	write.Queue(addRevocation, loginID, until)
	write.Queue(dropRevocations, time.Now().Add(-clockLeeway))
	return s.explain("cannot keep that a login is revoked", s.pool.SendBatch(ctx, &write).Close())
}

// Revoked gives the logins that were revoked and whose time is not over.
func (s *Store) Revoked(ctx context.Context) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	rows, err := s.pool.Query(ctx, selectRevocations, time.Now())
	if err != nil {
		return nil, s.explain("cannot read the revoked logins", err)
	}
	var login string
	var until time.Time
	_, err = pgx.ForEachRow(rows, []any{&login, &until}, func() error {
		all[login] = until
		return nil
	})
	return all, s.explain("cannot read the revoked logins", err)
}

// WatchRevocations calls changed whenever a login was revoked, by whatever server, until
// ctx ends, and gives the error of ctx. It is called after the database was away, too.
func (s *Store) WatchRevocations(ctx context.Context, changed func()) error {
	return s.listen(ctx, revocationsChannel, changed, func(string) { changed() })
}
