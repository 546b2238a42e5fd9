package sqlite

import (
	"context"
	"slices"

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

// write has something written in a transaction of its own. ctx says how long it may wait
// for its turn.
func (s *Store) write(ctx context.Context, do func(*writer) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed.Load():
		return jwtproto.ErrStoreClosed
	case s.readOnly:
		return errReadOnly
	}
	if err := s.transact(ctx, do); err != nil {
		return s.file.explain("cannot write to", err)
	}
	return nil
}

// transact connects if that has to be. After an error the next transaction has a new
// connection: it may be another file by then.
func (s *Store) transact(ctx context.Context, do func(*writer) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.writer == nil {
		if s.writer, err = connect(ctx, &s.file, s.remembered); err != nil {
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
	if err = do(w); err == nil {
		err = w.exec(&commit, 1, nil)
	}
	if err == nil {
		err = w.moved()
	}
	if err != nil {
		_ = w.exec(&rollback, 1, nil) // closing does so, too
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
	w.remember()
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
