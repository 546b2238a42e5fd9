package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/BurntSushi/toml"

	"gdtls/wsserver"
)

// accountsFile is where the accounts of the console are, if nothing else is said.
const accountsFile = "console.toml"

// maxAccountsFile is how many bytes it may have.
const maxAccountsFile = 1 << 20

// accounts are those of a file, which is read again when it changes. They are
// [wsserver.Accounts]. Safe for concurrent use.
type accounts struct {
	path string

	mu     sync.Mutex
	seen   time.Time // when the file was changed, as it was read last
	size   int64
	hashes map[string]string
}

// accountsContent is what is in the file.
type accountsContent struct {
	Accounts map[string]string `toml:"accounts"` // hashes by names
}

// openAccounts reads a file.
func openAccounts(path string) (*accounts, error) {
	a := &accounts{path: path}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a, a.read()
}

// PasswordHash gives the hash of an account, empty if there is none.
func (a *accounts) PasswordHash(_ context.Context, name string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.read(); err != nil {
		return "", err
	}
	return a.hashes[name], nil
}

// read reads the file if it has changed. The caller holds mu.
func (a *accounts) read() error {
	info, err := os.Stat(a.path)
	if err != nil {
		return err
	}
	if a.hashes != nil && info.ModTime().Equal(a.seen) && info.Size() == a.size {
		return nil
	}
	if info.Mode().Perm()&0o077 != 0 && checkModes {
		return fmt.Errorf("%s can be read by others: it holds hashes of passwords (chmod 600 %s)", a.path, a.path)
	}
	if info.Size() > maxAccountsFile {
		return fmt.Errorf("%s has more than %d bytes", a.path, maxAccountsFile)
	}
	var content accountsContent
	if _, err := toml.DecodeFile(a.path, &content); err != nil {
		return fmt.Errorf("%s: %w", a.path, err)
	}
	for name, hash := range content.Accounts {
		if err := wsserver.CheckAccount(name, hash); err != nil {
			return fmt.Errorf("%s: account %q: %w", a.path, name, err)
		}
	}
	a.seen, a.size = info.ModTime(), info.Size()
	if a.hashes = content.Accounts; a.hashes == nil {
		a.hashes = map[string]string{}
	}
	return nil
}

// names are those of the accounts.
func (a *accounts) names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.hashes))
}

// setAccount writes an account into the file, which it makes if there is none; an empty
// hash takes the account away. It tells whether there was one of the name.
func setAccount(path, name, hash string) (was bool, err error) {
	a, err := openAccounts(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	hashes := maps.Clone(a.hashes)
	if hashes == nil {
		hashes = map[string]string{}
	}
	_, was = hashes[name]
	if hash == "" {
		delete(hashes, name)
	} else if err := wsserver.CheckAccount(name, hash); err != nil {
		return was, err
	} else {
		hashes[name] = hash
	}
	text, err := toml.Marshal(accountsContent{hashes})
	if err != nil {
		return was, err
	}
	// A file beside it takes its place, so that nobody reads half of it.
	f, err := os.CreateTemp(filepath.Dir(path), ".console-*") // mode 0600
	if err != nil {
		return was, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return was, err
	}
	return was, os.Rename(f.Name(), path)
}
