package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gdtls/jwtproto"
	"gdtls/jwtproto/sqlite"
)

// storeAddress is where the state of a JWT server is kept, as --store names it.
type storeAddress struct {
	kind string // memory or sqlite
	rest string // what open needs to know
}

// parseStore reads the value of --store.
func parseStore(text string) (storeAddress, error) {
	kind, rest, found := strings.Cut(text, ":")
	switch {
	case kind == "memory" && rest == "", kind == "sqlite" && rest != "":
		return storeAddress{kind, rest}, nil
	case kind == "memory":
		return storeAddress{}, usagef("--store memory: has no name after it, and not %q", rest)
	case !found || kind != "sqlite":
		return storeAddress{}, usagef("--store takes sqlite:FILE or memory:, and not %q", text)
	}
	return storeAddress{}, usagef("--store sqlite: needs the name of a file after it")
}

// storeOf is the store that is named, or else that of a lab folder. That one has a folder
// of its own, since the lab folder is watched, and would be at each commit.
func storeOf(named, dir string) (storeAddress, error) {
	if named != "" {
		return parseStore(named)
	}
	return storeAddress{"sqlite", filepath.Join(dir, "store", "gdtls.sqlite")}, nil
}

// String is the address as --store takes it.
func (a storeAddress) String() string { return a.kind + ":" + a.rest }

// open opens the store, and makes it, and its folder, if it does not exist.
func (a storeAddress) open(ctx context.Context) (jwtproto.Store, error) {
	if a.kind == "memory" {
		return jwtproto.NewMemory(), nil
	}
	if err := os.MkdirAll(filepath.Dir(a.rest), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the store %s: %w", a, err)
	}
	return sqlite.Open(ctx, a.rest)
}
