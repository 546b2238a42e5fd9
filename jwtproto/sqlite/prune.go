package sqlite

import (
	"context"
	"database/sql"
)

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

// pruneGroup deletes rows before one that stays, at most so many.
func (w *writer) pruneGroup(group, stay, most int64) error {
	var first sql.NullInt64
	if err := w.conn.QueryRowContext(context.Background(), `SELECT min(seq) FROM history WHERE grp = ?`, group).Scan(&first); err != nil {
		return err
	}
	_, err := w.conn.ExecContext(context.Background(), `DELETE FROM history WHERE grp = ? AND seq < ?`, group, min(stay, first.Int64+most))
	return err
}
