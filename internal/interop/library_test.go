package interop

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/conn"
	"gdtls/internal/handshake"
)

// library is a peer by a program of our own around a library. testdata/peer.h tells
// how such a program is spoken to.
type library struct {
	program *program
	habits  traits
	// misses tells what the library cannot do; nil: nothing.
	misses func(server bool, o, ours options) string
	// environment sets what the library takes from there; nil: nothing.
	environment func(o options) []string
}

func (l *library) traits() traits              { return l.habits }
func (l *library) version(t *testing.T) string { return l.program.version(t) }

func (l *library) lacks(server bool, o, ours options) string {
	if l.misses == nil {
		return ""
	}
	return l.misses(server, o, ours)
}

func (l *library) start(t *testing.T, o options, arguments ...string) *librarySession {
	t.Helper()
	add := func(name, value string) {
		if value != "" {
			arguments = append(arguments, name+"="+value)
		}
	}
	if c := o.credential; c != nil {
		add("cert", file(t, "chain.pem", pemOf(c.chain...)))
		add("key", file(t, "key.pem", c.keyPEM()))
	}
	if o.trust != nil {
		add("ca", file(t, "ca.pem", pemOf(o.trust)))
	}
	if o.suite != "" {
		add("suite", fmt.Sprintf("%04x", handshake.SuiteByName(o.suite).ID))
	}
	if o.psk != nil {
		add("identity", o.psk.identity)
		add("psk", o.psk.key)
		add("hint", o.psk.hint)
	}
	if o.mtu != 0 {
		add("mtu", strconv.Itoa(o.mtu))
	}
	if o.accept {
		add("accept", "yes")
	}
	if o.noEMS {
		add("noems", "yes")
	}
	if o.byAddress {
		add("byaddress", "yes")
	}
	if o.resume == byTicket {
		add("tickets", "yes")
	}
	add("group", o.group)
	add("signature", o.signature)
	add("alpn", strings.Join(o.alpn, ","))
	add("name", o.name)
	var environment []string
	if l.environment != nil {
		environment = l.environment(o)
	}
	return &librarySession{process: start(t, environment, l.program.path(t), arguments...)}
}

func (l *library) serve(t *testing.T, o options) session {
	t.Helper()
	arguments := []string{"role=server"}
	switch o.auth {
	case conn.AuthenticationRequested:
		arguments = append(arguments, "auth=requested")
	case conn.AuthenticationRequired:
		arguments = append(arguments, "auth=required")
	}
	s := l.start(t, o, arguments...)
	var port uint64
	listening := regexp.MustCompile(`(?m)^listening (\d+)$`)
	err := s.awaitFunc(listening.MatchString)
	if err == nil {
		port, err = strconv.ParseUint(listening.FindStringSubmatch(s.text())[1], 10, 16)
	}
	if err != nil {
		t.Fatalf("%s does not listen: %v", l.program.name, err)
	}
	s.local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
	return s
}

func (l *library) connect(t *testing.T, server netip.AddrPort, o options) session {
	t.Helper()
	return l.start(t, o, "role=client", "port="+strconv.Itoa(int(server.Port())))
}

type librarySession struct {
	*process
	local netip.AddrPort
}

func (s *librarySession) address() netip.AddrPort { return s.local }
func (s *librarySession) echoes() bool            { return false }
func (s *librarySession) closes() string          { return "" }

func (s *librarySession) established(t *testing.T) {
	t.Helper()
	s.process.expect(t, "\nestablished\n")
}

func (s *librarySession) send(t *testing.T, text string) {
	t.Helper()
	s.input(t, text)
}

func (s *librarySession) expect(t *testing.T, text string) {
	t.Helper()
	s.process.expect(t, "\nreceived "+text)
}

func (s *librarySession) close(t *testing.T) {
	t.Helper()
	s.input(t, "close\n")
}

func (s *librarySession) expectClose(t *testing.T) {
	t.Helper()
	s.process.expect(t, "\nclosed\n")
}

// again waits for the end of the second handshake, too.
func (s *librarySession) again(t *testing.T) {
	t.Helper()
	s.input(t, "resume\n")
	if err := s.awaitFunc(func(output string) bool { return strings.Count(output, "\nestablished\n") == 2 }); err != nil {
		t.Fatalf("%s has no second connection: %v", s.name, err)
	}
}

func (s *librarySession) expectFailure(t *testing.T, d alert.Description) {
	t.Helper()
	s.process.expect(t, fmt.Sprintf("alert %d\n", d))
}

func (s *librarySession) expectRefusal(t *testing.T) {
	t.Helper()
	s.process.expect(t, "failed: ")
}

func (s *librarySession) reported() (r report) {
	output := s.text()
	find := func(name string) *string {
		if found := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(output); found != nil {
			return &found[1]
		}
		return nil
	}
	r = report{alpn: find("alpn"), flags: find("flags"), serverName: find("name"), subject: find("subject"), bindings: map[conn.TlsChannelBindingType]string{}}
	for _, kind := range bindings {
		if data := find(kind.String()); data != nil {
			r.bindings[kind] = *data
		}
	}
	return r
}
