package interop

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/conn"
)

// openssl is OpenSSL's s_client and s_server.
type openssl struct{}

func (openssl) traits() traits { return traits{acknowledgesName: true} }
func (openssl) version(t *testing.T) string {
	return firstPart(versionOf(t, "openssl", "version"), " (")
}

func (openssl) lacks(server bool, o, _ options) string {
	if isRFC8442(o.suite) {
		return "OpenSSL has no ECDHE_PSK with AES-GCM or AES-CCM"
	}
	if server && o.credential.algorithm() == x509.Ed25519 {
		return "OpenSSL 3.0 takes Ed25519 certificates for TLS 1.2 only, not for a DTLS server"
	}
	return ""
}

// opensslConfig replaces the system's configuration, so that the tests do not
// depend on it. OpenSSL has no option for the extended master secret.
func opensslConfig(t *testing.T, o options) []string {
	config := "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = defaults\n[defaults]\nMinProtocol = DTLSv1.2\n"
	if o.noEMS {
		config += "Options = -ExtendedMasterSecret\n"
	}
	return []string{"OPENSSL_CONF=" + file(t, "openssl.cnf", []byte(config))}
}

func (openssl) serve(t *testing.T, o options) session {
	t.Helper()
	needProgram(t, "openssl")
	arguments := []string{"s_server", "-dtls1_2", "-accept", "127.0.0.1:0", "-serverpref"}
	arguments = append(arguments, opensslOptions(t, o)...)
	if o.credential == nil {
		arguments = append(arguments, "-nocert")
	}
	switch o.auth {
	case conn.AuthenticationRequested:
		arguments = append(arguments, "-verify", "3", "-verify_return_error")
	case conn.AuthenticationRequired:
		arguments = append(arguments, "-Verify", "3", "-verify_return_error")
	}
	if o.psk != nil && o.psk.hint != "" {
		arguments = append(arguments, "-psk_hint", o.psk.hint)
	}
	if o.cookie {
		arguments = append(arguments, "-listen")
	}
	if o.name != "" { // OpenSSL acknowledges the name that it is given
		certificate, key := file(t, "cert2.pem", pemOf(o.credential.chain...)), file(t, "key2.pem", o.credential.keyPEM())
		arguments = append(arguments, "-servername", o.name, "-cert2", certificate, "-key2", key)
	}
	s := &opensslSession{server: true}
	s.process = start(t, opensslConfig(t, o), "openssl", arguments...)
	s.expectMatch(t, `(?m)^ACCEPT 127\.0\.0\.1:(\d+)$`, func(port string) {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		s.local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(n))
	})
	return s
}

func (openssl) connect(t *testing.T, server netip.AddrPort, o options) session {
	t.Helper()
	needProgram(t, "openssl")
	arguments := []string{"s_client", "-dtls1_2", "-connect", server.String()}
	arguments = append(arguments, opensslOptions(t, o)...)
	if o.trust != nil {
		arguments = append(arguments, "-verify_return_error")
	}
	switch {
	case o.name == "":
		arguments = append(arguments, "-noservername")
	default:
		arguments = append(arguments, "-servername", o.name)
	}
	switch {
	case o.byAddress:
		arguments = append(arguments, "-verify_ip", server.Addr().String())
	case o.name != "" && o.trust != nil:
		arguments = append(arguments, "-verify_hostname", o.name)
	}
	if o.psk != nil {
		arguments = append(arguments, "-psk_identity", o.psk.identity)
	}
	if o.resume == "" {
		return &opensslSession{process: start(t, opensslConfig(t, o), "openssl", arguments...)}
	}
	kept := file(t, "session.pem", nil)
	environment := opensslConfig(t, o)
	s := &opensslSession{process: start(t, environment, "openssl", append(arguments, "-sess_out", kept)...)}
	s.next = func() *process { return start(t, environment, "openssl", append(arguments, "-sess_in", kept)...) }
	return s
}

// opensslOptions are those that both programs have.
func opensslOptions(t *testing.T, o options) []string {
	var arguments []string
	if c := o.credential; c != nil {
		// The chain is a file of its own; of -cert only the first certificate counts.
		arguments = append(arguments, "-cert", file(t, "cert.pem", pemOf(c.chain[0])), "-key", file(t, "key.pem", c.keyPEM()))
		if len(c.chain) > 1 {
			arguments = append(arguments, "-cert_chain", file(t, "chain.pem", pemOf(c.chain[1:]...)))
		}
	}
	if o.trust != nil {
		arguments = append(arguments, "-CAfile", file(t, "ca.pem", pemOf(o.trust)), "-no-CApath", "-no-CAstore")
	}
	switch {
	case o.suite != "":
		arguments = append(arguments, "-cipher", opensslSuite(o.suite)+":@SECLEVEL=0")
	case o.psk != nil:
		arguments = append(arguments, "-cipher", "PSK")
	}
	if o.group != "" {
		arguments = append(arguments, "-groups", map[string]string{"x25519": "X25519", "secp256r1": "P-256", "secp384r1": "P-384"}[o.group])
	}
	if o.signature != "" { // the certificates themselves are signed by ECDSA
		scheme := strings.NewReplacer("rsa_pss_rsae_sha", "RSA-PSS+SHA", "rsa_pkcs1_sha", "RSA+SHA").Replace(o.signature)
		arguments = append(arguments, "-sigalgs", scheme+":ECDSA+SHA256")
	}
	if len(o.alpn) > 0 {
		arguments = append(arguments, "-alpn", strings.Join(o.alpn, ","))
	}
	if o.psk != nil {
		arguments = append(arguments, "-psk", o.psk.key)
	}
	if o.resume == byID {
		arguments = append(arguments, "-no_ticket")
	}
	if o.export {
		arguments = append(arguments, "-keymatexport", exporterLabel, "-keymatexportlen", "32")
	}
	if o.mtu != 0 {
		arguments = append(arguments, "-mtu", strconv.Itoa(o.mtu+28)) // of the link, with IP and UDP headers
	}
	return arguments
}

// opensslSuite turns IANA's name into OpenSSL's.
func opensslSuite(name string) string {
	name = strings.TrimPrefix(name, "TLS_")
	return strings.NewReplacer("_WITH_", "-", "AES_", "AES", "CCM_8", "CCM8", "POLY1305_SHA256", "POLY1305", "_", "-").Replace(name)
}

type opensslSession struct {
	*process
	local  netip.AddrPort
	server bool
	next   func() *process // client: one that resumes the session
}

// again ends the process, which has kept its session, and starts the next one.
func (s *opensslSession) again(t *testing.T) {
	t.Helper()
	s.close(t)
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatal("s_client does not end")
	}
	s.process = s.next()
	s.established(t)
}

func (s *opensslSession) address() netip.AddrPort { return s.local }
func (s *opensslSession) echoes() bool            { return false }

func (s *opensslSession) closes() string {
	if s.server {
		return "s_server closes its socket before it can send close_notify"
	}
	return ""
}

// expectMatch waits for output that matches, and gives the first group.
func (s *opensslSession) expectMatch(t *testing.T, expression string, use func(string)) {
	t.Helper()
	re := regexp.MustCompile(expression)
	if err := s.awaitFunc(re.MatchString); err != nil {
		t.Fatalf("openssl has not printed %q: %v", expression, err)
	}
	use(re.FindStringSubmatch(s.text())[1])
}

func (s *opensslSession) established(t *testing.T) {
	t.Helper()
	if s.server {
		s.process.expect(t, "CIPHER is ")
		return
	}
	s.process.expect(t, "Extended master secret: ")
}

func (s *opensslSession) send(t *testing.T, text string) {
	t.Helper()
	s.input(t, text)
}

func (s *opensslSession) expect(t *testing.T, text string) {
	t.Helper()
	s.process.expect(t, text)
}

func (s *opensslSession) close(t *testing.T) {
	t.Helper()
	s.input(t, "Q\n")
}

func (s *opensslSession) expectClose(t *testing.T) {
	t.Helper()
	if s.server {
		s.process.expect(t, "\nDONE\n")
		return
	}
	s.process.expect(t, "\nclosed\n")
}

func (s *opensslSession) expectFailure(t *testing.T, d alert.Description) {
	t.Helper()
	s.process.expect(t, fmt.Sprintf("SSL alert number %d\n", d))
}

func (s *opensslSession) expectRefusal(t *testing.T) {
	t.Helper()
	s.process.expect(t, ":error:")
}

func (s *opensslSession) reported() (r report) {
	output := s.text()
	find := func(expression string) *string {
		if found := regexp.MustCompile(expression).FindStringSubmatch(output); found != nil {
			return &found[1]
		}
		return nil
	}
	r.material = find(`(?m)^ *Keying material: ([0-9A-F]+)$`)
	none := ""
	if s.server {
		r.subject = find(`(?m)^subject=CN = (.*)$`)
		r.serverName = find(`(?m)^Hostname in TLS extension: "(.*)"$`)
		if r.alpn = find(`(?m)^ALPN protocols selected: (.*)$`); r.alpn == nil {
			r.alpn = &none
		}
		return r
	}
	if r.alpn = find(`(?m)^ALPN protocol: (.*)$`); r.alpn == nil {
		r.alpn = &none
	}
	if ems := find(`(?m)^ *Extended master secret: (\w+)$`); ems != nil {
		used := *ems == "yes"
		r.ems = &used
	}
	return r
}
