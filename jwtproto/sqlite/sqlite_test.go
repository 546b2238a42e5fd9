package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"gdtls/jwtproto"
	"gdtls/jwtproto/sqlite"
	"gdtls/jwtproto/storetest"
)

// kind is how stores are opened: each test has a file.
var kind = storetest.Kind{Shared: true, New: func(t testing.TB) func() (jwtproto.Store, error) {
	path := filepath.Join(t.TempDir(), "gdtls.sqlite")
	return func() (jwtproto.Store, error) { return sqlite.Open(context.Background(), path) }
}}

func TestStore(t *testing.T) { storetest.Run(t, kind) }

func TestSecrets(t *testing.T) { storetest.RunSecrets(t, kind) }

func TestAccounts(t *testing.T) { storetest.RunAccounts(t, kind) }
