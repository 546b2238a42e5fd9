//go:build unix

package postgres

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"gdtls/jwtproto"
	"gdtls/jwtproto/postgres/pgtest"
	"gdtls/jwtproto/storetest"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// kind is how stores are opened: each test has a database.
var kind = storetest.Kind{
	New: func(t testing.TB) func() (jwtproto.Store, error) {
		address := pgtest.Database(t)
		return func() (jwtproto.Store, error) { return Open(t.Context(), address) }
	},
	Shared: true,
}

func TestStore(t *testing.T) { storetest.Run(t, kind) }

func TestSecrets(t *testing.T) { storetest.RunSecrets(t, kind) }
