package jwtproto

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
)

// vault keeps secrets in memory for several stores.
type vault struct {
	mu       sync.Mutex
	err      error // of every call, if not nil
	secrets  []Secret
	changes  int
	watchers map[int]func()
}

// vaultStore is a Store with secrets that others have, too.
type vaultStore struct {
	Store
	*vault
}

func (v *vault) Secrets(context.Context) ([]Secret, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.secrets), v.err
}

func (v *vault) ChangeSecrets(_ context.Context, kind SecretKind, name string, change func([]Secret) []Secret) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return v.err
	}
	of := func(s Secret) bool { return s.Kind == kind && s.Name == name }
	old := slices.DeleteFunc(slices.Clone(v.secrets), func(s Secret) bool { return !of(s) })
	changed := change(slices.Clone(old))
	if slices.EqualFunc(old, changed, Secret.Equal) {
		return nil
	}
	v.secrets = append(slices.DeleteFunc(v.secrets, of), changed...)
	v.changes++
	for _, told := range v.watchers {
		told()
	}
	return nil
}

func (v *vault) WatchSecrets(ctx context.Context, changed func()) error {
	v.mu.Lock()
	n := len(v.watchers)
	put(&v.watchers, n, changed)
	v.mu.Unlock()
	changed()
	<-ctx.Done()
	return ctx.Err()
}

func (v *vault) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = err
}

// put has the vault hold a secret of a kind and name alone, used since always.
func (v *vault) put(t testing.TB, kind SecretKind, name string, values ...string) {
	t.Helper()
	var all []Secret
	for _, value := range values {
		all = append(all, Secret{Kind: kind, Name: name, Value: []byte(value), Since: time.Now().Add(-time.Second)})
	}
	if err := v.ChangeSecrets(t.Context(), kind, name, func([]Secret) []Secret { return all }); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came about: ", what)
		}
	}
}

func TestRotate(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	values := func(kind SecretKind, all []Secret, s int) string {
		return string(bytes.Join(inUse(all, kind, "", at(s)), []byte(" ")))
	}
	for _, test := range []struct {
		kind   SecretKind
		rotate []int // at which seconds
		look   int
		want   string
	}{
		{CookieSecret, []int{0}, 0, "a"},
		{CookieSecret, []int{0, 100}, 109, "a b"}, // all must know b before it is used
		{CookieSecret, []int{0, 100}, 110, "b a"},
		{CookieSecret, []int{0, 100, 105}, 109, "a c b"},
		{CookieSecret, []int{0, 100, 105}, 112, "b a c"},
		{CookieSecret, []int{0, 100, 105}, 115, "c b a"},
		{CookieSecret, []int{0, 100, 200}, 210, "c b"}, // the last a was made 90 s ago
		{TicketSecret, []int{0, 100, 200}, 210, "c b a"},
		{TicketSecret, []int{0, 100, 800}, 810, "c b"},
		{ReplySecret, []int{0, 100}, 100, "b"}, // clients know only one
		{PSKSecret, []int{0, 100}, 100, "b"},
	} {
		var all []Secret
		for i, s := range test.rotate {
			all = Rotate(all, Secret{Kind: test.kind, Value: []byte{'a' + byte(i)}}, at(s))
		}
		if got := values(test.kind, all, test.look); got != test.want {
			t.Errorf("%s rotated at %v: at %d %q are in use, want %q", test.kind, test.rotate, test.look, got, test.want)
		}
	}
	if got := inUse([]Secret{{Kind: ReplySecret, Value: []byte("a"), Since: at(1)}}, ReplySecret, "", now); len(got) != 1 {
		t.Errorf("a secret of a server whose clock is ahead: %q", got)
	}
}

func TestSecretsAreChecked(t *testing.T) {
	long := make([]byte, secretSize)
	for _, test := range []struct {
		secret Secret
		good   bool
	}{
		{Secret{Kind: ReplySecret, Value: []byte("x\n")}, true},
		{Secret{Kind: ReplySecret}, false},
		{Secret{Kind: ReplySecret, Value: make([]byte, maxSecret+1)}, false},
		{Secret{Kind: ReplySecret, Name: "REDS", Value: long}, false},
		{Secret{Kind: CookieSecret, Value: long}, true},
		{Secret{Kind: CookieSecret, Value: long[1:]}, false},
		{Secret{Kind: TicketSecret, Value: long[1:]}, false},
		{Secret{Kind: PSKSecret, Name: "REDS", Value: long[:minPSK]}, true},
		{Secret{Kind: PSKSecret, Name: "REDS", Value: long[:minPSK-1]}, false},
		{Secret{Kind: PSKSecret, Value: long}, false},
		{Secret{Kind: TokenSecret, Name: "k1", Value: long}, true},
		{Secret{Kind: "sesame", Value: long}, false},
	} {
		if err := test.secret.Check(); (err == nil) != test.good {
			t.Errorf("%v with %d bytes: %v", test.secret, len(test.secret.Value), err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	const value = "open sesame"
	s := Secret{Kind: PSKSecret, Name: "REDS", Value: []byte(value)}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "secret", s)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "secret", s)
	shown := fmt.Sprint(s, &s, []Secret{s}) + fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s) + log.String()
	for _, form := range []string{value, hex.EncodeToString([]byte(value)), fmt.Sprint([]byte(value)), "b3BlbiBzZXNhbWU"} {
		if strings.Contains(shown, form) {
			t.Errorf("%q is in %s", form, shown)
		}
	}
	if !strings.Contains(shown, s.Fingerprint()) {
		t.Errorf("the fingerprint %s is not in %s", s.Fingerprint(), shown)
	}
}

// TestSecretsOfAStore shows that they come before those of the folder, at the start, when
// they change, and when the folder does.
func TestSecretsOfAStore(t *testing.T) {
	v := &vault{}
	v.put(t, ReplySecret, "", "the store's")
	v.put(t, PSKSecret, "NOBODY", strings.Repeat("n", minPSK))
	lab := testLab(t)
	_, address := startServer(t, Config{Lab: lab, Store: vaultStore{NewMemory(), v}}, Both)
	over := dialUDP(t, address)
	signedBy := func(secret string) bool {
		if err := datagram.SendOne(t.Context(), over, heartToken(claimsFor(TestGroup, 0)), datagram.Address{}, time.Second); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 2000)
		n, _, err := datagram.ReceiveOne(t.Context(), over, buf, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_, err = openReply(buf[:n], []byte(secret))
		return err == nil
	}
	if !signedBy("the store's") || string(lab.Secret()) != "the store's" {
		t.Error("at the start the secret of the folder is used")
	}
	v.put(t, ReplySecret, "", "another")
	eventually(t, "the new secret", func() bool { return signedBy("another") })
	if _, err := lab.Reload(); err != nil {
		t.Fatal(err)
	}
	if !signedBy("another") {
		t.Error("after the folder was read again its secret is used")
	}
	v.put(t, ReplySecret, "")
	eventually(t, "the secret of the folder", func() bool { return signedBy(secretText) })

	_, fromFile, _ := lab.Group("BLUES")
	dialDTLS(t, address, usePSK("BLUES"))
	v.put(t, PSKSecret, "BLUES", strings.Repeat("b", minPSK))
	eventually(t, "the new psk", func() bool { _, psk, _ := lab.Group("BLUES"); return !bytes.Equal(psk, fromFile) })
	withStores := func(c *clientconn.DtlsClientConnection) {
		c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			a.SetIdentity([]byte("BLUES"))
			a.SetPreSharedKey([]byte(strings.Repeat("b", minPSK)))
		})
	}
	if got := says(ask(dialDTLS(t, address, withStores))(t, redToken(claimsFor("REDS", 0)))); got != string(GroupUnknown) {
		t.Errorf("who has shown to be BLUES gets for REDS %q", got)
	}
	// What cannot be used, or not here, has no effect.
	v.put(t, PSKSecret, "REDS", "")
	v.put(t, CookieSecret, "", "short")
	v.put(t, ReplySecret, "", "")
	v.put(t, PSKSecret, "BLUES", strings.Repeat("c", minPSK))
	eventually(t, "the last psk", func() bool { _, psk, _ := lab.Group("BLUES"); return psk[0] == 'c' })
	for _, group := range []string{"NOBODY", "REDS"} {
		if _, key, _ := lab.Group(group); key != nil {
			t.Errorf("%s has a psk", group)
		}
	}
	if now := lab.current.Load(); len(now.cookies) > 0 || string(now.secret) != secretText {
		t.Errorf("%d keys of cookies, secret %q", len(now.cookies), now.secret)
	}
}

// TestSecretsCannotBeRead shows what becomes of a server whose Store fails.
func TestSecretsCannotBeRead(t *testing.T) {
	v := &vault{}
	away := errors.New("away")
	v.fail(away)
	config := Config{Lab: testLab(t), Store: vaultStore{NewMemory(), v}}
	if _, err := NewServer(config); !errors.Is(err, away) {
		t.Errorf("NewServer: %v", err)
	}
	v.fail(nil)
	_, address := startServer(t, config, UDP)
	v.fail(away)
	if got := says(ask(dialUDP(t, address))(t, heartToken(claimsFor(TestGroup, 0)))); got != "1" {
		t.Errorf("while it fails: %s", got)
	}
}

// TestSharedKeysAreMade shows that of several servers one makes the keys of DTLS, and
// makes new ones when they are old.
func TestSharedKeysAreMade(t *testing.T) {
	v := &vault{}
	for range 3 {
		startServer(t, Config{Store: vaultStore{NewMemory(), v}}, DTLS)
	}
	kinds := func() map[SecretKind]int {
		counts := map[SecretKind]int{}
		all, _ := v.Secrets(t.Context())
		for _, s := range all {
			counts[s.Kind]++
		}
		return counts
	}
	if got := kinds(); !maps.Equal(got, map[SecretKind]int{CookieSecret: 1, TicketSecret: 1}) {
		t.Errorf("secrets %v", got)
	}
	old := NewSecret(TicketSecret, "", time.Now().Add(-rotation-time.Second))
	if err := v.ChangeSecrets(t.Context(), TicketSecret, "", func([]Secret) []Secret { return []Secret{old} }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new key", func() bool { return kinds()[TicketSecret] == 2 })
	all, _ := v.Secrets(t.Context())
	i := slices.IndexFunc(all, func(s Secret) bool { return s.Kind == TicketSecret })
	v.mu.Lock()
	changes := v.changes
	v.mu.Unlock()
	if !all[i].Since.After(time.Now()) || !all[i+1].Equal(old) || changes != 4 {
		t.Errorf("%d changes led to %v", changes, all)
	}

	// One that has keys in its folder needs none.
	files := testFiles()
	files[SecretFolder+"/"+CookiesFile] = []byte(strings.Repeat("ab", secretSize) + "\n" + strings.Repeat("cd", secretSize) + "\n")
	files[SecretFolder+"/"+TicketsFile] = []byte(strings.Repeat("ef", secretSize))
	lab, _, err := OpenLab(writeFiles(t, files))
	if err != nil {
		t.Fatal(err)
	}
	empty := &vault{}
	startServer(t, Config{Lab: lab, Store: vaultStore{NewMemory(), empty}}, DTLS)
	if all, _ := empty.Secrets(t.Context()); len(all) > 0 {
		t.Errorf("secrets %v", all)
	}
	var kindsOfFolder []string
	for _, s := range lab.FolderSecrets(time.Now()) {
		kindsOfFolder = append(kindsOfFolder, string(s.Kind)+s.Name)
	}
	if got := strings.Join(kindsOfFolder, " "); got != "reply cookie cookie ticket pskBLUES" {
		t.Errorf("the folder has %s", got)
	}
}

func TestKeyFilesAreChecked(t *testing.T) {
	key := strings.Repeat("ab", secretSize)
	for _, content := range []string{"", "\n", key[2:], key + key, key + "\nx" + key[1:], strings.Repeat(key+"\n", maxDTLSKeys+1)} {
		files := testFiles()
		files[SecretFolder+"/"+TicketsFile] = []byte(content)
		if _, _, err := OpenLab(writeFiles(t, files)); err == nil || !strings.Contains(err.Error(), TicketsFile) {
			t.Errorf("keys %.80q: %v", content, err)
		}
	}
}

// relay passes datagrams of one client on to servers, by the choice of route, from one
// address. What a server sends goes to the client.
func relay(t testing.TB, route func(n int, data []byte) datagram.Address) datagram.Address {
	t.Helper()
	inside := must(net.ListenPacket("udp", "127.0.0.1:0"))
	outside := must(net.ListenPacket("udp", "127.0.0.1:0"))
	var client net.Addr
	var mu sync.Mutex
	var passing sync.WaitGroup
	passing.Go(func() {
		buf := make([]byte, 1<<16)
		for n := 0; ; n++ {
			size, from, err := inside.ReadFrom(buf)
			if err != nil {
				return
			}
			mu.Lock()
			client = from
			mu.Unlock()
			outside.WriteTo(buf[:size], net.UDPAddrFromAddrPort(route(n, buf[:size]).AddrPort()))
		}
	})
	passing.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			size, _, err := outside.ReadFrom(buf)
			if err != nil {
				return
			}
			mu.Lock()
			inside.WriteTo(buf[:size], client)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		inside.Close()
		outside.Close()
		passing.Wait()
	})
	return datagram.AddressFromNet(inside.LocalAddr())
}

// TestCookieOfAnotherServer has one server make a cookie and another one check it, while
// the secret is rotated between the two.
func TestCookieOfAnotherServer(t *testing.T) {
	v := &vault{}
	lab := writeFiles(t, testFiles())
	var servers [2]datagram.Address
	var labs [2]*Lab
	for i := range servers {
		labs[i], _, _ = OpenLab(lab)
		_, servers[i] = startServer(t, Config{Lab: labs[i], Store: vaultStore{NewMemory(), v}}, DTLS)
	}
	var hellos atomic.Int64
	to := relay(t, func(n int, data []byte) datagram.Address {
		if n == 0 {
			return servers[0]
		}
		if n == 1 {
			if err := RotateSecret(t.Context(), v, NewSecret(CookieSecret, "", time.Now())); err != nil {
				t.Error(err)
			}
			eventually(t, "two keys", func() bool { return len(labs[1].current.Load().cookies) == 2 })
		}
		if data[0] == 22 && data[13] == 1 { // a ClientHello
			hellos.Add(1)
		}
		return servers[1]
	})
	got := ask(dialDTLS(t, to, usePSK("BLUES")))(t, blueToken(claimsFor("BLUES", 0)))
	if says(got) != "1" {
		t.Errorf("answer %+v", got)
	}
	if hellos.Load() != 1 {
		t.Errorf("the second server got %d hellos: it did not take the cookie of the first", hellos.Load())
	}
}

// TestHandshakeUnderWay replaces a pre-shared key while a handshake with the old one is
// under way, which succeeds; the next one with it does not.
func TestHandshakeUnderWay(t *testing.T) {
	v := &vault{}
	lab := testLab(t)
	_, server := startServer(t, Config{Lab: lab, Store: vaultStore{NewMemory(), v}}, DTLS)
	to := relay(t, func(n int, _ []byte) datagram.Address {
		if n == 2 { // after both hellos: what ends the handshake
			v.put(t, PSKSecret, "BLUES", strings.Repeat("b", minPSK))
			eventually(t, "the new psk", func() bool { _, psk, _ := lab.Group("BLUES"); return !bytes.Equal(psk, testPSK) })
		}
		return server
	})
	if got := says(ask(dialDTLS(t, to, usePSK("BLUES")))(t, blueToken(claimsFor("BLUES", 0)))); got != "1" {
		t.Errorf("answer %s", got)
	}
	c, err := clientconn.NewDtlsClientConnection(dialUDP(t, server), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetSessionCache(nil)
	usePSK("BLUES")(c)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // the client tries again for seconds
	defer cancel()
	if err := c.Handshake(ctx); err == nil {
		t.Error("the old psk is good for another handshake")
	}
}

// TestSessionOfAnotherServer resumes a session at a server that was not there when it
// began, after the key has been rotated.
func TestSessionOfAnotherServer(t *testing.T) {
	v := &vault{}
	config := Config{Lab: testLab(t), Certificate: selfSigned(t, thirdKey()), Store: vaultStore{NewMemory(), v}}
	cache := conn.NewSessionCache(10)
	connect := func(to datagram.Address) bool {
		var client *clientconn.DtlsClientConnection
		ask(dialDTLS(t, to, func(c *clientconn.DtlsClientConnection) {
			c.SetServerIdentity(conn.ParseIdentity("server.example"))
			c.SetSessionCache(cache)
			client = c
		}))(t, redToken(claimsFor("REDS", 0)))
		return client.IsResumed()
	}
	_, first := startServer(t, config, DTLS)
	if connect(first) {
		t.Fatal("the first session was resumed")
	}
	if err := RotateSecret(t.Context(), v, NewSecret(TicketSecret, "", time.Now())); err != nil {
		t.Fatal(err)
	}
	_, second := startServer(t, config, DTLS)
	if !connect(second) {
		t.Error("the session was not resumed")
	}
}

// TestDTLSKeysOfTheFolder shows that keys in files hold for all servers of the folder, and
// are read again.
func TestDTLSKeysOfTheFolder(t *testing.T) {
	files := testFiles()
	files[SecretFolder+"/"+CookiesFile] = []byte(strings.Repeat("ab", secretSize))
	dir := writeFiles(t, files)
	lab := must2(OpenLab(dir))
	s, _ := startServer(t, Config{Lab: lab}, DTLS)
	now := func() (cookies, tickets int) {
		s.keys.mu.Lock()
		defer s.keys.mu.Unlock()
		return len(s.keys.cookies), len(s.keys.tickets)
	}
	if c, k := now(); c != 1 || k != 0 {
		t.Errorf("%d keys of cookies, %d of tickets", c, k)
	}
	if err := os.WriteFile(filepath.Join(dir, SecretFolder, TicketsFile), []byte(strings.Repeat("cd", secretSize)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Reload(); err != nil {
		t.Fatal(err)
	}
	if c, k := now(); c != 1 || k != 1 {
		t.Errorf("%d keys of cookies, %d of tickets", c, k)
	}
}

func must2[T any](value T, _ []Problem, err error) T { return must(value, err) }
