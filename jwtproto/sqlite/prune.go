package sqlite

import "database/sql"

// pruneStep is after how many new rows of a group its oldest ones are looked at. At most
// twice as many as are new are deleted then, so that no batch takes much longer than
// others, also when the Store is to keep fewer rows than before.
const pruneStep = 64

// prune deletes the oldest rows of the groups that have too many.
func (w *writer) prune(keep int64) error {
	added := map[string]int64{}
	for i := range w.ledger.Rows {
		added[w.ledger.Rows[i].Group]++
	}
	for name, n := range added {
		g := w.groups[name]
		if seq := int64(g.state.Row.Seq); seq > keep && seq/pruneStep != (seq-n)/pruneStep {
			if err := w.pruneGroup(g.id, seq-keep+1, 2*max(n, pruneStep)); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	firstRow    = bulk{head: `SELECT min(seq) FROM history WHERE grp = ?`}
	deleteUntil = bulk{head: `DELETE FROM history WHERE grp = ? AND seq < ?`}
)

// pruneGroup deletes rows before one that stays, at most so many.
func (w *writer) pruneGroup(group, stay, most int64) error {
	var first sql.NullInt64
	err := w.query(&firstRow, 1, func(args []any, _ int) []any { return append(args, group) }, func(rows *sql.Rows) error { return rows.Scan(&first) })
	if err != nil {
		return err
	}
	return w.exec(&deleteUntil, 1, func(args []any, _ int) []any { return append(args, group, min(stay, first.Int64+most)) })
}
