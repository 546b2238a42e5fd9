package interop

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

var updateDocs = flag.Bool("update-docs", false, "write the table of docs/interop.md from this run's results")

const document = "../../docs/interop.md"

// results are what the matches of this run have shown.
var results struct {
	mu       sync.Mutex
	rows     map[row]map[string]*cell   // by peer; guarded by mu
	left     map[string]map[string]bool // reasons of skips, by peer; guarded by mu
	versions map[string]string          // by peer; guarded by mu
}

// row is a line of the table: a test, and which of its cases.
type row struct{ test, variant string }

// cell is what one peer has shown of a row: the roles in which gdtls passed and failed.
type cell struct{ passed, failed map[string]bool }

// note has a match's end recorded.
func note(t *testing.T, p peer, server bool) {
	if !*updateDocs {
		return
	}
	name, role := nameOf(p), roleOf(server)
	test, rest, _ := strings.Cut(t.Name(), "/")
	parts := slices.DeleteFunc(strings.Split(rest, "/"), func(part string) bool {
		return part == "" || part == name || part == "client" || part == "server" || strings.Trim(part, "0123456789") == ""
	})
	key := row{test, strings.Join(parts, " ")}
	t.Cleanup(func() {
		results.mu.Lock()
		defer results.mu.Unlock()
		if results.rows == nil {
			results.rows = map[row]map[string]*cell{}
		}
		if results.rows[key] == nil {
			results.rows[key] = map[string]*cell{}
		}
		if results.rows[key][name] == nil {
			results.rows[key][name] = &cell{map[string]bool{}, map[string]bool{}}
		}
		c := results.rows[key][name]
		switch {
		case t.Failed():
			c.failed[role] = true
		case !t.Skipped():
			c.passed[role] = true
		}
	})
}

// leave skips a test that a peer cannot play, and has the reason recorded.
func leave(t *testing.T, p peer, reason string) {
	t.Helper()
	results.mu.Lock()
	if results.left == nil {
		results.left = map[string]map[string]bool{}
	}
	name := nameOf(p)
	if results.left[name] == nil {
		results.left[name] = map[string]bool{}
	}
	results.left[name][reason] = true
	results.mu.Unlock()
	t.Skip(reason)
}

// TestVersions asks the peers for their versions, for the table.
func TestVersions(t *testing.T) {
	for name, p := range peers {
		t.Run(name, func(t *testing.T) {
			version := p.version(t)
			if !strings.ContainsAny(version, "0123456789") {
				t.Errorf("version %q", version)
			}
			results.mu.Lock()
			defer results.mu.Unlock()
			if results.versions == nil {
				results.versions = map[string]string{}
			}
			results.versions[name] = version
		})
	}
}

func nameOf(p peer) string {
	for name, other := range peers {
		if p == other {
			return name
		}
	}
	return ""
}

func roleOf(server bool) string {
	if server {
		return "server"
	}
	return "client"
}

// columns are the peers in the table's order, with their headings.
var columns = []struct{ peer, heading string }{
	{"openssl", "OpenSSL"}, {"gnutls", "GnuTLS"}, {"gio", "Gio"}, {"mbedtls", "mbed TLS"}, {"wolfssl", "wolfSSL"}, {"pion", "pion v2"}, {"pion3", "pion v3"},
}

// titles are the tests in the table's order, in words.
var titles = []struct{ test, title string }{
	{"TestCertificates", "certificate"},
	{"TestClientCertificates", "client certificate"},
	{"TestCiphersuites", ""},
	{"TestGroups", "group"},
	{"TestSignatureSchemes", "signature"},
	{"TestPSK", "pre-shared key,"},
	{"TestALPN", "ALPN,"},
	{"TestNoCommonProtocol", "ALPN without a common protocol"},
	{"TestServerName", "server name,"},
	{"TestChannelBindings", "channel bindings,"},
	{"TestNoExporter", "no tls-exporter without extended master secret"},
	{"TestExtendedMasterSecret", "extended master secret"},
	{"TestHelloVerifyRequest", "cookie"},
	{"TestLongHello", "hello longer than the MTU"},
	{"TestFragmentedHello", "hello in fragments"},
	{"TestAcceptedCAs", "names of accepted CAs"},
	{"TestSmallMTU", "fragmented flights"},
	{"TestSizes", "data of many sizes"},
	{"TestLoss", "loss, duplication and reordering"},
	{"TestResumption", "resumption"},
	{"TestClose", "close_notify:"},
	{"TestUntrustedServer", "server refused:"},
	{"TestUntrustedClient", "client refused: unknown CA"},
	{"TestAcceptCertificate", "accept-certificate decides:"},
	{"TestErrorsOnBothSides", "the same error as Gio's:"},
	{"TestClientCertificateMissing", "client certificate missing"},
	{"TestNoCommonCiphersuite", "no cipher suite in common"},
	{"TestUnknownIdentity", "unknown PSK identity"},
	{"TestWrongKey", "wrong PSK"},
	{"TestRenegotiation", "renegotiation refused, OpenSSL's"},
	{"TestRehandshake", "renegotiation refused"},
}

// writeTable puts the results into the document, between its two marks.
func writeTable() error {
	const begin, end = "<!-- results -->\n", "<!-- end of results -->\n"
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(text, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return errors.New(document + " has lost its marks")
	}
	return os.WriteFile(document, slices.Concat(before, []byte(begin), []byte(table()), []byte(end), after), 0o644)
}

func table() string {
	results.mu.Lock()
	defer results.mu.Unlock()
	var b strings.Builder
	line := func(first string, of func(peer string) string) {
		fmt.Fprintf(&b, "| %s |", first)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", of(c.peer))
		}
		b.WriteString("\n")
	}
	headings := map[string]string{}
	for _, c := range columns {
		headings[c.peer] = c.heading
	}
	line("", func(peer string) string { return headings[peer] })
	line("---", func(string) string { return "---" })
	line("version", func(peer string) string { return cmp.Or(results.versions[peer], "not here") })
	position := func(test string) int {
		return slices.IndexFunc(titles, func(t struct{ test, title string }) bool { return t.test == test })
	}
	rows := slices.SortedFunc(maps.Keys(results.rows), func(a, b row) int {
		return cmp.Or(position(a.test)-position(b.test), cmp.Compare(a.variant, b.variant))
	})
	for _, key := range rows {
		title := key.test
		if i := position(key.test); i >= 0 {
			title = titles[i].title
		}
		variant := key.variant
		if !strings.HasPrefix(variant, "TLS_") && !strings.HasPrefix(variant, "rsa_") { // as "go test" has them
			variant = strings.ReplaceAll(variant, "_", " ")
		}
		line(strings.TrimSpace(title+" "+variant), func(peer string) string { return results.rows[key][peer].String() })
	}
	b.WriteString("\nNot played, since the peer cannot:\n\n")
	for _, c := range columns {
		for _, reason := range slices.Sorted(maps.Keys(results.left[c.peer])) {
			fmt.Fprintf(&b, "- %s\n", reason)
		}
	}
	return b.String()
}

// String tells the roles in which gdtls has passed.
func (c *cell) String() string {
	switch {
	case c == nil || len(c.passed)+len(c.failed) == 0:
		return "–"
	case len(c.failed) > 0:
		return "fails as " + strings.Join(slices.Sorted(maps.Keys(c.failed)), " and ")
	case len(c.passed) == 2:
		return "both"
	}
	return slices.Collect(maps.Keys(c.passed))[0]
}
