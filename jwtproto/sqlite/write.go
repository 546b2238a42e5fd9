package sqlite

import (
	"database/sql"
	"maps"
	"slices"
	"time"

	"gdtls/jwtproto"
)

var (
	upsertGroups = bulk{`INSERT INTO groups (id, name, last, completed, restarted, seq) VALUES `, `(?,?,?,?,?,?)`, `
		ON CONFLICT (id) DO UPDATE SET last = excluded.last, completed = excluded.completed, restarted = excluded.restarted, seq = excluded.seq`}

	selectIDs = bulk{`SELECT name, id FROM groups WHERE name IN (`, `?`, `)`}

	insertHistory = bulk{`INSERT INTO history (grp, seq, time, registration, id, number, next, step, token) VALUES `, `(?,?,?,?,?,?,?,?,?)`, ``}

	updateRepeats = bulk{`WITH more(grp, seq, n) AS (VALUES `, `(?,?,?)`, `)
		UPDATE history SET repeats = repeats + more.n FROM more WHERE history.grp = more.grp AND history.seq = more.seq`}

	upsertMembers = bulk{`INSERT INTO members (grp, registration, last, advanced, restarted, repeated, out_of_turn, completed, seen) VALUES `, `(?,?,?,?,?,?,?,?,?)`, `
		ON CONFLICT (grp, registration) DO UPDATE SET last = coalesce(excluded.last, last), advanced = advanced + excluded.advanced,
		restarted = restarted + excluded.restarted, repeated = repeated + excluded.repeated, out_of_turn = out_of_turn + excluded.out_of_turn,
		completed = completed + excluded.completed, seen = excluded.seen`}

	upsertRefusals = bulk{`INSERT INTO refusals (name, registration, why, count, last) VALUES `, `(?,?,?,?,?)`, `
		ON CONFLICT (name, registration, why) DO UPDATE SET count = count + excluded.count, last = max(last, excluded.last)`}
)

// earliest is before all times that matter: a client may claim to have signed at any time.
var earliest = time.Unix(0, 0).AddDate(-1000, 0, 0)

// writeGroups writes the states of the groups that moved, and finds the ids of new ones.
func (w *writer) writeGroups() error {
	var names, added []string
	for i := range w.ledger.Rows {
		r := &w.ledger.Rows[i]
		if g := w.groups[r.Group]; g.state.Row.Seq != r.Seq {
			continue // not the last one of the batch
		} else if g.id == 0 {
			added = append(added, r.Group)
		}
		names = append(names, r.Group)
	}
	err := w.exec(&upsertGroups, len(names), func(args []any, i int) []any {
		g := w.groups[names[i]]
		var id, restarted any
		if g.id != 0 {
			id = g.id
		}
		if at := g.state.Restarted; !at.IsZero() {
			if at.Before(earliest) {
				at = earliest
			}
			restarted = at.UnixMicro()
		}
		return append(args, id, names[i], g.state.Last, int64(g.state.Completed), restarted, int64(g.state.Row.Seq))
	})
	if err != nil {
		return err
	}
	return w.query(&selectIDs, len(added), func(args []any, i int) []any { return append(args, added[i]) }, func(rows *sql.Rows) error {
		var name string
		var id int64
		err := rows.Scan(&name, &id)
		w.groups[name].id = id
		return err
	})
}

// writeHistory adds rows.
func (w *writer) writeHistory() error {
	return w.exec(&insertHistory, len(w.ledger.Rows), func(args []any, i int) []any {
		r := &w.ledger.Rows[i]
		var token any
		if r.Token != (jwtproto.TokenID{}) {
			token = r.Token[:]
		}
		return append(args, w.groups[r.Group].id, int64(r.Seq), r.Time.UnixMicro(), r.Registration, r.ID[:], r.Number, r.Next, int(r.Step), token)
	})
}

// writeRepeats counts requests that came again.
func (w *writer) writeRepeats() error {
	keys := slices.Collect(maps.Keys(w.ledger.Repeats))
	return w.exec(&updateRepeats, len(keys), func(args []any, i int) []any {
		return append(args, w.groups[keys[i].Group].id, int64(keys[i].Seq), int64(w.ledger.Repeats[keys[i]]))
	})
}

// writeMembers adds to what is known of members.
func (w *writer) writeMembers() error {
	keys := slices.Collect(maps.Keys(w.ledger.Members))
	return w.exec(&upsertMembers, len(keys), func(args []any, i int) []any {
		m := w.ledger.Members[keys[i]]
		var last any
		if m.Moved {
			last = m.Last
		}
		return append(args, w.groups[keys[i].Group].id, keys[i].Registration, last, int64(m.Advanced), int64(m.Restarted),
			int64(m.Repeated), int64(m.OutOfTurn), int64(m.Completed), m.Seen.UnixMicro())
	})
}

// writeRefusals counts refused requests.
func (w *writer) writeRefusals(refused []jwtproto.RefusalCount) error {
	return w.exec(&upsertRefusals, len(refused), func(args []any, i int) []any {
		r := &refused[i]
		return append(args, r.Group, r.Registration, string(r.Why), int64(r.Count), r.Last.UnixMicro())
	})
}
