package jwtproto

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// sharedSecrets are those of a Store that are in use at one moment. It does not change.
type sharedSecrets struct {
	reply            []byte            // nil: that of the folder
	psks             map[string][]byte // by group
	cookies, tickets [][secretSize]byte
}

// newSharedSecrets takes those that are in use from all that a Store has. Ones that cannot
// be used are left out, and told: somebody has put them there by hand.
func newSharedSecrets(all []Secret, now time.Time, bad func(Secret, error)) sharedSecrets {
	s := sharedSecrets{psks: map[string][]byte{}}
	all = slices.DeleteFunc(slices.Clone(all), func(s Secret) bool {
		err := s.Check()
		if err != nil {
			bad(s, err)
		}
		return err != nil
	})
	if reply := inUse(all, ReplySecret, "", now); len(reply) > 0 {
		s.reply = reply[0]
	}
	for i := range all {
		if name := all[i].Name; all[i].Kind == PSKSecret && s.psks[name] == nil {
			s.psks[name] = inUse(all, PSKSecret, name, now)[0]
		}
	}
	s.cookies = fixedSize(inUse(all, CookieSecret, "", now))
	s.tickets = fixedSize(inUse(all, TicketSecret, "", now))
	return s
}

// fixedSize gives values that were checked as keys.
func fixedSize(values [][]byte) [][secretSize]byte {
	var keys [][secretSize]byte
	for _, value := range values {
		keys = append(keys, [secretSize]byte(value))
	}
	return keys
}

// with gives a directory in which secrets have the place of its own.
func (d *directory) with(s *sharedSecrets) *directory {
	changed := *d
	if s.reply != nil {
		changed.secret, changed.sealer = s.reply, newSealer(s.reply)
	}
	if s.cookies != nil {
		changed.cookies = s.cookies
	}
	if s.tickets != nil {
		changed.tickets = s.tickets
	}
	if len(s.psks) > 0 {
		changed.groups, changed.byKey = maps.Clone(d.groups), maps.Clone(d.byKey)
		for id, of := range d.byKey {
			if psk := s.psks[of.name]; psk != nil {
				g := *of
				g.psk = psk
				changed.groups[g.name], changed.byKey[id] = &g, &g
			}
		}
	}
	return &changed
}

// readDTLSKeys reads a file with a key of 32 bytes in hexadecimal on each line, the one
// that is used first. Without the file there are none.
func readDTLSKeys(path string) ([][secretSize]byte, error) {
	data, err := readSmall(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("jwtproto: cannot read the keys of DTLS: %w", err)
	}
	var keys [][secretSize]byte
	for i, line := range strings.Fields(string(data)) {
		key, err := hex.DecodeString(line)
		if err != nil || len(key) != secretSize {
			return nil, fmt.Errorf("jwtproto: %s: key %d is not one of %d bytes in hexadecimal", path, i+1, secretSize)
		}
		keys = append(keys, [secretSize]byte(key))
	}
	if len(keys) == 0 || len(keys) > maxDTLSKeys {
		return nil, fmt.Errorf("jwtproto: %s has 1 to %d keys, and not %d; without the file they are random", path, maxDTLSKeys, len(keys))
	}
	return keys, nil
}

// maxDTLSKeys is how many keys a file has at most. Each is tried for each unknown peer.
const maxDTLSKeys = 16

// FolderSecrets gives the secrets that stand in the folder, of those kinds that a Store
// can have in their place, the newest first. They are used since now.
func (l *Lab) FolderSecrets(now time.Time) []Secret {
	l.mu.Lock()
	d := l.files
	l.mu.Unlock()
	all := []Secret{{ReplySecret, "", d.secret, now}}
	for i := range d.cookies {
		all = append(all, Secret{CookieSecret, "", d.cookies[i][:], now})
	}
	for i := range d.tickets {
		all = append(all, Secret{TicketSecret, "", d.tickets[i][:], now})
	}
	for _, name := range slices.Sorted(maps.Keys(d.groups)) {
		if psk := d.groups[name].psk; psk != nil {
			all = append(all, Secret{PSKSecret, name, psk, now})
		}
	}
	return all
}
