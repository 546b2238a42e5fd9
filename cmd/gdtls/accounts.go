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

// accountKeeper keeps accounts, in a file or a store.
type accountKeeper interface {
	PasswordHash(ctx context.Context, name string) (hash string, err error)
	SetPasswordHash(ctx context.Context, name, hash string) error
	RemoveAccount(ctx context.Context, name string) (there bool, err error)
	Accounts(ctx context.Context) (names []string, err error)
}

// accounts are those of a file, which is read again when it changes. Safe for concurrent
// use.
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

// Accounts gives the names, in order.
func (a *accounts) Accounts(context.Context) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.read(); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(a.hashes)), nil
}

// SetPasswordHash adds an account, or changes its password.
func (a *accounts) SetPasswordHash(_ context.Context, name, hash string) error {
	return a.change(func(hashes map[string]string) bool {
		hashes[name] = hash
		return true
	})
}

// RemoveAccount takes an account away, and tells whether there was one.
func (a *accounts) RemoveAccount(_ context.Context, name string) (there bool, err error) {
	err = a.change(func(hashes map[string]string) bool {
		_, there = hashes[name]
		delete(hashes, name)
		return there
	})
	return there, err
}

// change writes the file anew if how has changed something, and makes it if there is none.
func (a *accounts) change(how func(hashes map[string]string) bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.read(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	hashes := maps.Clone(a.hashes)
	if hashes == nil {
		hashes = map[string]string{}
	}
	if !how(hashes) {
		return nil
	}
	text, err := toml.Marshal(accountsContent{hashes})
	if err != nil {
		return err
	}
	// A file beside it takes its place, so that nobody reads half of it.
	f, err := os.CreateTemp(filepath.Dir(a.path), ".console-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), a.path)
}
