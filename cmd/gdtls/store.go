package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gdtls/jwtproto"
	"gdtls/jwtproto/postgres"
	"gdtls/jwtproto/sqlite"
)

// storeAddress is where the state of a JWT server is kept, as --store names it.
type storeAddress struct {
	kind   string // memory, sqlite or postgres
	rest   string // what open needs to know
	events bool   // other servers are told of what is acknowledged, if they can be
}

// parseStore reads the value of --store.
func parseStore(text string) (storeAddress, error) {
	kind, rest, found := strings.Cut(text, ":")
	switch {
	case kind == "memory" && rest == "", kind == "sqlite" && rest != "":
		return storeAddress{kind: kind, rest: rest}, nil
	case kind == "postgres" || kind == "postgresql":
		if !strings.HasPrefix(rest, "//") {
			return storeAddress{}, usagef("--store postgres: takes an address such as postgres://user@host/database; the password may also come from PGPASSWORD or the file of PGPASSFILE")
		}
		return storeAddress{kind: "postgres", rest: rest}, nil
	case kind == "memory":
		return storeAddress{}, usagef("--store memory: has no name after it, and not %q", rest)
	case !found || kind != "sqlite":
		return storeAddress{}, usagef("--store takes sqlite:FILE, postgres://user@host/database or memory:, and not %q", text)
	}
	return storeAddress{}, usagef("--store sqlite: needs the name of a file after it")
}

// storeOf is the store that is named, or else that of a lab folder.
func storeOf(named, dir string) (storeAddress, error) {
	if named != "" {
		return parseStore(named)
	}
	return labStore(dir), nil
}

// labStore is the store of a lab folder. It has a folder of its own, since the lab folder
// is watched, and would be at each commit.
func labStore(dir string) storeAddress {
	return storeAddress{kind: "sqlite", rest: filepath.Join(dir, "store", "gdtls.sqlite")}
}

// String is the address as --store takes it, without a password.
func (a storeAddress) String() string {
	text := a.kind + ":" + a.rest
	if a.kind != "postgres" {
		return text
	}
	address, err := url.Parse(text)
	if err != nil {
		return a.kind + ":"
	}
	address.RawQuery = "" // where there may be one, too
	return address.Redacted()
}

// open opens the store, and makes it, and its folder, if it does not exist.
func (a storeAddress) open(ctx context.Context) (jwtproto.Store, error) {
	switch a.kind {
	case "memory":
		return jwtproto.NewMemory(), nil
	case "postgres":
		var options []postgres.Option
		if a.events {
			options = append(options, postgres.WithEvents())
		}
		return opened(postgres.Open(ctx, a.kind+":"+a.rest, options...))
	}
	if err := os.MkdirAll(filepath.Dir(a.rest), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the store %s: %w", a, err)
	}
	return opened(sqlite.Open(ctx, a.rest))
}

// opened makes a Store of a kind a Store, or no store if there was an error.
func opened[S jwtproto.Store](store S, err error) (jwtproto.Store, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}
