package interop

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/conn"
)

// gnutls is GnuTLS's gnutls-cli and gnutls-serv.
type gnutls struct{}

func (gnutls) traits() traits {
	return traits{silentOnMissing: true, silentOnSuites: true, deaf: true, lenient: true}
}
func (gnutls) version(t *testing.T) string { return versionOf(t, "gnutls-cli", "--version") }

func (gnutls) lacks(server bool, o, _ options) string {
	switch {
	case isRFC8442(o.suite):
		return "GnuTLS has no ECDHE_PSK with AES-GCM or AES-CCM"
	case !server && strings.HasPrefix(o.suite, "TLS_ECDHE_PSK_"):
		return "gnutls-cli 3.7 dies of a segmentation fault when it describes an ECDHE_PSK session"
	}
	return ""
}

func (gnutls) serve(t *testing.T, o options) session {
	t.Helper()
	needProgram(t, "gnutls-serv")
	arguments := []string{"--udp", "--echo", "--priority=" + gnutlsPriority(o)}
	arguments = append(arguments, gnutlsOptions(t, o)...)
	switch o.auth {
	case conn.AuthenticationNone:
		arguments = append(arguments, "--disable-client-cert")
	case conn.AuthenticationRequired:
		arguments = append(arguments, "--require-client-cert", "--verify-client-cert")
	case conn.AuthenticationRequested:
		arguments = append(arguments, "--verify-client-cert")
	}
	if o.psk != nil {
		arguments = append(arguments, "--pskpasswd="+file(t, "psk", []byte(o.psk.identity+":"+o.psk.key+"\n")))
		if o.psk.hint != "" {
			arguments = append(arguments, "--pskhint="+o.psk.hint)
		}
	}
	if o.name != "" {
		arguments = append(arguments, "--sni-hostname="+o.name, "--sni-hostname-fatal")
	}
	// It cannot choose a port by itself, and another may take what was free.
	for range 5 {
		port := freePort(t)
		ready := fmt.Sprintf("IPv4 0.0.0.0 port %d...done", port)
		p := start(t, nil, "gnutls-serv", append(arguments, "--port="+strconv.Itoa(port))...)
		if p.await(ready, "bind() failed") == nil && strings.Contains(p.text(), ready) {
			return &gnutlsSession{process: p, server: true,
				next:  options{psk: o.psk},
				local: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))}
		}
		t.Logf("gnutls-serv does not listen:\n%s", p.text())
	}
	t.Fatal("gnutls-serv found no port")
	return nil
}

func freePort(t *testing.T) int {
	t.Helper()
	socket, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	return socket.LocalAddr().(*net.UDPAddr).Port
}

func (gnutls) connect(t *testing.T, server netip.AddrPort, o options) session {
	t.Helper()
	needProgram(t, "gnutls-cli")
	arguments := []string{"--udp", "--priority=" + gnutlsPriority(o), "--port=" + strconv.Itoa(int(server.Port()))}
	arguments = append(arguments, gnutlsOptions(t, o)...)
	switch {
	case o.trust == nil:
		arguments = append(arguments, "--no-ca-verification")
	case o.byAddress:
		arguments = append(arguments, "--verify-hostname="+server.Addr().String())
	case o.name != "":
		arguments = append(arguments, "--verify-hostname="+o.name)
	}
	if o.name != "" {
		arguments = append(arguments, "--sni-hostname="+o.name)
	} else {
		arguments = append(arguments, "--disable-sni")
	}
	if o.psk != nil {
		arguments = append(arguments, "--pskusername="+o.psk.identity, "--pskkey="+o.psk.key)
	}
	if o.rehandshake {
		arguments = append(arguments, "--rehandshake")
	}
	if o.resume != "" { // two connections at once
		arguments = append(arguments, "--resume")
	}
	arguments = append(arguments, server.Addr().String())
	return &gnutlsSession{process: start(t, nil, "gnutls-cli", arguments...)}
}

// gnutlsOptions are those that both programs have.
func gnutlsOptions(t *testing.T, o options) []string {
	var arguments []string
	if o.export {
		arguments = append(arguments, "--keymatexport="+exporterLabel, "--keymatexportsize=32")
	}
	if c := o.credential; c != nil {
		arguments = append(arguments, "--x509certfile="+file(t, "chain.pem", pemOf(c.chain...)), "--x509keyfile="+file(t, "key.pem", c.keyPEM()))
	}
	if o.trust != nil {
		arguments = append(arguments, "--x509cafile="+file(t, "ca.pem", pemOf(o.trust)))
	}
	for _, name := range o.alpn {
		arguments = append(arguments, "--alpn="+name)
	}
	if o.mtu != 0 {
		arguments = append(arguments, "--mtu="+strconv.Itoa(o.mtu))
	}
	return arguments
}

// gnutlsPriority is GnuTLS's priority string.
func gnutlsPriority(o options) string {
	priority := "NORMAL:-VERS-ALL:+VERS-DTLS1.2"
	if o.suite != "" {
		exchange, cipher, _ := strings.Cut(strings.TrimPrefix(o.suite, "TLS_"), "_WITH_")
		cipher = strings.TrimSuffix(strings.TrimSuffix(cipher, "_SHA256"), "_SHA384")
		priority += ":-KX-ALL:+" + strings.ReplaceAll(exchange, "_", "-") + ":-CIPHER-ALL:+" + strings.ReplaceAll(cipher, "_", "-")
	} else if o.psk != nil {
		priority += ":-KX-ALL:+PSK"
	}
	if o.group != "" {
		priority += ":-GROUP-ALL:+GROUP-" + strings.ToUpper(o.group)
	}
	if o.signature != "" { // the certificates themselves are signed by ECDSA
		scheme := strings.NewReplacer("rsa_pss_rsae_sha", "RSA-PSS-RSAE-SHA", "rsa_pkcs1_sha", "RSA-SHA").Replace(o.signature)
		priority += ":-SIGN-ALL:+SIGN-" + scheme + ":+SIGN-ECDSA-SHA256"
	}
	if o.resume == byID {
		priority += ":%NO_TICKETS"
	}
	if o.noEMS {
		priority += ":%NO_SESSION_HASH"
	}
	return priority
}

type gnutlsSession struct {
	*process
	local  netip.AddrPort
	server bool
	next   options // server: with which another client gets on
}

func (s *gnutlsSession) address() netip.AddrPort { return s.local }
func (s *gnutlsSession) echoes() bool            { return s.server }

func (s *gnutlsSession) closes() string {
	if s.server {
		return "gnutls-serv closes no session by itself"
	}
	return ""
}

func (s *gnutlsSession) established(t *testing.T) {
	t.Helper()
	if !s.server { // the server tells nothing
		s.process.expect(t, "- Handshake was completed")
	}
}

func (s *gnutlsSession) send(t *testing.T, text string) {
	t.Helper()
	s.input(t, text)
}

func (s *gnutlsSession) expect(t *testing.T, text string) {
	t.Helper()
	s.process.expect(t, text)
}

func (s *gnutlsSession) close(t *testing.T) {
	t.Helper()
	if err := s.stdin.Close(); err != nil {
		t.Fatal(err)
	}
}

func (s *gnutlsSession) expectClose(t *testing.T) {
	t.Helper()
	if s.server {
		// It tells nothing, but serves one session at a time: the next one shows it.
		next := newClient(t, s.local, s.next)
		next.mustHandshake(t)
		return
	}
	s.process.expect(t, "- Peer has closed the GnuTLS connection")
}

func (s *gnutlsSession) expectFailure(t *testing.T, d alert.Description) {
	t.Helper()
	if s.server { // it does not tell which
		s.process.expect(t, "Error in handshake(): A TLS fatal alert has been received.")
		return
	}
	s.process.expect(t, fmt.Sprintf("Received alert [%d]", d))
}

func (s *gnutlsSession) expectRefusal(t *testing.T) {
	t.Helper()
	if err := s.await("*** Fatal error", "Error in handshake"); err != nil && !(s.server && err == errEnded) {
		t.Fatalf("%s goes on: %v", s.name, err) // the server also ends without a word
	}
}

func (s *gnutlsSession) reported() (r report) {
	output, none := s.text(), ""
	if found := regexp.MustCompile(`(?m)^- Channel binding 'tls-unique': ([0-9a-f]+)$`).FindStringSubmatch(output); found != nil {
		r.bindings = map[conn.TlsChannelBindingType]string{conn.ChannelBindingTLSUnique: found[1]}
	}
	if found := regexp.MustCompile(`(?m)^- Key material: ([0-9a-f]+)$`).FindStringSubmatch(output); found != nil {
		r.material = &found[1]
	}
	if s.server {
		return r
	}
	r.alpn = &none
	if found := regexp.MustCompile(`(?m)^- Application protocol: (.*)$`).FindStringSubmatch(output); found != nil {
		r.alpn = &found[1]
	}
	used := strings.Contains(output, "extended master secret")
	r.ems = &used
	return r
}
