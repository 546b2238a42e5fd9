package conn

import (
	"net/url"
	"path/filepath"
	"strings"
)

// TlsFileDatabase is a database that trusts the certificates of a PEM file
// (GTlsFileDatabase). Handles of certificates are the file's URI, "#" and the SHA-256
// of the certificate in hexadecimal (G149).
type TlsFileDatabase struct {
	anchorDatabase
	name string
}

// NewFileDatabase makes a database from a PEM file of trusted certificates,
// which is read once, here (G147). A file that holds none or a bad one gives
// a MISC TlsError, an unreadable file the error of package os.
func NewFileDatabase(anchorsFile string) (*TlsFileDatabase, error) {
	data, err := readFile(anchorsFile)
	if err != nil {
		return nil, err
	}
	trusted, err := parsePEMCertificates(data)
	if err != nil {
		return nil, newTlsError(TlsErrorMisc, err, "cannot load trusted certificates from %s", anchorsFile)
	}
	if len(trusted) == 0 {
		return nil, newTlsError(TlsErrorMisc, nil, "%s holds no certificate in PEM", anchorsFile)
	}
	d := &TlsFileDatabase{anchorDatabase: fixedDatabase(trusted), name: anchorsFile}
	if d.prefix, err = fileURI(anchorsFile); err != nil {
		return nil, err
	}
	return d, nil
}

// Anchors gives the name of the file, as it was given (G148).
func (d *TlsFileDatabase) Anchors() string { return d.name }

// fileURI gives the URI of a file.
func fileURI(name string) (string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	path := filepath.ToSlash(name)
	if !strings.HasPrefix(path, "/") { // a drive of Windows
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String(), nil
}
