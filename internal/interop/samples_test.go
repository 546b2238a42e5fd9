package interop

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pion/dtls/v2/pkg/protocol/handshake"
)

// updateSamples has the tests keep what the peers send, as seeds for the fuzz targets
// of internal/handshake.
var updateSamples = flag.Bool("update-samples", false, "write "+samplesFile+" anew")

const (
	samplesFile  = "../handshake/testdata/peers.json"
	samplesATime = 2 // of each type of message of each peer in each role
)

// samples are handshake messages in hexadecimal, by peer and role.
var samples = struct {
	mu    sync.Mutex
	byWho map[string]map[handshake.Type][]string
}{byWho: make(map[string]map[handshake.Type][]string)}

// keepSamples takes the whole plaintext messages that a peer sent in a test, whose
// name has peer and role: Test/peer/role/case.
func (tr *trace) keepSamples(t testing.TB) {
	parts := strings.Split(t.Name(), "/")
	if !*updateSamples || t.Failed() || len(parts) < 4 || parts[2] != "client" && parts[2] != "server" {
		return
	}
	who := parts[1] + " as " + map[string]string{"client": "server", "server": "client"}[parts[2]] // ours is named
	tr.mu.Lock()
	defer tr.mu.Unlock()
	samples.mu.Lock()
	defer samples.mu.Unlock()
	of := samples.byWho[who]
	if of == nil {
		of = make(map[handshake.Type][]string)
		samples.byWho[who] = of
	}
	for i := range tr.events {
		e := &tr.events[i]
		typ, fragmented, ok := e.message()
		if text := hex.EncodeToString(e.fragment); ok && !e.sent && !fragmented && len(of[typ]) < samplesATime && !slices.Contains(of[typ], text) {
			of[typ] = append(of[typ], text)
		}
	}
}

func writeSamples() error {
	all := make(map[string][]string)
	for who, of := range samples.byWho {
		for _, texts := range of {
			all[who] = append(all[who], texts...)
		}
		slices.Sort(all[who])
	}
	text, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(samplesFile), 0o755); err != nil {
		return err
	}
	return os.WriteFile(samplesFile, append(text, '\n'), 0o644)
}
