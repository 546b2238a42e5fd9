package conn

// TlsFileDatabase is a database that trusts the certificates of a PEM file
// (GTlsFileDatabase).
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
	return &TlsFileDatabase{
		anchorDatabase: fixedDatabase(trusted),
		name:           anchorsFile,
	}, nil
}

// Anchors gives the name of the file, as it was given (G148).
func (d *TlsFileDatabase) Anchors() string { return d.name }
