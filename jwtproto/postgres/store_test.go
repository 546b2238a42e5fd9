//go:build unix

package postgres

import (
	"os"
	"testing"

	"gdtls/jwtproto"
	"gdtls/jwtproto/postgres/pgtest"
	"gdtls/jwtproto/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Kind{
		New: func(t testing.TB) func() (jwtproto.Store, error) {
			address := pgtest.Database(t)
			return func() (jwtproto.Store, error) { return Open(t.Context(), address) }
		},
		Shared: true,
	})
}
