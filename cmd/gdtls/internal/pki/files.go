package pki

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Files names the two files of a pair.
type Files struct{ Certificate, Key string }

// FilesIn names the files of what has the base name, such as "ca": ca.pem and
// ca-key.pem.
func FilesIn(dir, base string) Files {
	return Files{filepath.Join(dir, base+".pem"), filepath.Join(dir, base+"-key.pem")}
}

// Existing gives those of the files that are there.
func (f Files) Existing() []string {
	var there []string
	for _, name := range []string{f.Certificate, f.Key} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, name)
		}
	}
	return there
}

// Write puts the pair into the files, whether or not they are there. Only the user
// may read the key.
func (p *Pair) Write(f Files) error {
	key, err := p.KeyPEM()
	if err != nil {
		return err
	}
	if err := writeFile(f.Key, key, 0o600); err != nil {
		return err
	}
	return writeFile(f.Certificate, p.CertificatePEM(), 0o644)
}

// writeFile replaces a file as a whole, so that it has the mode also if there was
// one with another, and no reader sees half of it.
func writeFile(name string, content []byte, mode fs.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // of no effect once it has its name
	_, err = temporary.ReadFrom(bytes.NewReader(content))
	err = errors.Join(err, temporary.Chmod(mode), temporary.Close())
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), name)
}

// Read reads a pair.
func Read(f Files) (*Pair, error) {
	pair, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: private key cannot sign", f.Key)
	}
	return &Pair{pair.Leaf, key}, nil
}
