//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/datagram"
	"gdtls/jwtproto"
	"gdtls/jwtproto/postgres"
	"gdtls/jwtproto/postgres/pgtest"
	"gdtls/jwtproto/sqlite"
	"gdtls/wsserver"
)

func init() { runTests = pgtest.Main }

// Databases satisfy what wsserver asks for without knowing it.
var (
	_ wsserver.Accounts    = (*sqlite.Store)(nil)
	_ wsserver.Revocations = (*sqlite.Store)(nil)
	_ wsserver.Accounts    = (*postgres.Store)(nil)
	_ wsserver.Revocations = (*postgres.Store)(nil)
)

func TestPostgresAddress(t *testing.T) {
	const password = "pass-5ecret"
	for text, want := range map[string]string{
		"postgres://user:" + password + "@host:5432/db?sslmode=disable": "postgres://user:xxxxx@host:5432/db",
		"postgresql://host/db?password=" + password:                     "postgres://host/db",
		"postgres://user:" + password + "@[::1/db":                      "postgres:",
	} {
		address, err := parseStore(text)
		if err != nil || address.String() != want {
			t.Errorf("%s is shown as %s, want %s: %v", text, address, want, err)
		}
		if o := gdtls(t, "", "jwt", "serve", "127.0.0.1", "0", newLab(t), "--store", strings.Replace(text, "host", "127.0.0.1:1", 1)); o.code != exitFailed || strings.Contains(o.stdout+o.stderr, password) {
			t.Errorf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
		}
	}
	if o := gdtls(t, "", "jwt", "serve", "127.0.0.1", "0", newLab(t), "--store", "postgres:host"); o.code != exitUsage || !strings.Contains(o.stderr, "postgres://user@host/database") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
}

// TestSecrets puts secrets into a store by commands, while a server uses it.
func TestSecrets(t *testing.T) {
	store := pgtest.Database(t)
	dir, files := newLab(t, "--group", "reds,blues"), t.TempDir()
	must := func(args ...string) outcome {
		t.Helper()
		o := gdtls(t, "", append([]string{"--json", "jwt", "secret"}, append(args, "--store", store)...)...)
		if o.code != exitOK {
			t.Fatalf("%v: exit code %d\n%s%s", args, o.code, o.stdout, o.stderr)
		}
		return o
	}
	uses := func() map[string]string {
		found := map[string]string{}
		for _, e := range must("list").only("jwt_secret") {
			found[fmt.Sprint(e["kind"], e["name"])] += fmt.Sprint(e["use"], " ")
		}
		return found
	}
	if got := uses(); len(got) > 0 {
		t.Errorf("an empty store has %v", got)
	}
	if o := gdtls(t, "", "jwt", "secret", "list", "--store", store); !strings.Contains(o.stdout, "The store has no secrets") {
		t.Errorf("an empty store: %s", o.stdout)
	}
	imported := must("import", "--dir", dir)
	if got := fmt.Sprint(uses()); got != "map[pskBLUES:used  pskREDS:used  reply:used ]" {
		t.Errorf("imported %s", got)
	}
	server := startJWT(t, dir, "--store", store)
	if !slices.ContainsFunc(server.seen, func(e object) bool {
		return e.name() == "warning" && strings.Contains(fmt.Sprint(e["message"]), "--cert")
	}) {
		t.Errorf("no warning of the makeshift certificate: %v", server.seen)
	}
	if got := uses(); got["cookie"] != "used " || got["ticket"] != "used " {
		t.Errorf("the server made %v", got)
	}
	must("rotate", "ticket")
	if got := uses()["ticket"]; got != "coming used " {
		t.Errorf("of tickets are %s", got)
	}
	psk, reply := filepath.Join(files, "psk"), filepath.Join(files, "reply")
	rotated := must("rotate", "psk", "REDS", "--out", psk)
	must("rotate", "reply", "--out", reply)
	value, err := os.ReadFile(reply)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, jwtproto.SecretFolder, jwtproto.SecretFile), value, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(psk)
	if err != nil {
		t.Fatal(err)
	}
	walk := func(args ...string) outcome {
		return gdtls(t, "", append([]string{"jwt", "walk", server.address, "--dir", dir}, args...)...)
	}
	if o := walk("--group", "blues"); o.code != exitOK {
		t.Errorf("with the new secret: %s%s", o.stdout, o.stderr)
	}
	groups := filepath.Join(dir, jwtproto.GroupsFile)
	old, err := os.ReadFile(groups)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(old), strings.Split(string(old), `"`)[3], string(text), 1)
	if err := os.WriteFile(groups, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := walk("--group", "reds", "--dtls", "--show", "psk"); o.code != exitOK {
		t.Errorf("with the new psk: %s%s", o.stdout, o.stderr)
	}
	must("remove", "psk", "REDS")
	for _, o := range []outcome{imported, rotated, must("list"), gdtls(t, "", "jwt", "secret", "list", "--store", store)} {
		for _, secret := range []string{string(value), string(text)} {
			if strings.Contains(o.stdout+o.stderr, secret) {
				t.Errorf("a secret is in %s%s", o.stdout, o.stderr)
			}
		}
	}
	for _, wrong := range [][]string{
		{"rotate", "psk", "REDS"}, {"rotate", "reply"}, {"rotate", "psk", "--out", filepath.Join(files, "new")}, {"rotate", "sesame"},
		{"rotate", "psk", "REDS", "--out", psk}, {"rotate", "cookie", "--from", groups}, {"remove", "psk", "REDS"}, {"import", "--dir", files},
	} {
		if o := gdtls(t, "", append([]string{"jwt", "secret"}, append(wrong, "--store", store)...)...); o.code == exitOK || o.stderr == "" {
			t.Errorf("%v: exit code %d, %s%s", wrong, o.code, o.stdout, o.stderr)
		}
	}
	if o := gdtls(t, "", "jwt", "secret", "list", "--store", "memory:"); o.code != exitUsage {
		t.Errorf("in memory: exit code %d, %s", o.code, o.stderr)
	}
}

// TestShareEvents has one server tell of what another acknowledges.
func TestShareEvents(t *testing.T) {
	store := pgtest.Database(t)
	dir := newLab(t, "--group", "reds,begin")
	viewer := startJWT(t, dir, "--store", store, "--share-events")
	other := startJWT(t, dir, "--store", store, "--share-events")
	silent := startJWT(t, dir, "--store", store)
	walk := func(s *running, group string) {
		t.Helper()
		if o := gdtls(t, "", "jwt", "walk", s.address, "--dir", dir, "--group", group); o.code != exitOK {
			t.Fatalf("%s%s", o.stdout, o.stderr)
		}
	}
	for listening := false; !listening; { // until it listens, it is told of nothing
		walk(other, "begin")
		select {
		case e := <-viewer.lines:
			listening = e.name() == "jwt_remote"
		case <-time.After(20 * time.Millisecond):
		}
	}
	walk(silent, "reds")
	walk(other, "reds")
	for n := 0; n < 7; {
		if e := viewer.wait("jwt_remote"); e["group"] == "REDS" {
			compare(t, "told", e, object{"seq": 8.0 + float64(n), "registration": 1.0, "number": float64(n), "next": float64((n + 1) % 7)})
			n++
		}
	}
	if o := gdtls(t, "", "jwt", "serve", "127.0.0.1", "0", dir, "--store", "memory:", "--share-events"); o.code != exitUsage {
		t.Errorf("in memory: exit code %d, %s", o.code, o.stderr)
	}
}

// TestCluster has walks of several groups spread over three servers with one database, and
// kills one of them meanwhile.
func TestCluster(t *testing.T) {
	const groups, walks = 4, 8
	store := pgtest.Database(t)
	var names []string
	for i := range groups {
		names = append(names, fmt.Sprint("GROUP", i))
	}
	dir := newLab(t, "--group", strings.Join(names, ","))
	if o := gdtls(t, "", "jwt", "secret", "import", "--dir", dir, "--store", store); o.code != exitOK {
		t.Fatalf("import: %s", o.stderr)
	}
	secret, err := os.ReadFile(filepath.Join(dir, jwtproto.SecretFolder, jwtproto.SecretFile))
	if err != nil {
		t.Fatal(err)
	}
	// What the servers share they have from the database, and not from the folder.
	if err := os.WriteFile(filepath.Join(dir, jwtproto.SecretFolder, jwtproto.SecretFile), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	var nodes []*node
	var servers []datagram.Address
	for range 3 {
		n := startNode(t, dir, store, 0)
		nodes, servers = append(nodes, n), append(servers, n.address)
	}
	var count atomic.Int64
	var walking sync.WaitGroup
	spreads := make([]*spread, groups)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for i, name := range names {
		s := newSpread(t, servers, uint64(i), &count)
		spreads[i] = s
		client := clientOf(t, dir, name, secret)
		walking.Go(func() {
			client.FirstWait = 50 * time.Millisecond
			for range walks {
				if err := client.Walk(ctx, s); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	for count.Load() < groups*walks*7/3 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	nodes[1].kill()
	walking.Wait()

	kept, err := postgres.Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	var machine jwtproto.Machine
	repeats := uint64(0)
	for i, name := range names {
		rows, err := kept.History(t.Context(), name, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if spreads[i].wrong != nil {
			t.Errorf("%s: %v", name, spreads[i].wrong)
		}
		last, completed := 0, 0
		byID := map[string]int{}
		for n, row := range rows {
			next, now, step := machine.Next(last, row.Number)
			if last = now; row.Seq != uint64(n+1) || row.Next != next || row.Step != step {
				t.Fatalf("%s: the history is not what the machine does: row %+v", name, row)
			}
			if _, twice := byID[row.ID.String()]; twice {
				t.Fatalf("%s: a request moved the group twice: row %+v", name, row)
			}
			byID[row.ID.String()] = row.Next
			repeats += row.Repeats
			if step == jwtproto.Advanced && row.Number == machine.Final() {
				completed++
			}
		}
		for id, next := range spreads[i].told {
			if kept, ok := byID[id]; !ok || kept != next {
				t.Errorf("%s: request %s was acknowledged with %d, and the history has %d (%v)", name, id, next, kept, ok)
			}
		}
		if completed != walks || len(rows) != walks*7 {
			t.Errorf("%s: %d walks and %d rows", name, completed, len(rows))
		}
	}
	if repeats == 0 {
		t.Error("no request came twice")
	}
	if o := gdtls(t, "", "--json", "jwt", "export", "--store", store); len(o.only("jwt_row")) != groups*walks*7 {
		t.Errorf("%d rows are exported; %s", len(o.only("jwt_row")), o.stderr)
	}
	if o := gdtls(t, "", "jwt", "status", "--store", store); o.code != exitOK || !strings.Contains(o.stdout, names[groups-1]) {
		t.Errorf("status: %s%s", o.stdout, o.stderr)
	}
	t.Logf("%d acknowledgements, %d of requests that had come before", count.Load(), repeats)
}
