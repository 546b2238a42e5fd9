package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"gdtls/jwtproto"
)

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 3 * time.Second
	// listenerPatience is after what time without a notification a listener asks whether
	// the server is still there, and how long it waits for an answer.
	listenerPatience = 15 * time.Second
)

// listen tells of the notifications of a channel until ctx ends, or the Store is closed,
// and gives the error of that. It connects again as often as needed, after pauses that
// grow, and calls begun each time: notifications before that may have been missed.
func (s *Store) listen(ctx context.Context, channel string, begun func(), told func(payload string)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(jwtproto.ErrStoreClosed) })()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		s.hear(ctx, channel, func() {
			pause = firstPause
			begun()
		}, told)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// hear listens until the connection, which is its own, is lost. Why does not matter: who
// writes meets the same error, and tells it.
func (s *Store) hear(ctx context.Context, channel string, begun func(), told func(payload string)) {
	c, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience)
		defer cancel()
		_ = c.Close(closing) // it is gone, told or not
	}()
	if err := s.ask(ctx, c, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return
	}
	begun()
	for {
		waiting, cancel := context.WithTimeout(ctx, s.patience)
		n, err := c.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil:
			told(n.Payload)
		case ctx.Err() != nil || c.IsClosed() || waiting.Err() == nil:
			return
		default:
			if err := s.ask(ctx, c, "SELECT"); err != nil {
				return
			}
		}
	}
}

// ask runs a statement that takes no time.
func (s *Store) ask(ctx context.Context, c *pgx.Conn, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	_, err := c.Exec(ctx, statement)
	return err
}
