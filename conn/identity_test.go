package conn

import (
	"net/netip"
	"strings"
	"testing"
)

func inet(addrPort string) InetSocketAddress {
	return InetSocketAddress{netip.MustParseAddrPort(addrPort)}
}

func TestParseIdentity(t *testing.T) { // G100, G134
	for text, want := range map[string]struct {
		identity   SocketConnectable
		text       string
		peerName   string
		serverName string
	}{
		"server.example":      {NetworkAddress{"server.example", 0}, "server.example", "server.example", "server.example"},
		"server.example:5684": {NetworkAddress{"server.example", 5684}, "server.example:5684", "server.example", "server.example"},
		"server.example.":     {NetworkAddress{"server.example.", 0}, "server.example.", "server.example.", "server.example"},
		"_x.example":          {NetworkAddress{"_x.example", 0}, "_x.example", "_x.example", "_x.example"},
		"192.0.2.1":           {inet("192.0.2.1:0"), "192.0.2.1", "192.0.2.1", ""},
		"192.0.2.1:443":       {inet("192.0.2.1:443"), "192.0.2.1:443", "192.0.2.1", ""},
		"2001:db8::1":         {inet("[2001:db8::1]:0"), "2001:db8::1", "2001:db8::1", ""},
		"[2001:db8::1]":       {inet("[2001:db8::1]:0"), "2001:db8::1", "2001:db8::1", ""},
		"[2001:db8::1]:443":   {inet("[2001:db8::1]:443"), "[2001:db8::1]:443", "2001:db8::1", ""},
		"fe80::1%eth0":        {inet("[fe80::1%eth0]:0"), "fe80::1%eth0", "fe80::1", ""},
		"::ffff:192.0.2.1":    {inet("[::ffff:192.0.2.1]:0"), "::ffff:192.0.2.1", "192.0.2.1", ""},
		// None of these names anybody.
		"host:port":        {NetworkAddress{"host:port", 0}, "host:port", "host:port", ""},
		"host:70000":       {NetworkAddress{"host:70000", 0}, "host:70000", "host:70000", ""},
		":443":             {NetworkAddress{":443", 0}, ":443", ":443", ""},
		"a b":              {NetworkAddress{"a b", 0}, "a b", "a b", ""},
		"bücher.example":   {NetworkAddress{"bücher.example", 0}, "bücher.example", "bücher.example", ""},
		"a..example":       {NetworkAddress{"a..example", 0}, "a..example", "a..example", ""},
		"-a.example":       {NetworkAddress{"-a.example", 0}, "-a.example", "-a.example", ""},
		"server.example..": {NetworkAddress{"server.example..", 0}, "server.example..", "server.example..", ""},
	} {
		got := ParseIdentity(text)
		if got != want.identity || got.String() != want.text || got.PeerName() != want.peerName || got.ServerName() != want.serverName {
			t.Errorf("%q gives %#v: text %q, peer name %q, server name %q", text, got, got, got.PeerName(), got.ServerName())
		}
	}
	if got := ParseIdentity(""); got != nil {
		t.Errorf("empty text gives %#v", got)
	}
	if name := (InetSocketAddress{}).PeerName(); name != "" {
		t.Errorf("an invalid address is called %q", name)
	}
}

func TestServerNameLengths(t *testing.T) { // RFC 1035 section 2.3.4
	label := strings.Repeat("a", 63)
	for host, ok := range map[string]bool{
		label + ".example":               true,
		label + "a.example":              false,
		strings.Repeat("a.", 126):        true, // 251 bytes and a trailing dot
		strings.Repeat("a.", 126) + "a":  true,
		strings.Repeat("a.", 126) + "aa": false,
	} {
		if got := (NetworkAddress{Hostname: host}).ServerName(); (got != "") != ok {
			t.Errorf("a host of %d bytes gives a server name of %d", len(host), len(got))
		}
	}
}

func TestIdentityMatches(t *testing.T) { // G134, observations (i)
	ca := newTestCA(t, "CA")
	certificate := ca.leaf(t, withNames([]string{"server.example", "*.wild.example"}, "127.0.0.1", "2001:db8::1")).certificate
	shared := &TlsCertificate{leaf: certificate}
	for _, test := range []struct {
		identity SocketConnectable
		matches  bool
	}{
		{NetworkAddress{Hostname: "server.example"}, true},
		{NetworkAddress{Hostname: "SERVER.Example", Port: 7}, true},
		{NetworkAddress{Hostname: "server.example."}, false},
		{NetworkAddress{Hostname: "other.example"}, false},
		{NetworkAddress{Hostname: "a.wild.example"}, true},
		{NetworkAddress{Hostname: "a.b.wild.example"}, false},
		{NetworkAddress{Hostname: "wild.example"}, false},
		{NetworkAddress{Hostname: "*.wild.example"}, false},
		{NetworkAddress{Hostname: "127.0.0.1"}, true},
		{NetworkAddress{Hostname: "127.0.0.2"}, false},
		{NetworkAddress{Hostname: "2001:DB8:0::1"}, true},
		{NetworkAddress{Hostname: "::ffff:127.0.0.1"}, true},
		{NetworkAddress{Hostname: "[2001:db8::1]"}, false},
		{NetworkAddress{}, false},
		{NetworkService{"sip", "udp", "server.example"}, true},
		{NetworkService{"sip", "udp", "example"}, false},
		{inet("127.0.0.1:5684"), true},
		{inet("127.0.0.2:5684"), false},
		{inet("[2001:db8::1%lo]:1"), true},
		{InetSocketAddress{}, false},
	} {
		for range 2 {
			if got := shared.matches(test.identity); got != test.matches {
				t.Errorf("%q matches: %v", test.identity, got)
			}
		}
	}
	// The common name, here server.example, has no say.
	unnamed := ca.leaf(t, withNames(nil)).certificate
	if matchesName(unnamed, "server.example") {
		t.Error("the common name matched")
	}
	service := NetworkService{"sip", "udp", "server.example."}
	if service.String() != "_sip._udp.server.example." || service.ServerName() != "server.example" {
		t.Errorf("service is %q, server name %q", service, service.ServerName())
	}
}

func FuzzParseIdentity(f *testing.F) {
	for _, seed := range []string{"", "host:1", "[::1]:1", "[", "fe80::1%a", "a.example.", "1.2.3.4:"} {
		f.Add(seed)
	}
	certificate := newTestCA(f, "CA").leaf(f).certificate
	f.Fuzz(func(t *testing.T, text string) {
		identity := ParseIdentity(text)
		if identity == nil {
			if text != "" {
				t.Errorf("%q gives nil", text)
			}
			return
		}
		if name := identity.ServerName(); name != "" {
			if _, err := netip.ParseAddr(name); err == nil || strings.HasSuffix(name, ".") || len(name) > 253 {
				t.Errorf("%q gives the server name %q", text, name)
			}
		}
		_ = identity.String()
		if matchesName(certificate, identity.PeerName()) && !strings.EqualFold(identity.PeerName(), "server.example") && identity.PeerName() != "127.0.0.1" {
			t.Errorf("%q matches as %q", text, identity.PeerName())
		}
	})
}
