package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"gdtls/jwtproto"
)

var _ jwtproto.SecretStore = (*Store)(nil)

const (
	selectSecrets = `
SELECT kind, name, value, since FROM gdtls.secrets ORDER BY kind, name, position`

	// Readers are not kept waiting.
	lockSecrets = `
LOCK TABLE gdtls.secrets IN SHARE ROW EXCLUSIVE MODE`

	selectSome = `
SELECT kind, name, value, since FROM gdtls.secrets WHERE kind = $1 AND name = $2 ORDER BY position`

	deleteSecrets = `
DELETE FROM gdtls.secrets WHERE kind = $1 AND name = $2`

	insertSecrets = `
INSERT INTO gdtls.secrets (kind, name, position, value, since)
SELECT $1, $2, position, value, since FROM unnest($3::bytea[], $4::timestamptz[]) WITH ORDINALITY AS s (value, since, position)`
)

// secretsChannel is where the trigger of the table tells of changes.
const secretsChannel = "gdtls_secrets"

// Secrets gives all secrets.
func (s *Store) Secrets(ctx context.Context) ([]jwtproto.Secret, error) {
	rows, err := s.pool.Query(ctx, selectSecrets)
	if err != nil {
		return nil, s.explain("cannot read the secrets", err)
	}
	all, err := readSecrets(rows)
	return all, s.explain("cannot read the secrets", err)
}

func readSecrets(rows pgx.Rows) ([]jwtproto.Secret, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s jwtproto.Secret, err error) {
		err = row.Scan(&s.Kind, &s.Name, &s.Value, &s.Since)
		return s, err
	})
}

// ChangeSecrets replaces secrets, as jwtproto.SecretStore says.
func (s *Store) ChangeSecrets(ctx context.Context, kind jwtproto.SecretKind, name string, change func([]jwtproto.Secret) []jwtproto.Secret) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockSecrets); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectSome, kind, name)
		if err != nil {
			return err
		}
		old, err := readSecrets(rows)
		if err != nil {
			return err
		}
		changed := change(slices.Clone(old))
		if slices.EqualFunc(old, changed, jwtproto.Secret.Equal) {
			return nil
		}
		values, times := make([][]byte, len(changed)), make([]time.Time, len(changed))
		for i := range changed {
			values[i], times[i] = changed[i].Value, changed[i].Since
		}
		if _, err := tx.Exec(ctx, deleteSecrets, kind, name); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertSecrets, kind, name, values, times)
		return err
	})
	return s.explain("the secrets were not changed, or it is not known whether they were", err)
}

// WatchSecrets tells of changes, as jwtproto.SecretStore says.
func (s *Store) WatchSecrets(ctx context.Context, changed func()) error {
	return s.listen(ctx, secretsChannel, changed, func(string) { changed() })
}
