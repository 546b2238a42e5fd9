//go:build unix

package postgres

import (
	"strings"
	"testing"

	"gdtls/jwtproto/postgres/pgtest"
)

// TestPlans looks at the plans that are made while all tables are empty, and kept. Those
// that were good only for small tables made batches a hundred times as slow.
func TestPlans(t *testing.T) {
	s := openStore(t, pgtest.Database(t))
	c, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if _, err := c.Exec(t.Context(), "SET plan_cache_mode = force_generic_plan"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, statement, arguments, want string }{
		{"lock", lockGroups, "'{}'", "Index Cond: (name = ANY ($1))"},
		{"find", findTokens, "'{}'", "Index Cond: (token = ANY ($1))"},
		{"repeats", addRepeats, "'{}', '{}', '{}'", "Index Cond: ((grp = n.grp) AND (seq = n.seq))"},
		{"update", updateGroups, "'{}'" + strings.Repeat(", '{}'", 10), "Index Cond: (id = n.id)"},
		{"history", selectHistory, "'', 0, 1", "AND (seq > $2))"},
	} {
		if _, err := c.Exec(t.Context(), "PREPARE "+test.name+" AS "+test.statement); err != nil {
			t.Fatal(err)
		}
		rows, err := c.Query(t.Context(), "EXPLAIN EXECUTE "+test.name+" ("+test.arguments+")")
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, line)
		}
		if text := strings.Join(plan, "\n"); !strings.Contains(text, test.want) || strings.Contains(text, "Join Filter") || test.name == "history" && strings.Contains(text, "Sort") {
			t.Errorf("the plan of %s does not have %q, or has more:\n%s", test.name, test.want, text)
		}
	}
}
