package jwtproto

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"
)

const (
	maxKeyFile = 64 << 10 // bytes

	// The sizes of RSA keys, in bits. crypto/rsa takes no smaller ones; the signature
	// of a larger one leaves no room in a request.
	minRSA, maxRSA = 1024, 8192

	maxGroupName = 64 // bytes, so that every reply has room for it
)

// ParsePublicKey reads a group's public key: RSA or on P-256, as PEM (PKIX or PKCS#1)
// or as the line that ssh-keygen writes. The result is a *rsa.PublicKey or an
// *ecdsa.PublicKey.
func ParsePublicKey(data []byte) (crypto.PublicKey, error) {
	var key any
	var err error
	if block, _ := pem.Decode(data); block != nil {
		switch block.Type {
		case "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(block.Bytes)
		default:
			return nil, fmt.Errorf("it holds a %s, not a PUBLIC KEY or RSA PUBLIC KEY", block.Type)
		}
	} else if bytes.Contains(data, []byte("-----BEGIN")) {
		return nil, errors.New("its PEM block is damaged")
	} else {
		key, err = parseSSH(data)
	}
	if err != nil {
		return nil, err
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return key, nil
}

// parseSSH reads the first line that ssh-keygen wrote.
func parseSSH(data []byte) (any, error) {
	parsed, _, _, _, err := ssh.ParseAuthorizedKey(data)
	if err != nil {
		return nil, errors.New("it is neither PEM nor a line of ssh-keygen's")
	}
	convertible, ok := parsed.(ssh.CryptoPublicKey)
	if !ok {
		return nil, fmt.Errorf("its key is of type %s; RSA and ecdsa-sha2-nistp256 can be used", parsed.Type())
	}
	return convertible.CryptoPublicKey(), nil
}

// checkKey refuses keys that no request could be signed with.
func checkKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("its RSA key has %d bits; %d to %d can be used", bits, minRSA, maxRSA)
		}
		// A sound key finds a wrong signature wrong; a broken one is an error of its own.
		var digest [sha256.Size]byte
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], make([]byte, key.Size())); !errors.Is(err, rsa.ErrVerification) {
			return fmt.Errorf("its RSA key is broken: %v", err)
		}
		return nil
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return fmt.Errorf("its key is on the curve %s; ES256 wants P-256", key.Curve.Params().Name)
		}
		return nil
	}
	return fmt.Errorf("its key is a %T; RSA and P-256 can be used", key)
}

// A Problem is something in a lab folder that cannot be used, or is missing.
type Problem struct {
	File string // or the name of a group
	Err  error
}

// String is one line that names both.
func (p Problem) String() string { return fmt.Sprintf("%s: %v", p.File, p.Err) }

// readKeys reads the public keys below a folder. NAME.ssh wins over NAME.pem; names
// are told in upper case.
func readKeys(folder string) (map[string]crypto.PublicKey, []Problem) {
	keys := map[string]crypto.PublicKey{}
	from := map[string]string{}
	var problems []Problem
	report := func(file string, err error) { problems = append(problems, Problem{file, err}) }
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			report(path, err)
			return nil
		case entry.IsDir():
			return nil
		}
		extension := strings.ToLower(filepath.Ext(path))
		if extension != ".pem" && extension != ".ssh" {
			return nil
		}
		name := strings.ToUpper(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
		if err := checkName(name); err != nil {
			report(path, err)
			return nil
		}
		data, err := readSmall(path)
		if err != nil {
			report(path, err)
			return nil
		}
		key, err := ParsePublicKey(data)
		if err != nil {
			report(path, err)
			return nil
		}
		other, twice := from[name]
		same := twice && strings.EqualFold(filepath.Ext(other), extension)
		switch {
		case same:
			report(path, fmt.Errorf("not used, since %s has a key of the same name", other))
		case twice && extension == ".pem": // .ssh wins
		default:
			keys[name], from[name] = key, path
		}
		return nil
	})
	if err != nil {
		report(folder, err)
	}
	return keys, problems
}

// checkName refuses names that cannot be a group's.
func checkName(name string) error {
	if name == "" || len(name) > maxGroupName {
		return fmt.Errorf("a group's name has 1 to %d bytes, and %q has %d", maxGroupName, name, len(name))
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) || strings.ContainsRune(" :\"\\\ufffd", r) }); i >= 0 {
		return fmt.Errorf("the name %q has a space, a colon, a quotation mark, a backslash or a control character in it", name)
	}
	return nil
}

// readSmall reads a file of at most maxKeyFile bytes.
func readSmall(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("it has more than %d bytes, and is no key", maxKeyFile)
	}
	return data, err
}
