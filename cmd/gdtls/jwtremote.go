package main

import (
	"context"
	"fmt"
	"sync"

	"gdtls/cmd/gdtls/internal/console"
	"gdtls/jwtproto"
)

// jwtRemote: another server, which has the same store, has acknowledged a request.
type jwtRemote struct {
	Group        string `json:"group"`
	Seq          uint64 `json:"seq"` // place in the group's history
	Registration int64  `json:"registration"`
	Number       int    `json:"number"`
	Next         int    `json:"next"`
	Step         string `json:"step"`
}

func (jwtRemote) name() string { return "jwt_remote" }

// tellRemote tells of what other servers acknowledge, until stop is called.
func tellRemote(ctx context.Context, out *output, w *watch, store jwtproto.Store) (stop func(), err error) {
	events, ok := store.(jwtproto.EventStore)
	if !ok {
		return nil, usagef("--share-events needs a store that several servers can have, such as postgres://user@host/database")
	}
	out = out.queued() // the database keeps for all servers what one is too slow for
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	listening.Go(func() {
		_ = events.Events(ctx, func(rows []jwtproto.GroupRow) { // it ends with ctx
			for _, r := range rows {
				w.row(r.Group, r.Row)
				out.emit(jwtRemote{r.Group, r.Seq, r.Registration, r.Number, r.Next, r.Step.String()})
			}
		})
	})
	return func() {
		cancel()
		listening.Wait()
		out.close()
	}, nil
}

// line tells of it to people.
func (r jwtRemote) line(p palette) line {
	text := fmt.Sprintf("another server: %s member %d says %d", clean(r.Group), r.Registration, r.Number)
	if r.Step == jwtproto.Refused.String() {
		return line{level: console.Warning, text: text + ", out of turn"}
	}
	return line{text: text + ", " + p.colour(r.Number, jwtproto.Colour(r.Number)) + " " + r.Step}
}
