package jwtproto

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/BurntSushi/toml"
)

// The files of a lab folder.
const (
	KeysFolder   = "keys_pub"
	SecretFolder = "keys_priv"
	SecretFile   = "key_secret_for_hmac.txt"
	CookiesFile  = "cookie_keys.txt" // in SecretFolder, may be missing
	TicketsFile  = "ticket_keys.txt" // likewise
	GroupsFile   = "groups.toml"
)

// TestGroup is the group for testing, which is there when no groups.toml is.
const TestGroup = "HEARTBEAT"

const (
	minPSK     = 16 // bytes
	maxMembers = 10000
)

// defaultGroups stand for a groups.toml that is missing.
const defaultGroups = "[" + TestGroup + "]\nmembers = [1]\n"

// group is one of the class. It does not change.
type group struct {
	name    string
	key     crypto.PublicKey
	members []int64 // their registration numbers
	psk     []byte  // nil: none
}

// directory is what a lab folder holds at one moment. It does not change.
type directory struct {
	groups map[string]*group // that can be used
	byKey  map[keyID]*group  // the same by their public keys
	secret []byte            // raw, as it stands in the file
	sealer sealer

	// Of DTLS, the first to be used and then those that are good, too; nil: random ones.
	cookies, tickets [][secretSize]byte
}

// keyID stands for a public key: the SHA-256 of its PKIX form.
type keyID [sha256.Size]byte

func newKeyID(key crypto.PublicKey) (keyID, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return sha256.Sum256(der), err
}

// Lab is a folder with groups.toml, the public keys of the groups and the secret that
// replies are signed with. Its content is read as a whole and replaced as a whole, so
// that requests under way are not disturbed. A Server whose Store has secrets puts them in
// the place of those of the folder. Safe for concurrent use.
type Lab struct {
	dir     string
	current atomic.Pointer[directory] // files with what replaces some of it

	mu      sync.Mutex
	files   *directory           // guarded by mu; as the folder has it
	shared  sharedSecrets        // guarded by mu
	changed map[*func()]struct{} // guarded by mu; who is told, with mu held, when current has changed
}

// OpenLab reads a lab folder. What cannot be used in it is told as problems: files
// without a usable key, groups without a key, and keys without a group. Without a
// secret or with a groups.toml that cannot be read there is an error.
func OpenLab(dir string) (*Lab, []Problem, error) {
	l := &Lab{dir: dir}
	problems, err := l.Reload()
	if err != nil {
		return nil, problems, err
	}
	return l, problems, nil
}

// Reload reads the folder again. With an error everything stays as it was.
func (l *Lab) Reload() ([]Problem, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, problems, err := readDirectory(l.dir)
	if err == nil {
		l.files = d
		l.replace()
	}
	return problems, err
}

// replace makes the directory anew. The caller holds mu.
func (l *Lab) replace() {
	l.current.Store(l.files.with(&l.shared))
	for told := range l.changed {
		(*told)()
	}
}

// share puts secrets in the place of those of the folder.
func (l *Lab) share(secrets sharedSecrets) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shared = secrets
	l.replace()
}

// subscribe has a function called whenever the directory has changed. It must not use the
// Lab but for current.
func (l *Lab) subscribe(told func()) (cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	put(&l.changed, &told, struct{}{})
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.changed, &told)
	}
}

// Groups are the names of the groups that can be used, in order.
func (l *Lab) Groups() []string { return slices.Sorted(maps.Keys(l.current.Load().groups)) }

// Group tells the registration numbers of a group's members and its pre-shared key, nil
// for none. ok is false if there is no group of that name that can be used.
func (l *Lab) Group(name string) (members []int64, psk []byte, ok bool) {
	g := l.current.Load().groups[name]
	if g == nil {
		return nil, nil, false
	}
	return slices.Clone(g.members), bytes.Clone(g.psk), true
}

// Secret is the secret of the replies, as it stands in its file or the Store has it.
func (l *Lab) Secret() []byte { return bytes.Clone(l.current.Load().secret) }

func readDirectory(dir string) (*directory, []Problem, error) {
	d := &directory{groups: map[string]*group{}, byKey: map[keyID]*group{}}
	var err error
	path := filepath.Join(dir, SecretFolder, SecretFile)
	if d.secret, err = readSmall(path); err != nil {
		return nil, nil, fmt.Errorf("jwtproto: cannot read the secret for replies: %w", err)
	}
	if len(d.secret) == 0 {
		return nil, nil, fmt.Errorf("jwtproto: %s is empty; it holds the secret for replies", path)
	}
	d.sealer = newSealer(d.secret)
	if d.cookies, err = readDTLSKeys(filepath.Join(dir, SecretFolder, CookiesFile)); err != nil {
		return nil, nil, err
	}
	if d.tickets, err = readDTLSKeys(filepath.Join(dir, SecretFolder, TicketsFile)); err != nil {
		return nil, nil, err
	}
	groups, err := readGroups(filepath.Join(dir, GroupsFile))
	if err != nil {
		return nil, nil, err
	}
	keys, problems := readKeys(filepath.Join(dir, KeysFolder))
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		g := groups[name]
		if g.key = keys[name]; g.key == nil {
			problems = append(problems, Problem{name, fmt.Errorf("the group has no key: put %s.pem or %s.ssh into %s", strings.ToLower(name), strings.ToLower(name), KeysFolder)})
			continue
		}
		id, err := newKeyID(g.key)
		if err != nil {
			problems = append(problems, Problem{name, err})
			continue
		}
		if other := d.byKey[id]; other != nil {
			problems = append(problems, Problem{name, fmt.Errorf("not used: its key is also that of %s", other.name)})
			continue
		}
		d.groups[name], d.byKey[id] = g, g
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if groups[name] == nil {
			problems = append(problems, Problem{name, fmt.Errorf("the key has no group: add [%s] to %s", name, GroupsFile)})
		}
	}
	return d, problems, nil
}

// groupEntry is a table of groups.toml.
type groupEntry struct {
	Members []int64 `toml:"members"`
	PSK     string  `toml:"psk"`
}

// readGroups reads groups.toml, or takes the default if there is none.
func readGroups(path string) (map[string]*group, error) {
	data, err := readGroupsFile(path)
	if err != nil {
		return nil, fmt.Errorf("jwtproto: cannot read the groups: %w", err)
	}
	var entries map[string]groupEntry
	meta, err := toml.Decode(string(data), &entries)
	if err != nil {
		return nil, fmt.Errorf("jwtproto: %s: %w", path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("jwtproto: %s: %v is unknown; a group has members and psk", path, unknown[0])
	}
	groups := map[string]*group{}
	for name, entry := range entries {
		g, err := entry.group(name)
		if err != nil {
			return nil, fmt.Errorf("jwtproto: %s: group %s: %w", path, name, err)
		}
		groups[name] = g
	}
	return groups, nil
}

func readGroupsFile(path string) ([]byte, error) {
	const most = 4 << 20
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return []byte(defaultGroups), nil
	case err != nil:
		return nil, err
	case info.Size() > most:
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return os.ReadFile(path)
}

// group checks the entry.
func (e groupEntry) group(name string) (*group, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if name != strings.ToUpper(name) {
		return nil, fmt.Errorf("names of groups are in upper case: [%s]", strings.ToUpper(name))
	}
	if len(e.Members) == 0 || len(e.Members) > maxMembers {
		return nil, fmt.Errorf("members lists the registration numbers, 1 to %d of them, and has %d", maxMembers, len(e.Members))
	}
	if sorted := slices.Sorted(slices.Values(e.Members)); len(slices.Compact(sorted)) != len(e.Members) {
		return nil, errors.New("members has a registration number twice")
	}
	g := &group{name: name, members: e.Members}
	if e.PSK != "" {
		psk, err := hex.DecodeString(e.PSK)
		if err != nil || len(psk) < minPSK {
			return nil, fmt.Errorf("psk is a key in hexadecimal of at least %d bytes", minPSK)
		}
		g.psk = psk
	}
	return g, nil
}
