package interop

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"gdtls/conn"
)

// exporterLabel is the label under which peers export keying material. It is that of
// tls-exporter, which has an empty context, where they use none.
const exporterLabel = "EXPORTER-Channel-Binding"

var bindings = []conn.TlsChannelBindingType{
	conn.ChannelBindingTLSUnique, conn.ChannelBindingTLSServerEndPoint, conn.ChannelBindingTLSExporter,
}

// TestChannelBindings compares what both sides make of a connection, byte for byte.
// Not all peers tell all kinds; the real Gio does, and the last one only if it is told
// to use the extended master secret, which a choice of groups does.
func TestChannelBindings(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		k := testPKI()
		for name, c := range map[string]*credential{"P-256": k.p256, "P-384": k.p384, "RSA": k.rsa} {
			t.Run(name, func(t *testing.T) {
				o := certificates(c)
				o.client.export, o.server.export = true, true
				if p == gio {
					o.client.group, o.server.group = "x25519", "x25519"
				}
				m := connected(t, p, server, o)
				m.exchange(t, 20)
				theirs := m.theirs.reported()
				compare := func(what, data string, ours []byte, err error) {
					t.Helper()
					if got := hex.EncodeToString(ours); err != nil || !strings.EqualFold(got, data) {
						t.Errorf("%s: we have %s, %v; the peer %s", what, got, err, data)
					}
				}
				for kind, data := range theirs.bindings {
					ours, err := m.ours.ChannelBindingData(kind)
					compare(kind.String(), data, ours, err)
				}
				if told := len(theirs.bindings); p == gio && told != len(bindings) {
					t.Errorf("Gio has told %d bindings", told)
				}
				if theirs.material != nil {
					ours, err := m.ours.ExportKeyingMaterial(exporterLabel, nil, 32)
					compare("keying material", *theirs.material, ours, err)
				}
				if theirs.material == nil && len(theirs.bindings) == 0 {
					leave(t, p, p.version(t)+" tells neither channel bindings nor keying material")
				}
			})
		}
	})
}

// TestNoExporter: without the extended master secret, as Gio is by default, there is
// no tls-exporter on either side (G212).
func TestNoExporter(t *testing.T) {
	for role, server := range map[string]bool{"client": false, "server": true} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			m := connected(t, gio, server, usual())
			if data, ok := m.theirs.reported().bindings[conn.ChannelBindingTLSExporter]; ok {
				t.Errorf("Gio has %s", data)
			}
			if _, err := m.ours.ChannelBindingData(conn.ChannelBindingTLSExporter); !errors.Is(err, conn.ErrChannelBindingNotAvailable) {
				t.Errorf("error is %v", err)
			}
		})
	}
}
