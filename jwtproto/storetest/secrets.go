package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gdtls/jwtproto"
)

// RunSecrets runs the tests of Stores that are a jwtproto.SecretStore, too.
func RunSecrets(t *testing.T, kind Kind) {
	t.Run("Change", func(t *testing.T) { testChangeSecrets(t, kind) })
	t.Run("AtOnce", func(t *testing.T) { testSecretsAtOnce(t, kind) })
	t.Run("Watch", func(t *testing.T) { testWatchSecrets(t, kind) })
	t.Run("Closed", func(t *testing.T) { testSecretsClosed(t, kind) })
}

func secretStore(t testing.TB, s jwtproto.Store) jwtproto.SecretStore {
	t.Helper()
	secrets, ok := s.(jwtproto.SecretStore)
	if !ok {
		t.Fatalf("a %T has no secrets", s)
	}
	return secrets
}

// secret is one with a value that no text could have.
func secret(kind jwtproto.SecretKind, name string, n int) jwtproto.Secret {
	return jwtproto.Secret{Kind: kind, Name: name, Value: []byte{0, 0xff, '\n', byte(n)}, Since: start.Add(time.Duration(n) * time.Second)}
}

// setSecrets replaces those of the kind and name of the first.
func setSecrets(t testing.TB, s jwtproto.SecretStore, kind jwtproto.SecretKind, name string, secrets ...jwtproto.Secret) {
	t.Helper()
	if err := s.ChangeSecrets(t.Context(), kind, name, func([]jwtproto.Secret) []jwtproto.Secret { return secrets }); err != nil {
		t.Fatal(err)
	}
}

// ofKind are the secrets of a kind and name.
func ofKind(t testing.TB, s jwtproto.SecretStore, kind jwtproto.SecretKind, name string) []jwtproto.Secret {
	t.Helper()
	all, err := s.Secrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(s jwtproto.Secret) bool { return s.Kind != kind || s.Name != name })
}

func wantSecrets(t testing.TB, what string, got []jwtproto.Secret, want ...jwtproto.Secret) {
	t.Helper()
	if !slices.EqualFunc(got, want, jwtproto.Secret.Equal) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// testChangeSecrets changes some and leaves others alone.
func testChangeSecrets(t *testing.T, kind Kind) {
	opener := kind.New(t)
	s := secretStore(t, open(t, opener))
	const reply, psk = jwtproto.ReplySecret, jwtproto.PSKSecret
	if all, err := s.Secrets(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("an empty store has %v: %v", all, err)
	}
	// Newest first is what counts, not the times.
	setSecrets(t, s, reply, "", secret(reply, "", 2), secret(reply, "", 3), secret(reply, "", 1))
	setSecrets(t, s, psk, "REDS", secret(psk, "REDS", 4))
	setSecrets(t, s, psk, "BLÜES';--", secret(psk, "BLÜES';--", 5))
	err := s.ChangeSecrets(t.Context(), reply, "", func(old []jwtproto.Secret) []jwtproto.Secret {
		wantSecrets(t, "what is there", old, secret(reply, "", 2), secret(reply, "", 3), secret(reply, "", 1))
		return append([]jwtproto.Secret{secret(reply, "", 6)}, old[:2]...)
	})
	if err != nil {
		t.Fatal(err)
	}
	wantSecrets(t, "changed", ofKind(t, s, reply, ""), secret(reply, "", 6), secret(reply, "", 2), secret(reply, "", 3))
	wantSecrets(t, "of REDS", ofKind(t, s, psk, "REDS"), secret(psk, "REDS", 4))
	setSecrets(t, s, psk, "REDS")
	wantSecrets(t, "removed", ofKind(t, s, psk, "REDS"))
	if kind.Shared {
		s = secretStore(t, open(t, opener))
	}
	wantSecrets(t, "opened again", ofKind(t, s, reply, ""), secret(reply, "", 6), secret(reply, "", 2), secret(reply, "", 3))
	wantSecrets(t, "of another", ofKind(t, s, psk, "BLÜES';--"), secret(psk, "BLÜES';--", 5))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.ChangeSecrets(ctx, reply, "", func([]jwtproto.Secret) []jwtproto.Secret { return nil }); err == nil {
		t.Error("a change whose context has ended is no error")
	}
	if left := ofKind(t, s, reply, ""); len(left) != 3 {
		t.Errorf("after a change that failed: %v", left)
	}
}

// testSecretsAtOnce has several add secrets at once, of which none must be lost.
func testSecretsAtOnce(t *testing.T, kind Kind) {
	const writers, each = 4, 10
	opener := kind.New(t)
	stores := []jwtproto.SecretStore{secretStore(t, open(t, opener))}
	for kind.Shared && len(stores) < writers {
		stores = append(stores, secretStore(t, open(t, opener)))
	}
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				err := stores[w%len(stores)].ChangeSecrets(t.Context(), jwtproto.TokenSecret, "", func(old []jwtproto.Secret) []jwtproto.Secret {
					return append([]jwtproto.Secret{secret(jwtproto.TokenSecret, "", each*w+i)}, old...)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	values := map[string]bool{}
	for _, s := range ofKind(t, stores[0], jwtproto.TokenSecret, "") {
		values[fmt.Sprint(s.Value)] = true
	}
	if len(values) != writers*each {
		t.Errorf("%d secrets of %d are there", len(values), writers*each)
	}
}

// testWatchSecrets waits for changes that another makes.
func testWatchSecrets(t *testing.T, kind Kind) {
	opener := kind.New(t)
	watcher := secretStore(t, open(t, opener))
	other := watcher
	if kind.Shared {
		other = secretStore(t, open(t, opener))
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan struct{}, 100)
	ended := make(chan error, 1)
	go func() { ended <- watcher.WatchSecrets(ctx, func() { told <- struct{}{} }) }()
	wait := func(what string) {
		t.Helper()
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Fatal("not told ", what)
		}
	}
	wait("when it watches")
	for n := range 3 {
		setSecrets(t, other, jwtproto.CookieSecret, "", secret(jwtproto.CookieSecret, "", n))
		wait("of a change")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the watcher ended with %v", err)
	}
}

func testSecretsClosed(t *testing.T, kind Kind) {
	s := one(t, kind)
	secrets := secretStore(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.Secrets(t.Context()); !errors.Is(err, jwtproto.ErrStoreClosed) {
		t.Errorf("Secrets: %v", err)
	}
	if err := secrets.ChangeSecrets(t.Context(), jwtproto.ReplySecret, "", func(s []jwtproto.Secret) []jwtproto.Secret { return s }); !errors.Is(err, jwtproto.ErrStoreClosed) {
		t.Errorf("ChangeSecrets: %v", err)
	}
}
