package jwtproto

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestOpenLab(t *testing.T) {
	secret := SecretFolder + "/" + SecretFile
	tests := []struct {
		name     string
		change   func(files map[string][]byte)
		groups   []string
		problems []string // in any order, what each says
		err      string
	}{
		{name: "all in order", change: func(map[string][]byte) {}, groups: []string{"BLUES", "HEARTBEAT", "REDS"}},
		{name: "the default has the group for testing", change: func(f map[string][]byte) { delete(f, GroupsFile) }, groups: []string{"HEARTBEAT"},
			problems: []string{"BLUES: the key has no group", "REDS: the key has no group"}},
		{name: "a group without a key", change: func(f map[string][]byte) { f[GroupsFile] = append(f[GroupsFile], "[GREENS]\nmembers = [1]\n"...) },
			groups: []string{"BLUES", "HEARTBEAT", "REDS"}, problems: []string{"GREENS: the group has no key"}},
		{name: "ssh wins over pem", change: func(f map[string][]byte) { f[KeysFolder+"/BLUES.pem"] = pkixPEM(otherRSA().Public()) }, groups: []string{"BLUES", "HEARTBEAT", "REDS"}},
		{name: "a damaged ssh does not", change: func(f map[string][]byte) {
			f[KeysFolder+"/first/Blues.ssh"] = []byte("nonsense")
			f[KeysFolder+"/BLUES.pem"] = pkixPEM(ecKey().Public())
		}, groups: []string{"BLUES", "HEARTBEAT", "REDS"}, problems: []string{"Blues.ssh: it is neither"}},
		{name: "a key twice", change: func(f map[string][]byte) { f[KeysFolder+"/z/REDS.pem"] = pkixPEM(otherRSA().Public()) },
			groups: []string{"BLUES", "HEARTBEAT", "REDS"}, problems: []string{"REDS.pem: not used, since"}},
		{name: "two groups with one key", change: func(f map[string][]byte) { f[KeysFolder+"/reds.pem"] = pkixPEM(ecKey().Public()) },
			groups: []string{"BLUES", "HEARTBEAT"}, problems: []string{"REDS: not used: its key is also that of BLUES"}},
		{name: "a huge file", change: func(f map[string][]byte) { f[KeysFolder+"/reds.pem"] = make([]byte, 1<<20) },
			groups: []string{"BLUES", "HEARTBEAT"}, problems: []string{"reds.pem: it has more than", "REDS: the group has no key"}},
		{name: "a name that cannot be", change: func(f map[string][]byte) { f[KeysFolder+"/a b.pem"] = pkixPEM(newECKey().Public()) },
			groups: []string{"BLUES", "HEARTBEAT", "REDS"}, problems: []string{"a b.pem: the name"}},
		{name: "other files", change: func(f map[string][]byte) { f[KeysFolder+"/README.txt"] = []byte("x") }, groups: []string{"BLUES", "HEARTBEAT", "REDS"}},
		{name: "no secret", change: func(f map[string][]byte) { delete(f, secret) }, err: "cannot read the secret"},
		{name: "empty secret", change: func(f map[string][]byte) { f[secret] = nil }, err: "is empty"},
		{name: "groups are no TOML", change: func(f map[string][]byte) { f[GroupsFile] = []byte("[") }, err: GroupsFile},
		{name: "a word that is unknown", change: func(f map[string][]byte) { f[GroupsFile] = []byte("[REDS]\nmember = [1]\n") }, err: "REDS.member is unknown"},
		{name: "a group in lower case", change: func(f map[string][]byte) { f[GroupsFile] = []byte("[reds]\nmembers = [1]\n") }, err: "upper case"},
		{name: "no members", change: func(f map[string][]byte) { f[GroupsFile] = []byte("[REDS]\n") }, err: "members"},
		{name: "a member twice", change: func(f map[string][]byte) { f[GroupsFile] = []byte("[REDS]\nmembers = [1, 2, 1]\n") }, err: "twice"},
		{name: "a short pre-shared key", change: func(f map[string][]byte) { f[GroupsFile] = []byte("[REDS]\nmembers = [1]\npsk = \"5a5a\"\n") }, err: "psk"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files := testFiles()
			test.change(files)
			lab, problems, err := OpenLab(writeFiles(t, files))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := lab.Groups(); !slices.Equal(got, test.groups) {
				t.Errorf("groups %v, want %v", got, test.groups)
			}
			if len(problems) != len(test.problems) {
				t.Fatalf("problems %v, want %q", problems, test.problems)
			}
			for _, want := range test.problems {
				if !slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.String(), want) }) {
					t.Errorf("problems %v, want one with %q", problems, want)
				}
			}
			if string(lab.Secret()) != secretText {
				t.Errorf("secret %q", lab.Secret())
			}
		})
	}
}

// TestCreateLab makes folders of all kinds and walks with what is in them.
func TestCreateLab(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	groups := []NewGroup{
		{Name: "A", Members: []int64{7}, RSA: true},
		{Name: "B", Members: []int64{1, 2}, RSA: true, SSH: true, PSK: true},
		{Name: "C", Members: []int64{1, 2, 3}},
		{Name: "D", Members: []int64{4}, SSH: true},
	}
	if err := CreateLab(dir, groups); err != nil {
		t.Fatal(err)
	}
	lab, problems, err := OpenLab(dir)
	if err != nil || len(problems) > 0 || !slices.Equal(lab.Groups(), []string{"A", "B", "C", "D"}) {
		t.Fatalf("OpenLab: %v, %v", problems, err)
	}
	_, address := startServer(t, Config{Lab: lab}, UDP)
	for _, g := range groups {
		key := must(ParsePrivateKey(must(os.ReadFile(filepath.Join(dir, ClientsFolder, strings.ToLower(g.Name)+".pem")))))
		members, psk, ok := lab.Group(g.Name)
		if !ok || !slices.Equal(members, g.Members) || (psk != nil) != g.PSK {
			t.Errorf("group %s: members %v, psk %x", g.Name, members, psk)
		}
		c := &Client{Group: g.Name, Key: key, Secret: lab.Secret(), Registration: members[0], Members: len(members)}
		if err := c.Walk(t.Context(), dialUDP(t, address)); err != nil {
			t.Errorf("group %s: %v", g.Name, err)
		}
	}
	if err := CreateLab(dir, groups[:1]); !os.IsExist(unwrapAll(err)) {
		t.Errorf("a second time: %v", err)
	}
	for _, bad := range [][]NewGroup{nil, {{Name: "a", Members: []int64{1}}}, {{Name: "A"}}, {{Name: "../A", Members: []int64{1}}}} {
		if err := CreateLab(t.TempDir(), bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}

func unwrapAll(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		if _, isPath := err.(*os.PathError); isPath {
			return err
		}
		err = inner.Unwrap()
	}
}

// TestWatch changes keys and groups under load: what is new counts soon, and no request
// is lost meanwhile.
func TestWatch(t *testing.T) {
	dir := writeFiles(t, testFiles())
	lab, _, err := OpenLab(dir)
	if err != nil {
		t.Fatal(err)
	}
	reloads := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := lab.Watch(ctx, func(p []Problem, err error) { reloads <- fmt.Sprint(p, err) }); err != nil {
		t.Fatal(err)
	}
	_, address := startServer(t, Config{Lab: lab, ChecksPerSecond: -1}, UDP)
	var stop atomic.Bool
	loaded := make(chan int)
	load := ask(dialUDP(t, address))
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			if got := says(load(t, redToken(claimsFor("REDS", 0)))); got != "1" {
				t.Errorf("under load: %q", got)
				break
			}
		}
		loaded <- n
	}()
	request := ask(dialUDP(t, address))
	await := func(what, want string, token func() []byte) {
		t.Helper()
		for until := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			got := says(request(t, token()))
			if got == want {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("%s: %q, want %q", what, got, want)
			}
		}
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	newKey := newECKey()
	greens := func() []byte {
		return []byte(sign("ES256", newKey, claimsFor("BLUES", 1).with("sub", "GREENS").with("seq_max", 1).json()))
	}
	await("before", string(GroupUnknown), greens)
	write(KeysFolder+"/new/folder/greens.pem", string(pkixPEM(newKey.Public())))
	write(GroupsFile, testGroups+"[GREENS]\nmembers = [21]\n")
	await("a new group", "2", greens)
	write(GroupsFile, "nonsense")
	for !strings.Contains(<-reloads, GroupsFile) { // told, and everything stays
	}
	await("after nonsense", "2", greens)
	write(GroupsFile, testGroups)
	await("the group is gone", string(GroupUnknown), greens)
	stop.Store(true)
	if n := <-loaded; n < 10 {
		t.Errorf("only %d requests under load", n)
	}
}
