package jwtproto

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// rotation is how old the secrets become that servers with a Store make for themselves.
const rotation = 10 * time.Minute

// keeper has a server use the secrets of its Store. One goroutine uses it.
type keeper struct {
	server  *Server
	store   SecretStore
	failing bool
}

// startSecrets reads the secrets of the Store, and has them followed from then on. It does
// nothing if the Store has none.
func (s *Server) startSecrets() error {
	store, ok := s.config.Store.(SecretStore)
	if !ok {
		return nil
	}
	k := &keeper{server: s, store: store}
	ctx, cancel := context.WithCancel(context.Background())
	next, err := k.read(ctx)
	if err != nil {
		cancel()
		return fmt.Errorf("jwtproto: cannot read the secrets that servers share: %w", err)
	}
	changed := make(chan struct{}, 1)
	s.workers.Go(func() error {
		_ = store.WatchSecrets(ctx, func() { // it ends with ctx only
			select {
			case changed <- struct{}{}:
			default:
			}
		})
		return nil
	})
	s.workers.Go(func() error {
		defer cancel()
		k.follow(ctx, changed, next)
		return nil
	})
	return nil
}

// follow reads the secrets again when they have changed, and when it is time for another
// one, until the server is closed.
func (k *keeper) follow(ctx context.Context, changed <-chan struct{}, next time.Time) {
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for {
		select {
		case <-k.server.done:
			return
		case <-changed:
		case <-timer.C:
		}
		next, err := k.read(ctx)
		log := k.server.config.Logger
		switch {
		case err == nil && k.failing:
			log.Info("the secrets that servers share can be read again")
		case err != nil && !k.failing:
			log.Error("the secrets that servers share cannot be read: they stay as they are until it works again", "error", err)
		}
		if k.failing = err != nil; k.failing {
			next = time.Now().Add(maxBackoff)
		}
		timer.Reset(time.Until(next))
	}
}

// read has the server use what the Store has, and tells when to do it next if nothing
// changes. It makes new secrets where old ones are due.
func (k *keeper) read(ctx context.Context) (next time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	all, err := k.store.Secrets(ctx)
	if err != nil {
		return next, err
	}
	now := time.Now()
	for _, kind := range []SecretKind{CookieSecret, TicketSecret} {
		if !k.due(all, kind, now) {
			continue
		}
		err := k.store.ChangeSecrets(ctx, kind, "", func(old []Secret) []Secret {
			if !k.due(old, kind, now) { // another server was quicker
				return old
			}
			return Rotate(old, NewSecret(kind, "", now), now)
		})
		if err != nil {
			return next, err
		}
		if all, err = k.store.Secrets(ctx); err != nil {
			return next, err
		}
	}
	k.server.config.Lab.share(newSharedSecrets(all, now, func(s Secret, err error) {
		k.server.config.Logger.Warn("a secret that servers share cannot be used", "secret", s, "error", err)
	}))
	next = now.Add(rotation)
	for _, s := range all {
		// It will be used, or is due to be replaced.
		for _, when := range []time.Time{s.Since, s.Since.Add(rotation)} {
			if when.After(now) && when.Before(next) {
				next = when
			}
		}
	}
	return next, nil
}

// due reports whether a new secret has to be made: the newest is old, or there is none,
// neither in the Store nor in the folder.
func (k *keeper) due(all []Secret, kind SecretKind, now time.Time) bool {
	i := slices.IndexFunc(all, func(s Secret) bool { return s.Kind == kind && s.Name == "" })
	if i >= 0 {
		return now.Sub(all[i].Since) >= rotation
	}
	folder := k.server.config.Lab.FolderSecrets(now)
	return !slices.ContainsFunc(folder, func(s Secret) bool { return s.Kind == kind })
}
