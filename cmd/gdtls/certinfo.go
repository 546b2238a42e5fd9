package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"gdtls/conn"
)

// certificateInfo is what is shown of a certificate.
type certificateInfo struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"` // hexadecimal
	Names       []string  `json:"names"`  // DNS names and IP addresses
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Key         string    `json:"key"`       // such as "ECDSA P-256"
	Signature   string    `json:"signature"` // algorithm
	CA          bool      `json:"ca"`
	Usages      []string  `json:"usages"` // "server", "client" or an object identifier; none: any
	Fingerprint string    `json:"sha256"` // hexadecimal
}

func newCertificateInfo(certificate *conn.TlsCertificate) certificateInfo {
	x := certificate.X509()
	info := certificateInfo{
		Subject:     certificate.SubjectName(),
		Issuer:      certificate.IssuerName(),
		Serial:      x.SerialNumber.Text(16),
		Names:       append([]string{}, certificate.DNSNames()...),
		NotBefore:   certificate.NotValidBefore().UTC(),
		NotAfter:    certificate.NotValidAfter().UTC(),
		Key:         keyName(x.PublicKey),
		Signature:   x.SignatureAlgorithm.String(),
		CA:          x.IsCA,
		Usages:      []string{},
		Fingerprint: fmt.Sprintf("%x", sha256.Sum256(x.Raw)),
	}
	for _, address := range certificate.IPAddresses() {
		info.Names = append(info.Names, address.String())
	}
	for _, usage := range x.ExtKeyUsage {
		switch usage {
		case x509.ExtKeyUsageServerAuth:
			info.Usages = append(info.Usages, "server")
		case x509.ExtKeyUsageClientAuth:
			info.Usages = append(info.Usages, "client")
		default:
			info.Usages = append(info.Usages, usage.String())
		}
	}
	for _, usage := range x.UnknownExtKeyUsage {
		info.Usages = append(info.Usages, usage.String())
	}
	return info
}

// chainInfo describes a certificate and its issuers.
func chainInfo(leaf *conn.TlsCertificate) []certificateInfo {
	var chain []certificateInfo
	for ; leaf != nil; leaf = leaf.Issuer() {
		chain = append(chain, newCertificateInfo(leaf))
	}
	return chain
}

func keyName(key any) string {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d bits", key.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

// lines describes the certificate to people, each line with the indent.
func (c certificateInfo) lines(p palette, indent string) string {
	const form = "2006-01-02 15:04 MST"
	var b strings.Builder
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%s%s %s\n", indent, p.faint(fmt.Sprintf("%-9s", label)), clean(text))
		}
	}
	fmt.Fprintf(&b, "%s%s\n", indent, p.strong(clean(c.Subject)))
	issuer := c.Issuer
	if issuer == c.Subject {
		issuer = "itself"
	}
	line("issued by", issuer)
	line("for", strings.Join(c.Names, ", "))
	line("valid", c.NotBefore.Format(form)+" to "+c.NotAfter.Format(form))
	use := strings.Join(c.Usages, ", ")
	if c.CA {
		use = strings.Trim("certificate authority, "+use, ", ")
	}
	line("use", use)
	line("key", c.Key+", signed with "+c.Signature)
	line("serial", c.Serial)
	line("SHA-256", c.Fingerprint)
	return strings.TrimSuffix(b.String(), "\n")
}

// faults explains flags in sentences.
func faults(flags []string) []string {
	sentences := map[string]string{
		conn.CertificateUnknownCA.String():    "No trusted authority stands at the end of its chain.",
		conn.CertificateBadIdentity.String():  "It was not issued for the name that was asked for.",
		conn.CertificateNotActivated.String(): "A certificate of the chain is not valid yet.",
		conn.CertificateExpired.String():      "A certificate of the chain has expired.",
		conn.CertificateRevoked.String():      "A certificate of the chain was revoked.",
		conn.CertificateInsecure.String():     "The chain stands on a weak algorithm or key.",
		conn.CertificateGenericError.String(): "The chain breaks another rule, such as that of its purpose.",
	}
	var out []string
	for _, flag := range flags {
		out = append(out, flag+": "+sentences[flag])
	}
	return out
}
