package main

import (
	"encoding/hex"
	"fmt"
	"strings"

	"gdtls/conn"
)

// credentials are the flags by which either side says who it is and whom it trusts.
type credentials struct {
	Cert        string   `placeholder:"FILE" help:"PEM file with the own certificate, and after it those of its issuers."`
	Key         string   `placeholder:"FILE" help:"PEM file with its private key. (default: the file of --cert)"`
	CA          string   `name:"ca" placeholder:"FILE" help:"PEM file of the authorities that are trusted. (default: those of the system)"`
	ALPN        []string `name:"alpn" placeholder:"A,B" help:"Application protocols, the preferred first."`
	PSK         string   `name:"psk" placeholder:"HEX" help:"Pre-shared key in hexadecimal."`
	PSKIdentity string   `name:"psk-identity" placeholder:"ID" help:"Identity that the key belongs to."`
}

// certificate reads the own certificate, nil if there is none.
func (c *credentials) certificate() (*conn.TlsCertificate, error) {
	switch {
	case c.Cert == "" && c.Key != "":
		return nil, usagef("--key needs --cert: a private key alone proves nothing")
	case c.Cert == "":
		return nil, nil
	}
	key := c.Key
	if key == "" {
		key = c.Cert
	}
	certificate, err := conn.NewCertificateFromFiles(c.Cert, key)
	if err != nil {
		return nil, fmt.Errorf("cannot use the certificate: %w", err)
	}
	return certificate, nil
}

// database reads the trusted authorities.
func (c *credentials) database() (conn.TlsDatabase, error) { return loadDatabase(c.CA) }

// loadDatabase reads a file of trusted authorities; without one they are the
// system's.
func loadDatabase(file string) (conn.TlsDatabase, error) {
	if file == "" {
		return conn.DefaultDatabase(), nil
	}
	database, err := conn.NewFileDatabase(file)
	if err != nil {
		return nil, fmt.Errorf("cannot use the authorities: %w", err)
	}
	return database, nil
}

// key reads the pre-shared key, nil if there is none. Spaces, colons and a leading
// 0x may stand in it.
func (c *credentials) key() ([]byte, error) {
	if c.PSK == "" {
		if c.PSKIdentity != "" {
			return nil, usagef("--psk-identity needs --psk: there is no key for %q", c.PSKIdentity)
		}
		return nil, nil
	}
	digits := strings.NewReplacer(" ", "", ":", "").Replace(strings.TrimPrefix(c.PSK, "0x"))
	key, err := hex.DecodeString(digits)
	if err != nil || len(key) == 0 {
		return nil, usagef("--psk must be the key in hexadecimal, two digits a byte, such as 1a2b3c4d5e6f")
	}
	return key, nil
}

// protocols checks the names for ALPN.
func (c *credentials) protocols() ([]string, error) {
	for _, name := range c.ALPN {
		if name == "" || len(name) > 255 {
			return nil, usagef("--alpn names have 1 to 255 bytes, and %q has %d", name, len(name))
		}
	}
	return c.ALPN, nil
}
