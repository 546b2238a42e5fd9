package main

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"gdtls/cmd/gdtls/internal/pki"
	"gdtls/conn"
)

// certCommand is "gdtls cert".
type certCommand struct {
	New    certNewCommand    `cmd:"" help:"Make a certificate for trying things, and the authority that issues it."`
	Show   certShowCommand   `cmd:"" help:"Show the certificates of a PEM file."`
	Verify certVerifyCommand `cmd:"" help:"Verify a certificate as a connection would."`
}

// certNewCommand is "gdtls cert new".
type certNewCommand struct {
	Name   []string `sep:"none" placeholder:"NAME" help:"DNS name or IP address; may be repeated. The default is localhost, 127.0.0.1 and ::1 for a server, and client for a client."`
	Dir    string   `default:"." placeholder:"DIR" help:"Where the files go: ca.pem, ca-key.pem and server.pem, server-key.pem (or client...). If there is a CA, it issues the certificate. (default: the current directory)"`
	Days   int      `default:"365" placeholder:"N" help:"Days that it is valid. (default: ${default})"`
	RSA    bool     `name:"rsa" help:"RSA keys of 2048 bits instead of ECDSA P-256."`
	Client bool     `help:"A certificate for a client."`
	Force  bool     `help:"Replace a certificate that is there."`
}

// certificateMade: a certificate was issued and written.
type certificateMade struct {
	CA          string          `json:"ca"`     // file
	NewCA       bool            `json:"new_ca"` // it was made, too
	Certificate string          `json:"certificate"`
	Key         string          `json:"key"`
	Info        certificateInfo `json:"info"`
}

func (certificateMade) name() string { return "certificate_made" }

// Run makes the files.
func (c *certNewCommand) Run(env *environment) error {
	if c.Days < 1 {
		return usagef("--days must be at least 1, and is %d", c.Days)
	}
	base, names := "server", []string{"localhost", "127.0.0.1", "::1"}
	if c.Client {
		base, names = "client", []string{"client"}
	}
	if len(c.Name) > 0 {
		names = c.Name
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	leafFiles := pki.FilesIn(c.Dir, base)
	if there := leafFiles.Existing(); len(there) > 0 && !c.Force {
		return fmt.Errorf("this would overwrite %s: --force does so, --dir chooses another place: %w", strings.Join(there, " and "), fs.ErrExist)
	}
	ca, made, err := openAuthority(c.Dir, c.RSA, c.Days)
	if err != nil {
		return err
	}
	leaf, err := ca.Issue(pki.Request{Names: names, Client: c.Client, RSA: c.RSA, Days: c.Days})
	if err != nil {
		return err
	}
	if err := leaf.Write(leafFiles); err != nil {
		return err
	}
	certificate, err := conn.NewCertificate(leaf.TLS())
	if err != nil {
		return err
	}
	env.out.viewed(certView).emit(certificateMade{
		CA: pki.FilesIn(c.Dir, "ca").Certificate, NewCA: made,
		Certificate: leafFiles.Certificate, Key: leafFiles.Key,
		Info: newCertificateInfo(certificate),
	})
	return nil
}

// openAuthority gives the authority whose files are in dir, and makes it if there
// are none.
func openAuthority(dir string, useRSA bool, days int) (ca *pki.Pair, made bool, err error) {
	files := pki.FilesIn(dir, "ca")
	switch there := files.Existing(); len(there) {
	case 0:
		if ca, err = pki.NewAuthority("gdtls CA", useRSA, days); err != nil {
			return nil, false, err
		}
		return ca, true, ca.Write(files)
	case 1:
		return nil, false, fmt.Errorf("%s is there without its counterpart: an authority has both %s and %s", there[0], files.Certificate, files.Key)
	}
	if ca, err = pki.Read(files); err != nil {
		return nil, false, fmt.Errorf("cannot use the CA in %s: %w", dir, err)
	}
	if !ca.Certificate.IsCA {
		return nil, false, fmt.Errorf("%s is not the certificate of an authority", files.Certificate)
	}
	return ca, false, nil
}

// certShowCommand is "gdtls cert show".
type certShowCommand struct {
	File string `arg:"" help:"PEM file."`
}

// certificateShown: a certificate of the file.
type certificateShown struct {
	Index int `json:"index"`
	certificateInfo
}

func (certificateShown) name() string { return "certificate" }

// Run shows the file.
func (c *certShowCommand) Run(env *environment) error {
	list, err := conn.ListCertificatesFromFile(c.File)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("%s holds no certificate in PEM", c.File)
	}
	out := env.out.viewed(certView)
	for i, certificate := range list {
		out.emit(certificateShown{i, newCertificateInfo(certificate)})
	}
	return nil
}

// certVerifyCommand is "gdtls cert verify".
type certVerifyCommand struct {
	File     string `arg:"" help:"PEM file: the certificate, and after it those of its issuers that a peer would send."`
	CA       string `name:"ca" placeholder:"FILE" help:"PEM file of trusted authorities. (default: those of the system)"`
	Identity string `placeholder:"NAME" help:"Host name or IP address that it must have been issued for."`
	Purpose  string `enum:"any,server,client" default:"any" placeholder:"any|server|client" help:"What it is to be used for. (default: ${default})"`
}

// verified: a certificate was verified.
type verified struct {
	OK      bool     `json:"ok"`
	Subject string   `json:"subject"`
	Flags   []string `json:"flags"`
}

func (verified) name() string { return "verify" }

// Run verifies the file.
func (c *certVerifyCommand) Run(env *environment) error {
	certificate, err := conn.NewCertificateFromFile(c.File)
	if err != nil {
		return err
	}
	database, err := loadDatabase(c.CA)
	if err != nil {
		return err
	}
	purpose := map[string]string{"server": conn.PurposeAuthenticateServer, "client": conn.PurposeAuthenticateClient}[c.Purpose]
	flags, err := database.VerifyChain(env.ctx, certificate, purpose, conn.ParseIdentity(c.Identity), nil, conn.DatabaseVerifyNone)
	if err != nil {
		return err
	}
	env.out.viewed(certView).emit(verified{flags == 0, certificate.SubjectName(), flagNames(flags)})
	if flags != 0 {
		return errReported
	}
	return nil
}

// certView shows certificates.
func certView(p palette, e event) string {
	switch e := e.(type) {
	case certificateMade:
		authority := "issued by the CA of " + e.CA
		if e.NewCA {
			authority = "issued by a new CA, " + e.CA
		}
		return e.Info.lines(p, "") + "\n\n" +
			p.good("✓ ") + authority + "\n" +
			p.good("✓ ") + "certificate " + e.Certificate + "\n" +
			p.good("✓ ") + "private key " + e.Key
	case certificateShown:
		text := e.lines(p, "")
		if e.Index > 0 {
			text = "\n" + text
		}
		return text
	case verified:
		if e.OK {
			return p.good("✓ ") + clean(e.Subject) + " is valid"
		}
		text := p.error("✗ ") + clean(e.Subject) + " is not valid"
		for _, sentence := range faults(e.Flags) {
			text += "\n  " + sentence
		}
		return text
	}
	return plainView(p, e)
}
