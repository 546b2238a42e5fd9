package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"gdtls/jwtproto"
)

var _ jwtproto.SecretStore = (*Store)(nil)

// Secrets gives all secrets.
func (s *Store) Secrets(ctx context.Context) (all []jwtproto.Secret, err error) {
	err = s.read(ctx, "the secrets ", func(tx *sql.Tx) error {
		return each(ctx, tx, `SELECT kind, name, value, since FROM secrets ORDER BY kind, name, position`, func(rows *sql.Rows) error {
			secret, err := scanSecret(rows)
			all = append(all, secret)
			return err
		})
	})
	return all, err
}

func scanSecret(rows *sql.Rows) (s jwtproto.Secret, err error) {
	var since int64
	err = rows.Scan(&s.Kind, &s.Name, &s.Value, &since)
	s.Since = time.UnixMicro(since)
	return s, err
}

// ChangeSecrets replaces secrets, as jwtproto.SecretStore says.
func (s *Store) ChangeSecrets(ctx context.Context, kind jwtproto.SecretKind, name string, change func([]jwtproto.Secret) []jwtproto.Secret) error {
	return s.write(ctx, func(w *writer) error {
		old, err := w.secrets(kind, name)
		if err != nil {
			return err
		}
		changed := change(slices.Clone(old))
		if slices.EqualFunc(old, changed, jwtproto.Secret.Equal) {
			return nil
		}
		if _, err := w.conn.ExecContext(context.Background(), `DELETE FROM secrets WHERE kind = ? AND name = ?`, string(kind), name); err != nil {
			return err
		}
		for i, s := range changed {
			_, err := w.conn.ExecContext(context.Background(), `INSERT INTO secrets (kind, name, position, value, since) VALUES (?, ?, ?, ?, ?)`,
				string(kind), name, i, s.Value, s.Since.UnixMicro())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// secrets are those of a kind and name.
func (w *writer) secrets(kind jwtproto.SecretKind, name string) (all []jwtproto.Secret, err error) {
	rows, err := w.conn.QueryContext(context.Background(), `SELECT kind, name, value, since FROM secrets WHERE kind = ? AND name = ? ORDER BY position`, string(kind), name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		secret, err := scanSecret(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, secret)
	}
	return all, rows.Err()
}

// WatchSecrets tells of changes within half a second or so, as jwtproto.SecretStore says: it
// looks whether there were some.
func (s *Store) WatchSecrets(ctx context.Context, changed func()) error {
	return s.watch(ctx, `SELECT n FROM secret_changes`, changed)
}
