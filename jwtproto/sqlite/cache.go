package sqlite

import (
	"database/sql"
	"time"

	"gdtls/jwtproto"
)

// remembered is of how many of its last rows the tokens of a group are known. A host that
// uses up its budget of 500 checks a second fills that in 131 seconds; tokens of our
// clients are good for 90. It takes some 3 MB for a group.
const remembered = 1 << 16

// group is what the writer knows of a group, so that it need not read it for each batch.
type group struct {
	id      int64 // 0: not in the file yet
	state   jwtproto.GroupState
	version int64 // of the file, as of which this is known

	seen   map[jwtproto.TokenID]uint64 // the rows that tokens belong to
	tokens []jwtproto.TokenID          // of the last rows with one, a ring when it is full
	oldest int                         // in tokens
}

// remember adds the token of a new row, if it has one, and forgets the oldest of more than
// so many.
func (g *group) remember(token jwtproto.TokenID, seq uint64, most int) {
	if token == (jwtproto.TokenID{}) {
		return
	}
	if g.seen == nil {
		g.seen = map[jwtproto.TokenID]uint64{}
	}
	g.seen[token] = seq
	if len(g.tokens) < most {
		g.tokens = append(g.tokens, token)
		return
	}
	delete(g.seen, g.tokens[g.oldest])
	g.tokens[g.oldest] = token
	g.oldest = (g.oldest + 1) % most
}

// loadGroups gives the states of groups.
var loadGroups = bulk{`SELECT g.name, g.id, g.last, g.completed, g.restarted, h.seq, h.time, h.registration, h.id, h.number, h.next, h.step
	FROM groups g LEFT JOIN history h ON h.grp = g.id AND h.seq = g.seq WHERE g.name IN (`, `?`, `)`}

// loadRows gives rows.
var loadRows = bulk{`WITH wanted(grp, seq) AS (VALUES `, `(?,?)`, `)
	SELECT h.grp, h.seq, h.time, h.registration, h.id, h.number, h.next, h.step
	FROM wanted CROSS JOIN history h ON h.grp = wanted.grp AND h.seq = wanted.seq`}

// loadTokens gives the tokens of a group's rows behind one.
var loadTokens = bulk{head: `SELECT seq, token FROM history WHERE grp = ? AND seq > ? AND token IS NOT NULL ORDER BY seq`}

// version changes when somebody else has written to the file.
var version = bulk{head: `PRAGMA data_version`}

// load fills the Ledger with what it has to know about moves.
func (w *writer) load(moves []jwtproto.Move) error {
	var now int64
	err := w.query(&version, 1, nil, func(rows *sql.Rows) error { return rows.Scan(&now) })
	if err != nil {
		return err
	}
	l := &w.ledger
	if l.States == nil {
		l.States, l.Seen = map[string]jwtproto.GroupState{}, map[jwtproto.TokenKey]jwtproto.Row{}
	}
	var unknown []string
	for i := range moves {
		name := moves[i].Group
		if _, done := l.States[name]; done {
			continue
		}
		g := w.groups[name]
		if g == nil {
			g = &group{version: -1}
			w.groups[name] = g
		}
		if g.version != now {
			g.version = now
			unknown = append(unknown, name)
		}
		l.States[name] = g.state
	}
	if err := w.loadGroups(unknown); err != nil {
		return err
	}
	var again []int // moves whose tokens were seen
	for i := range moves {
		if _, ok := w.groups[moves[i].Group].seen[moves[i].Token]; ok {
			again = append(again, i)
		}
	}
	return w.loadRows(moves, again)
}

// loadGroups reads what others may have changed of groups.
func (w *writer) loadGroups(names []string) error {
	behind := make(map[string]uint64, len(names)) // the last row that was known
	err := w.query(&loadGroups, len(names), func(args []any, i int) []any { return append(args, names[i]) }, func(rows *sql.Rows) error {
		var name string
		var id int64
		var state jwtproto.GroupState
		var restarted sql.NullInt64
		row := rowScan{to: &state.Row}
		if err := rows.Scan(append([]any{&name, &id, &state.Last, &state.Completed, &restarted}, row.places()...)...); err != nil {
			return err
		}
		if restarted.Valid {
			state.Restarted = time.UnixMicro(restarted.Int64)
		}
		row.finish()
		g := w.groups[name]
		if known := g.state.Row.Seq; state.Row.Seq > known {
			most := uint64(w.remembered)
			behind[name] = max(known+most, state.Row.Seq) - most
		}
		g.id, g.state = id, state
		w.ledger.States[name] = state
		return nil
	})
	if err != nil {
		return err
	}
	for name, seq := range behind {
		g := w.groups[name]
		err := w.query(&loadTokens, 1, func(args []any, _ int) []any { return append(args, g.id, int64(seq)) }, func(rows *sql.Rows) error {
			var seq uint64
			var token sql.RawBytes
			if err := rows.Scan(&seq, &token); err != nil {
				return err
			}
			var id jwtproto.TokenID
			copy(id[:], token)
			g.remember(id, seq, w.remembered)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// loadRows reads the rows that answered the tokens of some moves.
func (w *writer) loadRows(moves []jwtproto.Move, again []int) error {
	if len(again) == 0 {
		return nil
	}
	rows := map[rowID]jwtproto.Row{}
	err := w.query(&loadRows, len(again), func(args []any, i int) []any {
		m := &moves[again[i]]
		g := w.groups[m.Group]
		return append(args, g.id, int64(g.seen[m.Token]))
	}, func(answer *sql.Rows) error {
		var id int64
		var earlier jwtproto.Row
		row := rowScan{to: &earlier}
		err := answer.Scan(append([]any{&id}, row.places()...)...)
		row.finish()
		rows[rowID{id, earlier.Seq}] = earlier
		return err
	})
	if err != nil {
		return err
	}
	for _, i := range again {
		m := &moves[i]
		g := w.groups[m.Group]
		if earlier, ok := rows[rowID{g.id, g.seen[m.Token]}]; ok {
			w.ledger.Seen[jwtproto.TokenKey{Group: m.Group, Token: m.Token}] = earlier
		}
	}
	return nil
}

// rowID names a row in the file.
type rowID struct {
	group int64
	seq   uint64
}

// remember takes over what the Ledger has decided. If it is not committed, the writer is
// given up with all that it knows.
func (w *writer) remember() {
	for name, state := range w.ledger.States {
		w.groups[name].state = state
	}
	for i := range w.ledger.Rows {
		r := &w.ledger.Rows[i]
		w.groups[r.Group].remember(r.Token, r.Seq, w.remembered)
	}
}
