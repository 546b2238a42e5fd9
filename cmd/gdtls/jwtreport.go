package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gdtls/jwtproto"
	"gdtls/jwtproto/postgres"
	"gdtls/jwtproto/sqlite"
)

// historyPage is how many rows are read at once.
const historyPage = 1000

// reported is the store that a report is about. A server may be using it.
type reported struct {
	Dir   string `arg:"" optional:"" default:"." help:"Lab folder of the server. (default: the current folder)"`
	Store string `placeholder:"STORE" help:"The server's store: sqlite:FILE or postgres://USER@HOST/DATABASE. (default: sqlite:DIR/store/gdtls.sqlite)"`
}

// use opens the store, which must exist.
func (r reported) use(ctx context.Context, do func(jwtproto.Store) error) (err error) {
	address, err := storeOf(r.Store, r.Dir)
	if err != nil {
		return err
	}
	store, err := address.openToRead(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return do(store)
}

// openToRead opens a store that exists, to report what is in it.
func (a storeAddress) openToRead(ctx context.Context) (jwtproto.Store, error) {
	switch a.kind {
	case "memory":
		return nil, usagef("--store memory: has nothing to show: only the server itself sees its memory")
	case "postgres":
		return opened(postgres.Open(ctx, a.kind+":"+a.rest))
	}
	if _, err := os.Stat(a.rest); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no store %s: no server has been started for it (gdtls jwt serve tells which one it uses)", a)
	}
	return opened(sqlite.Open(ctx, a.rest, sqlite.ReadOnly()))
}

// jwtStatus is "gdtls jwt status".
type jwtStatus struct {
	reported
	CSV    bool `name:"csv" help:"Print a table for programs, a line for each group and each of its members."`
	States int  `default:"7" placeholder:"N" help:"Number of states, for the drawing. (default: ${default})"`
}

// Help tells what is counted.
func (*jwtStatus) Help() string {
	return "Works beside a running server. A walk is completed by the member who says the last number. Members are listed of whom anything is known."
}

// Run reports.
func (s *jwtStatus) Run(env *environment) error {
	switch {
	case s.States < jwtproto.MinStates || s.States > jwtproto.MaxStates:
		return usagef("--states takes %d to %d, and not %d", jwtproto.MinStates, jwtproto.MaxStates, s.States)
	case s.CSV && env.out.json:
		return usagef("--csv and --json contradict each other")
	}
	return s.use(env.ctx, func(store jwtproto.Store) error {
		groups, err := store.Status(env.ctx)
		if err != nil {
			return err
		}
		if s.CSV {
			return writeStatus(csv.NewWriter(env.out.stdout), groups)
		}
		out := env.out.viewed(jwtReportView)
		for _, g := range groups {
			out.emit(newJWTGroup(g))
		}
		out.emit(jwtStatusTable{groups, s.States, env.out.terminal})
		return nil
	})
}

// writeStatus writes a line for each group, without a registration, and each member.
func writeStatus(to *csv.Writer, groups []jwtproto.GroupStatus) error {
	_ = to.Write([]string{"group", "registration", "last", "completed", "advanced", "restarted", "repeated", "out_of_turn", "seen", "refused", "refusals"})
	write := func(group, registration string, m jwtproto.MemberStatus) {
		number := func(n uint64) string { return strconv.FormatUint(n, 10) }
		refused, reasons := refusalsText(m.Refusals)
		_ = to.Write([]string{group, registration, strconv.Itoa(m.Last), number(m.Completed), number(m.Advanced), number(m.Restarted),
			number(m.Repeated), number(m.OutOfTurn), timestamp(m.Seen), number(refused), reasons})
	}
	for _, g := range groups {
		write(g.Group, "", total(g))
		for _, m := range g.Members {
			write(g.Group, strconv.FormatInt(m.Registration, 10), m)
		}
	}
	to.Flush()
	return to.Error() // of all that was written
}

// total is what all members of a group did together.
func total(g jwtproto.GroupStatus) jwtproto.MemberStatus {
	all := jwtproto.MemberStatus{Last: g.Last, Completed: g.Completed, Seen: g.Seen, Refusals: g.Refusals}
	for _, m := range g.Members {
		all.Advanced += m.Advanced
		all.Restarted += m.Restarted
		all.Repeated += m.Repeated
		all.OutOfTurn += m.OutOfTurn
		if m.Seen.After(all.Seen) { // a repeated request makes no row
			all.Seen = m.Seen
		}
	}
	return all
}

// refusalsText counts refusals, and lists them, the most frequent first.
func refusalsText(refusals map[jwtproto.Refusal]uint64) (all uint64, text string) {
	reasons := slices.SortedFunc(maps.Keys(refusals), func(a, b jwtproto.Refusal) int {
		if refusals[a] != refusals[b] {
			return int(min(max(int64(refusals[b]-refusals[a]), -1), 1))
		}
		return strings.Compare(string(a), string(b))
	})
	var list []string
	for _, why := range reasons {
		all += refusals[why]
		list = append(list, fmt.Sprintf("%d %s", refusals[why], why))
	}
	return all, strings.Join(list, "; ")
}

// timestamp writes a time for programs, empty if there is none.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// jwtHistory is "gdtls jwt history".
type jwtHistory struct {
	Group string `arg:"" help:"The group."`
	reported
	After *uint64 `placeholder:"N" help:"Begin behind the row of this number. (default: the last rows)"`
	Limit int     `default:"100" placeholder:"N" help:"How many rows at most. (default: ${default})"`
}

// Run reports.
func (h *jwtHistory) Run(env *environment) error {
	if h.Limit < 1 {
		return usagef("--limit must be at least 1, and is %d", h.Limit)
	}
	group := strings.ToUpper(h.Group)
	return h.use(env.ctx, func(store jwtproto.Store) error {
		after, err := h.begin(env.ctx, store, group)
		if err != nil {
			return err
		}
		out := env.out.viewed(jwtReportView)
		left := h.Limit
		return eachRow(env.ctx, store, group, after, func(row jwtproto.Row) bool {
			out.emit(newJWTRow(group, row))
			left--
			return left > 0
		})
	})
}

// begin finds the row behind which the report begins.
func (h *jwtHistory) begin(ctx context.Context, store jwtproto.Store, group string) (uint64, error) {
	groups, err := store.Status(ctx)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(groups, func(g jwtproto.GroupStatus) bool { return g.Group == group })
	switch {
	case i < 0:
		return 0, fmt.Errorf("nothing is known of a group %s (gdtls jwt status lists those of whom something is)", group)
	case h.After != nil:
		return *h.After, nil
	}
	return groups[i].Rows - min(groups[i].Rows, uint64(h.Limit)), nil
}

// eachRow calls do with the rows of a group behind one, until do has enough.
func eachRow(ctx context.Context, store jwtproto.Store, group string, after uint64, do func(jwtproto.Row) bool) error {
	for {
		rows, err := store.History(ctx, group, after, historyPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			if !do(row) {
				return nil
			}
		}
		after = rows[len(rows)-1].Seq
	}
}

// jwtExport is "gdtls jwt export".
type jwtExport struct{ reported }

// Help tells what comes.
func (*jwtExport) Help() string {
	return "Prints a JSON object a line: for each group one as of gdtls jwt status --json, and after it its rows, as of gdtls jwt history --json."
}

// Run writes everything, as it is read.
func (e *jwtExport) Run(env *environment) error {
	return e.use(env.ctx, func(store jwtproto.Store) error {
		groups, err := store.Status(env.ctx)
		if err != nil {
			return err
		}
		buffer := bufio.NewWriter(env.out.stdout)
		out := newOutput(buffer, env.out.stderr, true)
		for _, g := range groups {
			out.emit(newJWTGroup(g))
			written := true
			err := eachRow(env.ctx, store, g.Group, 0, func(row jwtproto.Row) bool {
				out.emit(newJWTRow(g.Group, row))
				_, failed := buffer.Write(nil) // of what is written by now
				written = failed == nil
				return written
			})
			if err != nil {
				return errors.Join(err, buffer.Flush())
			}
			if !written {
				break
			}
		}
		if err := buffer.Flush(); err != nil {
			return fmt.Errorf("cannot write: %w", err)
		}
		return nil
	})
}
