package jwtproto

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/datagram"
	"gdtls/serverconn"
)

// TestPeers lets a peer in by a key that is no group's: it speaks for any group that signs,
// is told of from beginning to end, and is closed when the key is gone.
func TestPeers(t *testing.T) {
	dir := writeFiles(t, testFiles())
	lab, _, err := OpenLab(dir)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 10)
	var revoked atomic.Bool
	_, address := startServer(t, Config{Lab: lab, Peers: PeerHandler{
		Key: func(identity []byte) []byte {
			if string(identity) == "alice" && !revoked.Load() {
				return testPSK
			}
			return nil
		},
		Began:     func(*serverconn.DtlsServerConnection) { told <- "began" },
		Connected: func(c *serverconn.DtlsServerConnection) { told <- "connected " + string(c.PskIdentity()) },
		Gone: func(_ *serverconn.DtlsServerConnection, reason error) {
			if reason == io.EOF {
				told <- "left"
				return
			}
			told <- "gone"
		},
	}}, Both)
	expect := func(events ...string) {
		t.Helper()
		for _, want := range events {
			select {
			case got := <-told:
				if got != want {
					t.Errorf("told %q, want %q", got, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("nothing was told, want %q", want)
			}
		}
	}
	alice := dialDTLS(t, address, usePSK("alice"))
	for _, token := range [][]byte{redToken(claimsFor("REDS", 0)), blueToken(claimsFor("BLUES", 0))} {
		if got := says(ask(alice)(t, token)); got != "1" {
			t.Errorf("alice gets %q", got)
		}
	}
	expect("began", "connected alice")
	blues := dialDTLS(t, address, usePSK("BLUES"))
	expect("began", "connected BLUES")
	if err := blues.(interface{ Close(context.Context) error }).Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("left")

	reload := func() {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, GroupsFile), testFiles()[GroupsFile], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := lab.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	reload()
	if got := says(ask(alice)(t, blueToken(claimsFor("BLUES", 0)))); got != "1" {
		t.Errorf("alice gets %q after the groups were read again", got)
	}
	revoked.Store(true)
	reload()
	if err := datagram.SendOne(t.Context(), alice, blueToken(claimsFor("BLUES", 0)), datagram.Address{}, time.Second); err != nil {
		t.Fatal(err)
	}
	expect("gone")
}
