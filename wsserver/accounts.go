package wsserver

import (
	"context"
	"sync"
)

// Accounts knows the passwords' hashes. It has builtin types only, so that a database
// can have this method without this package.
type Accounts interface {
	// PasswordHash gives what HashPassword made for an account, empty if there is no
	// such account. It should take as long for a name that is unknown. A hash at other
	// costs than those of HashPassword takes another time than an unknown name does.
	PasswordHash(ctx context.Context, name string) (hash string, err error)
}

// MemoryAccounts are Accounts that are forgotten with the program. The zero value has
// none.
type MemoryAccounts struct {
	mu     sync.RWMutex
	hashes map[string]string
}

// SetPassword adds an account, or changes its password.
func (m *MemoryAccounts) SetPassword(name, password string) error {
	hash, err := HashPassword(password)
	if err != nil {
		return err
	}
	return m.SetPasswordHash(name, hash)
}

// SetPasswordHash is SetPassword with what HashPassword has made.
func (m *MemoryAccounts) SetPasswordHash(name, hash string) error {
	if err := CheckAccount(name, hash); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hashes == nil {
		m.hashes = map[string]string{}
	}
	m.hashes[name] = hash
	return nil
}

// Remove takes an account away. Its tokens stay good until they expire, but are not
// renewed, as after a change of the password.
func (m *MemoryAccounts) Remove(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.hashes, name)
}

// PasswordHash gives the hash of an account.
func (m *MemoryAccounts) PasswordHash(_ context.Context, name string) (string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.hashes[name], nil
}

// CheckAccount tells what is wrong with the name of an account or the hash of its
// password, before a store takes them: the name has 1 to [MaxNameLength] bytes of
// printable UTF-8 without a space at its ends, the hash is as [HashPassword] makes it,
// at costs within bounds.
func CheckAccount(name, hash string) error {
	if err := checkName(name); err != nil {
		return err
	}
	_, err := parsePasswordHash(hash)
	return err
}
