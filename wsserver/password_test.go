package wsserver

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestPasswordHash(t *testing.T) {
	p := newPasswordChecker()
	hash, err := HashPassword(adasPassword)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %s", hash)
	}
	// By the command of the reference implementation:
	// echo -n "correct horse" | argon2 "some longer salt" -id -t 3 -k 1024 -p 4 -l 24 -e
	const reference = "$argon2id$v=19$m=1024,t=3,p=4$c29tZSBsb25nZXIgc2FsdA$Ovfo+0bFQMhCp4z5Mj5/kSgb9BFyul/Y"
	for _, test := range []struct {
		hash, password string
		want           bool
	}{
		{hash, adasPassword, true},
		{hash, adasPassword + "x", false},
		{hash, "", false},
		{reference, "correct horse", true},
		{reference, "Correct horse", false},
		{"", "", false},
		{"", adasPassword, false},
	} {
		good, err := p.check(t.Context(), test.hash, test.password)
		if err != nil || good != test.want {
			t.Errorf("%q for %q: %v, %v", test.password, test.hash, good, err)
		}
	}
	if other, err := HashPassword(adasPassword); err != nil || other == hash {
		t.Errorf("two hashes of one password: %s, %v", other, err)
	}
	for _, bad := range []string{"", "seven77", strings.Repeat("x", MaxPasswordLength+1)} {
		if _, err := HashPassword(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("password of %d bytes: %v", len(bad), err)
		}
	}
	if _, err := HashPassword("πάσσωορδ"); err != nil {
		t.Errorf("eight letters: %v", err)
	}
}

const (
	salt16 = "c29tZXNhbHRzb21lc2FsdA"
	hash32 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

func TestParsePasswordHash(t *testing.T) {
	for _, good := range []string{
		"$argon2id$v=19$m=8,t=1,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=65536,t=16,p=8$" + salt16 + "$" + hash32,
		adasHash(),
	} {
		h, err := parsePasswordHash(good)
		if err != nil || h.String() != good {
			t.Errorf("%s: %v, %v", good, h, err)
		}
	}
	for _, bad := range []string{
		"",
		"plain text",
		"$argon2i$v=19$m=8,t=1,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=16$m=8,t=1,p=1$" + salt16 + "$" + hash32,
		"$argon2id$m=8,t=1,p=1$" + salt16 + "$" + hash32,
		"x$argon2id$v=19$m=8,t=1,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=8,t=1,p=1$" + salt16 + "$" + hash32 + "$",
		"$argon2id$v=19$t=1,m=8,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=8,t=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=8,t=1,p=1,x=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=7,t=1,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=8,t=1,p=2$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=65537,t=1,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=4294967304,t=1,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=8,t=0,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=8,t=17,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=64,t=1,p=0$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=128,t=1,p=9$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=-8,t=1,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=+8,t=1,p=1$" + salt16 + "$" + hash32,
		"$argon2id$v=19$m=8,t=1,p=1$c29t$" + hash32,
		"$argon2id$v=19$m=8,t=1,p=1$" + salt16 + "$AAAA",
		"$argon2id$v=19$m=8,t=1,p=1$" + salt16 + "$" + strings.Repeat("A", 88),
		"$argon2id$v=19$m=8,t=1,p=1$" + salt16 + "==$" + hash32,
		"$argon2id$v=19$m=8,t=1,p=1$" + salt16 + "$\n" + hash32,
		"$argon2id$v=19$m=8,t=1,p=1$" + salt16 + "$" + strings.Repeat("A", 1<<16),
	} {
		if h, err := parsePasswordHash(bad); err == nil {
			t.Errorf("%.100q is taken: %v", bad, h)
		}
		if err := CheckAccount("ada", bad); err == nil {
			t.Errorf("%.100q is stored", bad)
		}
	}
}

// A name that is unknown costs as much as a wrong password. The least of several times
// counts, since other work on the machine only adds to them.
func TestUnknownNameTakesAsLong(t *testing.T) {
	p := newPasswordChecker()
	hash, err := HashPassword(adasPassword)
	if err != nil {
		t.Fatal(err)
	}
	known, unknown := time.Hour, time.Hour
	check := func(hash string, least *time.Duration) {
		start := time.Now()
		if good, err := p.check(t.Context(), hash, "wrong horse"); good || err != nil {
			t.Fatal(good, err)
		}
		*least = min(*least, time.Since(start))
	}
	alike := func() bool { return unknown > known/2 && known > unknown/2 }
	for try := 0; try < 3 || try < 30 && !alike(); try++ {
		check(hash, &known)
		check("", &unknown)
	}
	if !alike() {
		t.Errorf("a known name takes %v, an unknown one %v", known, unknown)
	}
}

// Only few are computed at once, and few more wait.
func TestPasswordCheckerIsBounded(t *testing.T) {
	p := newPasswordChecker()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	results := make(chan error, checksWaiting)
	var started sync.WaitGroup
	for range checksWaiting {
		started.Add(1)
		go func() {
			started.Done()
			_, err := p.check(ctx, "", "x")
			results <- err
		}()
	}
	started.Wait()
	waitFor(t, "all wait", func() bool { return len(p.waiting) == checksWaiting })
	if _, err := p.check(t.Context(), "", "x"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("one more: %v", err)
	}
	cancel()
	for range checksWaiting {
		if err := within(t, "the end of the wait", results); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
	<-p.slots
	if _, err := p.check(t.Context(), "", "x"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestMemoryAccounts(t *testing.T) {
	m := new(MemoryAccounts)
	for _, bad := range []struct{ name, password string }{{"", "long enough"}, {"ada", "short"}, {"a\tb", "long enough"}} {
		if err := m.SetPassword(bad.name, bad.password); err == nil {
			t.Errorf("%q with %q is taken", bad.name, bad.password)
		}
	}
	if err := m.SetPassword("ada", adasPassword); err != nil {
		t.Fatal(err)
	}
	if hash, err := m.PasswordHash(t.Context(), "ada"); err != nil || hash == "" {
		t.Errorf("ada: %q, %v", hash, err)
	}
	m.Remove("ada")
	if hash, err := m.PasswordHash(t.Context(), "ada"); err != nil || hash != "" {
		t.Errorf("removed: %q, %v", hash, err)
	}
}
