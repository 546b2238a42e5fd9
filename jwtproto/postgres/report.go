package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"gdtls/jwtproto"
)

const (
	selectGroups = `
SELECT id, name, last, completed, restarted, rows, at FROM gdtls.groups WHERE rows > 0`

	selectMembers = `
SELECT grp, registration, coalesce(last, 0), advanced, restarted, repeated, out_of_turn, completed, seen FROM gdtls.members`

	selectRefusals = `
SELECT grp, registration, why, count, last FROM gdtls.refusals`

	// A join would lose the order of the index, and sort all that is left for each piece.
	selectHistory = `
SELECT seq, at, registration, request, number, next, step, repeats FROM gdtls.history
WHERE grp = (SELECT id FROM gdtls.groups WHERE name = $1) AND seq > $2 ORDER BY seq LIMIT $3`
)

// status reads all in one snapshot.
func (s *Store) status(ctx context.Context) ([]jwtproto.GroupStatus, error) {
	groups := map[string]*jwtproto.GroupStatus{}
	byID := map[int32]*jwtproto.GroupStatus{}
	var refused []jwtproto.RefusalCount
	read := func(tx pgx.Tx) error {
		var ask pgx.Batch
		ask.Queue(selectGroups).Query(func(rows pgx.Rows) error {
			var id int32
			var g jwtproto.GroupStatus
			var restarted, seen *time.Time
			_, err := pgx.ForEachRow(rows, []any{&id, &g.Group, &g.Last, &g.Completed, &restarted, &g.Rows, &seen}, func() error {
				found := g
				found.Restarted, found.Seen = instant(restarted), instant(seen)
				groups[g.Group], byID[id] = &found, &found
				return nil
			})
			return err
		})
		ask.Queue(selectMembers).Query(func(rows pgx.Rows) error {
			var id int32
			var m jwtproto.MemberStatus
			_, err := pgx.ForEachRow(rows, []any{&id, &m.Registration, &m.Last, &m.Advanced, &m.Restarted, &m.Repeated, &m.OutOfTurn, &m.Completed, &m.Seen}, func() error {
				if g := byID[id]; g != nil {
					g.Members = append(g.Members, m)
				}
				return nil
			})
			return err
		})
		ask.Queue(selectRefusals).Query(func(rows pgx.Rows) error {
			var r jwtproto.RefusalCount
			_, err := pgx.ForEachRow(rows, []any{&r.Group, &r.Registration, &r.Why, &r.Count, &r.Last}, func() error {
				refused = append(refused, r)
				return nil
			})
			return err
		})
		return tx.SendBatch(ctx, &ask).Close()
	}
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, read)
	if err != nil {
		return nil, err
	}
	return jwtproto.AddRefusals(groups, refused), nil
}

func (s *Store) history(ctx context.Context, group string, after uint64, limit int) ([]jwtproto.Row, error) {
	rows, err := s.pool.Query(ctx, selectHistory, group, min(after, 1<<63-1), max(limit, 0))
	if err != nil {
		return nil, err
	}
	var all []jwtproto.Row
	var row jwtproto.Row
	var request []byte
	_, err = pgx.ForEachRow(rows, rowTargets(&row, &request), func() error {
		copy(row.ID[:], request)
		all = append(all, row)
		return nil
	})
	return all, err
}
