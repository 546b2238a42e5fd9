package sqlite

import (
	"context"
	"database/sql"
	"time"
)

// pruneStep is after how many new rows of a group its oldest ones are looked at. Twice as
// many may be deleted then, so that no batch takes much longer than others, also when the
// Store is to keep fewer rows than before.
const pruneStep = 64

// prune deletes the oldest rows of the groups that have too many.
func (w *writer) prune(keep int64) error {
	added := map[string]int64{}
	for i := range w.ledger.Rows {
		added[w.ledger.Rows[i].Group]++
	}
	for name, n := range added {
		last := w.ledger.States[name].Row
		if seq := int64(last.Seq); seq/pruneStep != (seq-n)/pruneStep {
			if err := w.pruneGroup(w.ids[name], seq, keep, last.Time); err != nil {
				return err
			}
		}
	}
	return nil
}

// pruneGroup leaves the last rows of a group, as many as are to be kept, and all from the
// first on that has a token which somebody could send again, within twice as many.
func (w *writer) pruneGroup(group, last, keep int64, now time.Time) error {
	ctx := context.Background()
	var first, valid sql.NullInt64
	if err := w.conn.QueryRowContext(ctx, `SELECT min(seq) FROM history WHERE grp = ?`, group).Scan(&first); err != nil {
		return err
	}
	stay := min(last-keep+1, first.Int64+2*pruneStep)
	if first.Int64 >= stay {
		return nil
	}
	from := max(first.Int64, last-2*keep+1)
	if err := w.conn.QueryRowContext(ctx, `SELECT min(seq) FROM history WHERE grp = ? AND seq >= ? AND seq < ? AND expires > ?`,
		group, from, stay, now.Unix()).Scan(&valid); err != nil {
		return err
	}
	if valid.Valid {
		stay = valid.Int64
	}
	_, err := w.conn.ExecContext(ctx, `DELETE FROM history WHERE grp = ? AND seq < ?`, group, stay)
	return err
}
