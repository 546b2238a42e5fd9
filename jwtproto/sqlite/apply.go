package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"gdtls/jwtproto"
)

// Apply keeps a batch in one transaction. ctx says how long it may wait for its turn.
func (s *Store) Apply(ctx context.Context, rules jwtproto.Rules, batch *jwtproto.Batch) (outcomes []jwtproto.Outcome, err error) {
	err = s.write(ctx, func(w *writer) (err error) {
		outcomes, err = w.apply(rules, batch, s.keep)
		return err
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// write has something written in one transaction. ctx says how long it may wait for its
// turn.
func (s *Store) write(ctx context.Context, do func(*writer) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return jwtproto.ErrStoreClosed
	case s.readOnly:
		return errReadOnly
	}
	if err := s.transact(ctx, do); err != nil {
		return s.file.explain("cannot write to", err)
	}
	return nil
}

// transact connects if that has to be. After an error the next one has a new connection: it
// may be another file by then.
func (s *Store) transact(ctx context.Context, do func(*writer) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.writer == nil {
		if s.writer, err = connect(ctx, &s.file); err != nil {
			return err
		}
	}
	w := s.writer
	if err := w.begin(ctx); err != nil {
		if !retriable(err) {
			s.drop()
		}
		return err
	}
	err = do(w)
	if err == nil {
		err = w.end(`COMMIT`)
	}
	if err == nil {
		err = w.moved()
	}
	if err != nil {
		_ = w.end(`ROLLBACK`) // closing does so, too
		s.drop()
	}
	return err
}

// drop gives up the connection.
func (s *Store) drop() {
	_ = s.writer.close() // the error that led here is told
	s.writer = nil
}

// apply does what is to be done within the transaction.
func (w *writer) apply(rules jwtproto.Rules, batch *jwtproto.Batch, keep int64) ([]jwtproto.Outcome, error) {
	l := &w.ledger
	l.Reset()
	l.Rules = rules
	if err := w.load(batch.Moves); err != nil {
		return nil, err
	}
	outcomes := make([]jwtproto.Outcome, len(batch.Moves))
	for i := range batch.Moves {
		outcomes[i] = l.Apply(&batch.Moves[i])
	}
	for _, write := range []func() error{
		w.writeGroups,
		w.writeHistory,
		w.writeRepeats,
		w.writeMembers,
		func() error { return w.writeRefusals(slices.Concat(batch.Refusals, l.Refused)) },
		func() error { return w.prune(keep) },
	} {
		if err := write(); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// loadGroups gives the states of groups.
var loadGroups = bulk{`SELECT g.name, g.id, g.last, g.completed, g.restarted, h.seq, h.time, h.registration, h.id, h.number, h.next, h.step
	FROM groups g LEFT JOIN history h ON h.grp = g.id AND h.seq = g.seq WHERE g.name IN (`, `?`, `)`}

// loadTokens gives the rows that have tokens.
var loadTokens = bulk{`WITH wanted(grp, token) AS (VALUES `, `(?,?)`, `)
	SELECT h.grp, h.token, h.seq, h.time, h.registration, h.id, h.number, h.next, h.step
	FROM wanted CROSS JOIN history h ON h.grp = wanted.grp AND h.token = wanted.token`}

// load fills the Ledger with what it has to know about moves.
func (w *writer) load(moves []jwtproto.Move) error {
	names := make([]string, 0, len(moves))
	for i := range moves {
		names = append(names, moves[i].Group)
	}
	names = unique(names)
	states := make(map[string]jwtproto.GroupState, len(names))
	byID := make(map[int64]string, len(names))
	err := w.query(&loadGroups, len(names), func(args []any, i int) []any { return append(args, names[i]) }, func(rows *sql.Rows) error {
		var name string
		var id int64
		var state jwtproto.GroupState
		var restarted sql.NullInt64
		row := newRowScan(&state.Row)
		if err := rows.Scan(append([]any{&name, &id, &state.Last, &state.Completed, &restarted}, row.places()...)...); err != nil {
			return err
		}
		if restarted.Valid {
			state.Restarted = time.UnixMicro(restarted.Int64)
		}
		row.finish()
		states[name], byID[id] = state, name
		w.ids[name] = id
		return nil
	})
	if err != nil {
		return err
	}
	w.ledger.States = states
	known := make([]int, 0, len(moves)) // moves that have a token and a group
	for i := range moves {
		if _, ok := states[moves[i].Group]; ok && moves[i].Token != (jwtproto.TokenID{}) {
			known = append(known, i)
		}
	}
	seen := make(map[jwtproto.TokenKey]jwtproto.Row)
	err = w.query(&loadTokens, len(known), func(args []any, i int) []any {
		m := &moves[known[i]]
		return append(args, w.ids[m.Group], m.Token[:])
	}, func(rows *sql.Rows) error {
		var group int64
		var token []byte
		var earlier jwtproto.Row
		row := newRowScan(&earlier)
		if err := rows.Scan(append([]any{&group, &token}, row.places()...)...); err != nil {
			return err
		}
		row.finish()
		key := jwtproto.TokenKey{Group: byID[group]}
		copy(key.Token[:], token)
		seen[key] = earlier
		return nil
	})
	w.ledger.Seen = seen
	return err
}
