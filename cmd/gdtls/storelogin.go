package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gdtls/jwtproto"
	"gdtls/wsserver"
)

// loginStore is a store that knows who may log in at a console, and who has logged out.
type loginStore interface {
	jwtproto.SecretStore
	wsserver.Accounts
	wsserver.Revocations
	accountKeeper
	WatchRevocations(ctx context.Context, changed func()) error
}

// storeLogins are the logins by a store: servers that share it take each other's tokens,
// and logins outlive a server.
type storeLogins struct {
	loginStore
	keys *wsserver.Keys
}

// loginsOf gives the logins by a store, nil if it has no accounts.
func loginsOf(ctx context.Context, store jwtproto.Store) (*storeLogins, error) {
	keeper, ok := store.(loginStore)
	if !ok {
		return nil, nil
	}
	names, err := keeper.Accounts(ctx)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	if err := keeper.ChangeSecrets(ctx, jwtproto.TokenSecret, "", func(old []jwtproto.Secret) []jwtproto.Secret {
		if len(old) > 0 {
			return old
		}
		return []jwtproto.Secret{jwtproto.NewSecret(jwtproto.TokenSecret, "", time.Now())}
	}); err != nil {
		return nil, fmt.Errorf("cannot make a key for tokens: %w", err)
	}
	l := &storeLogins{loginStore: keeper}
	keys, _, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	l.keys, err = wsserver.NewKeys(keys...)
	return l, err
}

// read gives the keys of tokens, the one that signs first, and when another takes its
// place; zero: that is not known.
func (l *storeLogins) read(ctx context.Context) (keys []wsserver.Key, next time.Time, err error) {
	all, err := l.Secrets(ctx)
	if err != nil {
		return nil, next, fmt.Errorf("cannot read the keys of tokens: %w", err)
	}
	now := time.Now()
	var coming []wsserver.Key
	for _, s := range all { // the newest first
		key := wsserver.Key{ID: s.Fingerprint(), Secret: s.Value}
		switch {
		case s.Kind != jwtproto.TokenSecret || s.Name != "":
		case s.Since.After(now):
			coming, next = append(coming, key), s.Since
		default:
			keys = append(keys, key)
		}
	}
	return append(keys, coming...), next, nil
}

// watch follows what other servers and people change, until the result is called.
func (l *storeLogins) watch(ctx context.Context, bearer *wsserver.BearerAuthenticator, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	tell := func(err error) {
		if err != nil && ctx.Err() == nil {
			log.Error("logins may not be up to date", "error", err)
		}
	}
	changed := make(chan struct{}, 1)
	watching.Go(func() {
		tell(l.WatchSecrets(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		}))
	})
	watching.Go(func() { l.follow(ctx, changed, tell) })
	watching.Go(func() { tell(l.WatchRevocations(ctx, func() { tell(bearer.Reload(ctx)) })) })
	return func() {
		cancel()
		watching.Wait()
	}
}

// follow reads the keys again when they have changed, and when it is the time of the next.
func (l *storeLogins) follow(ctx context.Context, changed <-chan struct{}, tell func(error)) {
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-changed:
		case <-due.C:
		case <-ctx.Done():
			return
		}
		keys, next, err := l.read(ctx)
		if err == nil && len(keys) == 0 {
			err = errors.New("the store has no key for tokens any more: those of before go on being used")
		}
		if err == nil {
			err = l.keys.Set(keys...)
		}
		tell(err)
		if !next.IsZero() {
			due.Reset(time.Until(next))
		}
	}
}
