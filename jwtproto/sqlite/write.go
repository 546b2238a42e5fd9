package sqlite

import (
	"database/sql"
	"maps"
	"slices"
	"time"

	"gdtls/jwtproto"
)

var (
	upsertGroups = bulk{`INSERT INTO groups (name, last, completed, restarted, seq) VALUES `, `(?,?,?,?,?)`, `
		ON CONFLICT (name) DO UPDATE SET last = excluded.last, completed = excluded.completed, restarted = excluded.restarted, seq = excluded.seq`}

	selectIDs = bulk{`SELECT name, id FROM groups WHERE name IN (`, `?`, `)`}

	insertHistory = bulk{`INSERT INTO history (grp, seq, time, registration, id, number, next, step, repeats, token, expires) VALUES `, `(?,?,?,?,?,?,?,?,?,?,?)`, ``}

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
	names := make([]string, 0, len(w.ledger.Rows))
	for i := range w.ledger.Rows {
		names = append(names, w.ledger.Rows[i].Group)
	}
	names = unique(names)
	err := w.exec(&upsertGroups, len(names), func(args []any, i int) []any {
		state := w.ledger.States[names[i]]
		var restarted any
		if !state.Restarted.IsZero() {
			if state.Restarted.Before(earliest) {
				state.Restarted = earliest
			}
			restarted = state.Restarted.UnixMicro()
		}
		return append(args, names[i], state.Last, int64(state.Completed), restarted, int64(state.Row.Seq))
	})
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { _, known := w.ids[name]; return known })
	return w.query(&selectIDs, len(names), func(args []any, i int) []any { return append(args, names[i]) }, func(rows *sql.Rows) error {
		var name string
		var id int64
		err := rows.Scan(&name, &id)
		w.ids[name] = id
		return err
	})
}

// writeHistory adds rows.
func (w *writer) writeHistory() error {
	return w.exec(&insertHistory, len(w.ledger.Rows), func(args []any, i int) []any {
		r := &w.ledger.Rows[i]
		key := jwtproto.RowKey{Group: r.Group, Seq: r.Seq}
		repeats := w.ledger.Repeats[key]
		delete(w.ledger.Repeats, key)
		var token, expires any
		if r.Token != (jwtproto.TokenID{}) {
			token, expires = r.Token[:], r.Expires.Unix()
		}
		return append(args, w.ids[r.Group], int64(r.Seq), r.Time.UnixMicro(), r.Registration, r.ID[:], r.Number, r.Next, int(r.Step), int64(repeats), token, expires)
	})
}

// writeRepeats counts requests that came again.
func (w *writer) writeRepeats() error {
	keys := slices.Collect(maps.Keys(w.ledger.Repeats))
	return w.exec(&updateRepeats, len(keys), func(args []any, i int) []any {
		return append(args, w.ids[keys[i].Group], int64(keys[i].Seq), int64(w.ledger.Repeats[keys[i]]))
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
		return append(args, w.ids[keys[i].Group], keys[i].Registration, last, int64(m.Advanced), int64(m.Restarted),
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
