package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gdtls/jwtproto"
)

// conflictPause is how long at most a batch waits before it is tried again that the
// database has given up because of another.
const conflictPause = 10 * time.Millisecond

// Apply decides about a batch and keeps what follows, in two round trips.
//
// Conflicts between servers are solved within ctx. An error after the writes are on their
// way may leave the batch kept: the answer to its commit is lost then.
func (s *Store) Apply(ctx context.Context, rules jwtproto.Rules, batch *jwtproto.Batch) ([]jwtproto.Outcome, error) {
	outcomes, err := s.apply(ctx, rules, batch)
	return outcomes, s.explain("the batch was not kept, or it is not known whether it was", err)
}

func (s *Store) apply(ctx context.Context, rules jwtproto.Rules, batch *jwtproto.Batch) ([]jwtproto.Outcome, error) {
	fresh := false
	for {
		outcomes, err := s.try(ctx, rules, batch)
		var missing missingGroups
		var lost *lostBefore
		switch {
		case err == nil:
			return outcomes, nil
		case ctx.Err() != nil:
			return nil, errors.Join(ctx.Err(), err)
		case errors.As(err, &missing):
			if err := s.create(ctx, missing); err != nil {
				return nil, err
			}
		case hasState(err, serializationFailure, deadlockDetected):
			time.Sleep(rand.N(conflictPause))
		case (errors.As(err, &lost) || hasState(err, readOnlyTransaction)) && !fresh:
			// The database was away since the connection was used last, or is a standby
			// now, and so it is for the other ones.
			s.pool.Reset()
			fresh = true
		default:
			return nil, err
		}
	}
}

// missingGroups are names that have to be created before a batch is applied.
type missingGroups []string

func (missingGroups) Error() string { return "groups are missing" }

// lostBefore is the error of a connection that was lost before anything was written.
type lostBefore struct{ error }

func (l *lostBefore) Unwrap() error { return l.error }

// try applies a batch once.
func (s *Store) try(ctx context.Context, rules jwtproto.Rules, batch *jwtproto.Batch) ([]jwtproto.Outcome, error) {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Release() // which closes it if the transaction has not ended
	l := jwtproto.Ledger{Rules: rules, States: map[string]jwtproto.GroupState{}, Seen: map[jwtproto.TokenKey]jwtproto.Row{}}
	ids, err := load(ctx, c, batch, &l)
	if err != nil {
		return nil, err
	}
	outcomes := make([]jwtproto.Outcome, len(batch.Moves))
	for i := range batch.Moves {
		outcomes[i] = l.Apply(&batch.Moves[i])
	}
	return outcomes, s.keep(ctx, c, batch, &l, ids)
}

const (
	lockGroups = `
SELECT id, name, last, completed, restarted, rows, at, registration, request, number, next, step
FROM gdtls.groups WHERE name = ANY($1) ORDER BY name FOR UPDATE`

	findTokens = `
SELECT token, seq, at, registration, request, number, next, step, repeats
FROM gdtls.history WHERE token = ANY($1)`

	createGroups = `
INSERT INTO gdtls.groups (name) SELECT name FROM unnest($1::text[]) AS name ORDER BY name
ON CONFLICT DO NOTHING`
)

// load begins the transaction of a batch, takes the rows of its groups, in the order of
// their names, and then reads what the Ledger needs, in one round trip. It gives the ids of
// the groups.
func load(ctx context.Context, c *pgxpool.Conn, batch *jwtproto.Batch, l *jwtproto.Ledger) (map[string]int32, error) {
	names := make([]string, 0, len(batch.Moves))
	tokens := make([][16]byte, 0, len(batch.Moves))
	asked := make(map[[16]byte]jwtproto.TokenKey, len(batch.Moves))
	for i := range batch.Moves {
		m := &batch.Moves[i]
		names = append(names, m.Group)
		if m.Token != (jwtproto.TokenID{}) {
			name := tokenName(m.Group, m.Token)
			tokens = append(tokens, name)
			asked[name] = jwtproto.TokenKey{Group: m.Group, Token: m.Token}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	ids := make(map[string]int32, len(names))

	var ask pgx.Batch
	ask.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	if len(names) > 0 {
		ask.Queue(lockGroups, names).Query(func(rows pgx.Rows) error { return readStates(rows, ids, l) })
	}
	// A snapshot is taken for each statement: this one sees what was committed before the
	// rows of the groups were taken.
	if len(tokens) > 0 {
		ask.Queue(findTokens, tokens).Query(func(rows pgx.Rows) error { return readTokens(rows, asked, l) })
	}
	if err := c.SendBatch(ctx, &ask).Close(); err != nil {
		if c.Conn().IsClosed() {
			return nil, &lostBefore{err}
		}
		return nil, err
	}
	missing := slices.DeleteFunc(names, func(name string) bool { _, there := ids[name]; return there })
	if len(missing) > 0 {
		if _, err := c.Exec(ctx, "ROLLBACK"); err != nil {
			return nil, err
		}
		return nil, missingGroups(missing)
	}
	return ids, nil
}

// create makes groups that have not moved yet. It is a transaction of its own: no group
// is held while others are waited for.
func (s *Store) create(ctx context.Context, names []string) error {
	_, err := s.pool.Exec(ctx, createGroups, names)
	return err
}

func readStates(rows pgx.Rows, ids map[string]int32, l *jwtproto.Ledger) error {
	var id int32
	var name string
	var state jwtproto.GroupState
	var restarted, at *time.Time
	var request []byte
	row := &state.Row
	_, err := pgx.ForEachRow(rows, []any{&id, &name, &state.Last, &state.Completed, &restarted, &row.Seq, &at, &row.Registration, &request, &row.Number, &row.Next, &row.Step}, func() error {
		ids[name] = id
		if row.Seq > 0 {
			state.Restarted, row.Time = instant(restarted), instant(at)
			copy(row.ID[:], request)
			l.States[name] = state
		}
		return nil
	})
	return err
}

func readTokens(rows pgx.Rows, asked map[[16]byte]jwtproto.TokenKey, l *jwtproto.Ledger) error {
	var token [16]byte
	var row jwtproto.Row
	var request []byte
	_, err := pgx.ForEachRow(rows, append([]any{&token}, rowTargets(&row, &request)...), func() error {
		copy(row.ID[:], request)
		l.Seen[asked[token]] = row
		return nil
	})
	return err
}

// rowTargets are where the columns seq to repeats of a row of the history go.
func rowTargets(row *jwtproto.Row, request *[]byte) []any {
	return []any{&row.Seq, &row.Time, &row.Registration, request, &row.Number, &row.Next, &row.Step, &row.Repeats}
}

// tokenName stands for a token and its group: two groups may have the same token.
func tokenName(group string, token jwtproto.TokenID) [16]byte {
	sum := sha256.Sum256(append(token[:], group...))
	return [16]byte(sum[:16])
}
