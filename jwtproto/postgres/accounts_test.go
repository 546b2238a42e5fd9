//go:build unix

package postgres

import (
	"testing"
	"time"

	"gdtls/jwtproto/postgres/pgtest"
	"gdtls/jwtproto/storetest"
)

func TestAccounts(t *testing.T) { storetest.RunAccounts(t, kind) }

// TestRevocationsEnd shows that revocations do not gather for ever.
func TestRevocationsEnd(t *testing.T) {
	s := openStore(t, pgtest.Database(t))
	now := time.Now()
	for login, until := range map[string]time.Time{"over": now.Add(-time.Second), "old": now.Add(-2 * clockLeeway)} {
		if err := s.Revoke(t.Context(), login, until); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Revoke(t.Context(), "new", now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	var kept int
	if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM gdtls.revocations").Scan(&kept); err != nil || kept != 2 {
		t.Errorf("%d are kept: %v", kept, err)
	}
}
