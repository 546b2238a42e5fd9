package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gdtls/jwtproto"
)

const (
	insertHistory = `
INSERT INTO gdtls.history (grp, seq, at, registration, request, number, next, step, token, expires)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bytea[], $6::int[], $7::int[], $8::smallint[], $9::uuid[], $10::timestamptz[])`

	updateGroups = `
UPDATE gdtls.groups AS g
SET last = n.last, completed = n.completed, restarted = n.restarted, rows = n.rows, at = n.at,
    registration = n.registration, request = n.request, number = n.number, next = n.next, step = n.step
FROM unnest($1::int[], $2::int[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::timestamptz[], $7::bigint[], $8::bytea[], $9::int[], $10::int[], $11::smallint[])
    AS n (id, last, completed, restarted, rows, at, registration, request, number, next, step)
WHERE g.id = n.id`

	addRepeats = `
UPDATE gdtls.history AS h SET repeats = h.repeats + n.repeats
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS n (grp, seq, repeats)
WHERE h.grp = n.grp AND h.seq = n.seq`

	addMembers = `
INSERT INTO gdtls.members AS m (grp, registration, last, advanced, restarted, repeated, out_of_turn, completed, seen)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::timestamptz[])
ON CONFLICT (grp, registration) DO UPDATE
SET last = coalesce(excluded.last, m.last), advanced = m.advanced + excluded.advanced, restarted = m.restarted + excluded.restarted,
    repeated = m.repeated + excluded.repeated, out_of_turn = m.out_of_turn + excluded.out_of_turn,
    completed = m.completed + excluded.completed, seen = excluded.seen`

	addRefusals = `
INSERT INTO gdtls.refusals AS r (grp, registration, why, count, last)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::timestamptz[])
ON CONFLICT (grp, registration, why) DO UPDATE
SET count = r.count + excluded.count, last = greatest(r.last, excluded.last)`

	dropHistory = `
DELETE FROM gdtls.history WHERE grp = $1 AND seq <= $2 AND (expires IS NULL OR expires < $3)`
)

const (
	// dropInterval is after how many rows of a group old ones are dropped.
	dropInterval = 1024
	// clockLeeway is how far the clocks of servers may be apart: tokens are remembered so
	// much longer.
	clockLeeway = 5 * time.Minute
)

// keep writes what a Ledger says and commits, in one round trip. The statements go one
// after the other, and none is run after one that failed.
func (s *Store) keep(ctx context.Context, c *pgxpool.Conn, batch *jwtproto.Batch, l *jwtproto.Ledger, ids map[string]int32) error {
	var write pgx.Batch
	if len(l.Rows) > 0 {
		s.queueRows(&write, l, ids)
		queueGroups(&write, l, ids)
	}
	if len(l.Repeats) > 0 {
		queueRepeats(&write, l.Repeats, ids)
	}
	if len(l.Members) > 0 {
		queueMembers(&write, l.Members, ids)
	}
	if len(batch.Refusals)+len(l.Refused) > 0 {
		queueRefusals(&write, batch.Refusals, l.Refused)
	}
	if s.events && len(l.Rows) > 0 {
		s.queueEvents(&write, l.Rows)
	}
	write.Queue("COMMIT")
	return c.SendBatch(ctx, &write).Close()
}

// queueRows adds rows to the histories, and drops some at the other end now and then.
func (s *Store) queueRows(write *pgx.Batch, l *jwtproto.Ledger, ids map[string]int32) {
	n := len(l.Rows)
	groups, seqs, times, registrations := make([]int32, n), make([]uint64, n), make([]time.Time, n), make([]int64, n)
	requests, numbers, nexts, steps := make([][]byte, n), make([]int, n), make([]int, n), make([]int, n)
	tokens, expires := make([]*[16]byte, n), make([]*time.Time, n)
	for i := range l.Rows {
		r := &l.Rows[i]
		groups[i], seqs[i], times[i], registrations[i] = ids[r.Group], r.Seq, r.Time, r.Registration
		requests[i], numbers[i], nexts[i], steps[i] = r.ID[:], r.Number, r.Next, int(r.Step)
		if r.Token != (jwtproto.TokenID{}) {
			name := tokenName(r.Group, r.Token)
			tokens[i], expires[i] = &name, bounded(r.Expires)
		}
		if r.Seq%dropInterval == 0 && r.Seq > s.rows {
			write.Queue(dropHistory, ids[r.Group], r.Seq-s.rows, r.Time.Add(-clockLeeway))
		}
	}
	write.Queue(insertHistory, groups, seqs, times, registrations, requests, numbers, nexts, steps, tokens, expires)
}

// queueGroups sets the states of the groups that have new rows.
func queueGroups(write *pgx.Batch, l *jwtproto.Ledger, ids map[string]int32) {
	var groups []int32
	var lasts, numbers, nexts, steps []int
	var completed, seqs []uint64
	var restarted, times []*time.Time
	var registrations []int64
	var requests [][]byte
	for name, state := range l.States {
		r := state.Row
		groups, lasts, completed, restarted = append(groups, ids[name]), append(lasts, state.Last), append(completed, state.Completed), append(restarted, bounded(state.Restarted))
		seqs, times, registrations, requests = append(seqs, r.Seq), append(times, bounded(r.Time)), append(registrations, r.Registration), append(requests, r.ID[:])
		numbers, nexts, steps = append(numbers, r.Number), append(nexts, r.Next), append(steps, int(r.Step))
	}
	write.Queue(updateGroups, groups, lasts, completed, restarted, seqs, times, registrations, requests, numbers, nexts, steps)
}

func queueRepeats(write *pgx.Batch, repeats map[jwtproto.RowKey]uint64, ids map[string]int32) {
	var groups []int32
	var seqs, counts []uint64
	for key, n := range repeats {
		groups, seqs, counts = append(groups, ids[key.Group]), append(seqs, key.Seq), append(counts, n)
	}
	write.Queue(addRepeats, groups, seqs, counts)
}

func queueMembers(write *pgx.Batch, members map[jwtproto.MemberKey]jwtproto.Member, ids map[string]int32) {
	var groups []int32
	var registrations []int64
	var lasts []*int
	var advanced, restarted, repeated, outOfTurn, completed []uint64
	var seen []time.Time
	for key, m := range members {
		var last *int
		if m.Moved {
			last = &m.Last
		}
		groups, registrations, lasts, seen = append(groups, ids[key.Group]), append(registrations, key.Registration), append(lasts, last), append(seen, m.Seen)
		advanced, restarted, repeated = append(advanced, m.Advanced), append(restarted, m.Restarted), append(repeated, m.Repeated)
		outOfTurn, completed = append(outOfTurn, m.OutOfTurn), append(completed, m.Completed)
	}
	write.Queue(addMembers, groups, registrations, lasts, advanced, restarted, repeated, outOfTurn, completed, seen)
}

// refusalKey names a count of refusals.
type refusalKey struct {
	group        string
	registration int64
	why          jwtproto.Refusal
}

func (k refusalKey) compare(other refusalKey) int {
	return cmp.Or(cmp.Compare(k.group, other.group), cmp.Compare(k.registration, other.registration), cmp.Compare(k.why, other.why))
}

// queueRefusals adds counts. Their rows are taken in order: nothing else orders servers
// that count refusals of one group.
func queueRefusals(write *pgx.Batch, refused ...[]jwtproto.RefusalCount) {
	sums := map[refusalKey]jwtproto.RefusalCount{}
	for _, r := range slices.Concat(refused...) {
		key := refusalKey{r.Group, r.Registration, r.Why}
		r.Count += sums[key].Count
		sums[key] = r
	}
	var groups, reasons []string
	var registrations []int64
	var counts []uint64
	var lasts []time.Time
	for _, key := range slices.SortedFunc(maps.Keys(sums), refusalKey.compare) {
		groups, registrations, reasons = append(groups, key.group), append(registrations, key.registration), append(reasons, string(key.why))
		counts, lasts = append(counts, sums[key].Count), append(lasts, sums[key].Last)
	}
	write.Queue(addRefusals, groups, registrations, reasons, counts, lasts)
}
