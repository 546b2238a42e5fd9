package sqlite

import (
	"context"
	"database/sql"
	"time"

	"gdtls/jwtproto"
)

// Status reports about all groups, as of one moment.
func (s *Store) Status(ctx context.Context) (all []jwtproto.GroupStatus, err error) {
	err = s.read(ctx, "the status ", func(tx *sql.Tx) error {
		groups, err := readGroups(ctx, tx)
		if err != nil {
			return err
		}
		refused, err := readRefusals(ctx, tx)
		if err != nil {
			return err
		}
		all = jwtproto.AddRefusals(groups, refused)
		return nil
	})
	return all, err
}

// readGroups reads the groups with their members.
func readGroups(ctx context.Context, tx *sql.Tx) (map[string]*jwtproto.GroupStatus, error) {
	groups := map[string]*jwtproto.GroupStatus{}
	byID := map[int64]*jwtproto.GroupStatus{}
	err := each(ctx, tx, `SELECT g.id, g.name, g.last, g.seq, g.completed, g.restarted, h.time FROM groups g LEFT JOIN history h ON h.grp = g.id AND h.seq = g.seq`, func(rows *sql.Rows) error {
		var id int64
		var restarted, seen sql.NullInt64
		g := new(jwtproto.GroupStatus)
		err := rows.Scan(&id, &g.Group, &g.Last, &g.Rows, &g.Completed, &restarted, &seen)
		g.Restarted, g.Seen = micros(restarted), micros(seen)
		groups[g.Group], byID[id] = g, g
		return err
	})
	if err != nil {
		return nil, err
	}
	return groups, each(ctx, tx, `SELECT grp, registration, coalesce(last, 0), advanced, restarted, repeated, out_of_turn, completed, seen FROM members`, func(rows *sql.Rows) error {
		var id int64
		var seen sql.NullInt64
		var m jwtproto.MemberStatus
		err := rows.Scan(&id, &m.Registration, &m.Last, &m.Advanced, &m.Restarted, &m.Repeated, &m.OutOfTurn, &m.Completed, &seen)
		m.Seen = micros(seen)
		if g := byID[id]; g != nil {
			g.Members = append(g.Members, m)
		}
		return err
	})
}

func readRefusals(ctx context.Context, tx *sql.Tx) (refused []jwtproto.RefusalCount, err error) {
	err = each(ctx, tx, `SELECT name, registration, why, count, last FROM refusals`, func(rows *sql.Rows) error {
		var r jwtproto.RefusalCount
		var last sql.NullInt64
		err := rows.Scan(&r.Group, &r.Registration, &r.Why, &r.Count, &last)
		r.Last = micros(last)
		refused = append(refused, r)
		return err
	})
	return refused, err
}

// History gives rows of a group.
func (s *Store) History(ctx context.Context, group string, after uint64, limit int) (all []jwtproto.Row, err error) {
	const query = `SELECT seq, time, registration, h.id, number, next, step, repeats FROM history h
		WHERE grp = (SELECT id FROM groups WHERE name = ?) AND seq > ? ORDER BY seq LIMIT ?`
	err = s.read(ctx, "the history ", func(tx *sql.Tx) error {
		return each(ctx, tx, query, func(rows *sql.Rows) error {
			var r jwtproto.Row
			row := rowScan{to: &r}
			err := rows.Scan(append(row.places(), &r.Repeats)...)
			repeats := r.Repeats
			row.finish()
			r.Repeats = repeats
			all = append(all, r)
			return err
		}, group, int64(min(after, 1<<63-1)), max(limit, 0))
	})
	return all, err
}

// each has every row of an answer scanned.
func each(ctx context.Context, tx *sql.Tx, query string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
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

// micros is a time that may be missing.
func micros(t sql.NullInt64) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return time.UnixMicro(t.Int64)
}
