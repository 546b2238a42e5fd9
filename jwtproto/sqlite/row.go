package sqlite

import (
	"database/sql"
	"time"

	"gdtls/jwtproto"
)

// rowScan reads the columns seq, time, registration, id, number, next and step of a row of
// a history, which may all be NULL.
type rowScan struct {
	to                                          *jwtproto.Row
	seq, time, registration, number, next, step sql.NullInt64
	id                                          sql.RawBytes
}

// places are what Scan takes.
func (r *rowScan) places() []any {
	return []any{&r.seq, &r.time, &r.registration, &r.id, &r.number, &r.next, &r.step}
}

// finish fills the row, before the next one is scanned.
func (r *rowScan) finish() {
	if !r.seq.Valid {
		return
	}
	*r.to = jwtproto.Row{
		Seq: uint64(r.seq.Int64), Time: time.UnixMicro(r.time.Int64), Registration: r.registration.Int64,
		Number: int(r.number.Int64), Next: int(r.next.Int64), Step: jwtproto.Step(r.step.Int64),
	}
	copy(r.to.ID[:], r.id)
}
