package jwtproto

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// ClientsFolder is where CreateLab puts what the groups get: their private keys.
const ClientsFolder = "clients"

const keygenRSA = 2048 // bits

// A NewGroup is a group that CreateLab makes a key for.
type NewGroup struct {
	Name    string // in upper case
	Members []int64
	RSA     bool // otherwise P-256
	SSH     bool // the public key in ssh-keygen's format, otherwise PEM
	PSK     bool // with a pre-shared key for DTLS
}

// CreateLab makes a lab folder: groups.toml, the public keys, a new secret, and in
// ClientsFolder the private key of each group as NAME.pem. It overwrites nothing: a file
// that is there already is an error.
func CreateLab(dir string, groups []NewGroup) error {
	if len(groups) == 0 {
		return errors.New("jwtproto: a lab needs a group")
	}
	var table strings.Builder
	for _, folder := range []string{"", KeysFolder, SecretFolder, ClientsFolder} {
		mode := os.FileMode(0o755)
		if folder == SecretFolder || folder == ClientsFolder {
			mode = 0o700
		}
		if err := os.MkdirAll(filepath.Join(dir, folder), mode); err != nil {
			return fmt.Errorf("jwtproto: cannot make the lab: %w", err)
		}
	}
	for _, g := range groups {
		entry := groupEntry{Members: g.Members}
		if g.PSK {
			psk := make([]byte, 32)
			rand.Read(psk) // never fails
			entry.PSK = hex.EncodeToString(psk)
		}
		if _, err := entry.group(g.Name); err != nil {
			return fmt.Errorf("jwtproto: group %s: %w", g.Name, err)
		}
		fmt.Fprintf(&table, "[%q]\nmembers = [%s]\n", g.Name, joinNumbers(g.Members))
		if entry.PSK != "" {
			fmt.Fprintf(&table, "psk = %q\n", entry.PSK)
		}
		table.WriteByte('\n')
		if err := writeKeys(dir, g); err != nil {
			return fmt.Errorf("jwtproto: group %s: %w", g.Name, err)
		}
	}
	if err := writeNew(filepath.Join(dir, SecretFolder, SecretFile), []byte(newTokenID()+newTokenID()), 0o600); err != nil {
		return fmt.Errorf("jwtproto: cannot write the secret: %w", err)
	}
	if err := writeNew(filepath.Join(dir, GroupsFile), []byte(table.String()), 0o600); err != nil {
		return fmt.Errorf("jwtproto: cannot write the groups: %w", err)
	}
	return nil
}

func joinNumbers(numbers []int64) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(numbers)), ", "), "[]")
}

// writeKeys makes a key pair and writes both halves.
func writeKeys(dir string, g NewGroup) error {
	var key crypto.Signer
	var err error
	if g.RSA {
		key, err = rsa.GenerateKey(rand.Reader, keygenRSA)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, extension, err := marshalPublic(key.Public(), g.SSH)
	if err != nil {
		return err
	}
	base := strings.ToLower(g.Name)
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if err := writeNew(filepath.Join(dir, ClientsFolder, base+".pem"), private, 0o600); err != nil {
		return err
	}
	return writeNew(filepath.Join(dir, KeysFolder, base+extension), public, 0o644)
}

func marshalPublic(key crypto.PublicKey, asSSH bool) (data []byte, extension string, err error) {
	if asSSH {
		public, err := ssh.NewPublicKey(key)
		if err != nil {
			return nil, "", err
		}
		return ssh.MarshalAuthorizedKey(public), ".ssh", nil
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), ".pem", err
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, data []byte, mode os.FileMode) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

// ParsePrivateKey reads a private key for requests from PEM: PKCS#8, PKCS#1 or SEC 1.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("jwtproto: it has no PEM block with a private key")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("jwtproto: it holds a %s, not a private key", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("jwtproto: the private key cannot be read: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("jwtproto: a %T cannot sign", key)
	}
	return signer, nil
}
