package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"gdtls/cmd/gdtls/internal/console"
	"gdtls/jwtproto"
	"gdtls/serverconn"
)

// watch gathers for a console what servers do. A nil watch gathers nothing. Set it up
// before the servers start; afterwards its methods may be called at the same time.
type watch struct {
	hub   *console.Hub
	walks *console.Walks                  // nil: no JWT server
	jwt   atomic.Pointer[jwtproto.Server] // nil before there is one
	peers []*watchedPeers                 // a server's each

	handshakes console.Durations // how long they took, from the verified hello on
	answers    console.Durations // how long requests of the JWT protocol took, from their turn until they were kept
}

func newWatch() *watch { return &watch{hub: console.NewHub(0, 0)} }

// server watches one more DTLS server, named if there are several.
func (w *watch) server(name string) *watchedPeers {
	if w == nil {
		return nil
	}
	p := &watchedPeers{watch: w, name: name, live: map[*serverconn.DtlsServerConnection]*console.Peer{}}
	w.peers = append(w.peers, p)
	return p
}

// groups watches the walks of a JWT server's groups, from where its store says they are.
func (w *watch) groups(ctx context.Context, config jwtproto.Config) error {
	if w == nil {
		return nil
	}
	states := cmp.Or(config.States, jwtproto.DefaultStates)
	w.walks = console.NewWalks(states)
	for _, group := range config.Lab.Groups() {
		members, _, _ := config.Lab.Group(group)
		w.walks.Expect(group, members)
	}
	if config.Store == nil {
		return nil
	}
	known, err := config.Store.Status(ctx)
	if err != nil {
		return fmt.Errorf("cannot read how far the groups are: %w", err)
	}
	for _, g := range known {
		if g.Group == "" {
			continue // refusals of nobody
		}
		// The last walk is among the last rows, unless it was very long.
		recent := uint64(4 * states)
		rows, err := config.Store.History(ctx, g.Group, g.Rows-min(g.Rows, recent), int(recent))
		if err != nil {
			return fmt.Errorf("cannot read what was acknowledged to %s: %w", g.Group, err)
		}
		for _, row := range rows {
			w.row(g.Group, row)
		}
		ended := map[int64]int{}
		for _, m := range g.Members {
			ended[m.Registration] = int(m.Completed)
		}
		w.walks.Ended(g.Group, int(g.Completed), ended)
	}
	return nil
}

// row notes what was acknowledged to a group.
func (w *watch) row(group string, row jwtproto.Row) {
	if w == nil {
		return
	}
	if row.Step == jwtproto.Advanced || row.Step == jwtproto.Restarted {
		w.walks.Advanced(group, row.Registration, row.Number)
	}
}

// publish tells the console of an event of a server.
func (w *watch) publish(e event) {
	if w != nil {
		publish(w.hub, e)
	}
}

// maxShownMessage is how many bytes a peer's message may have to be shown as a whole.
const maxShownMessage = 1 << 10

// publish puts an event of a server into a console's log.
func publish(to *console.Hub, e event) {
	if _, secret := e.(consoleOpened); secret {
		return // its link is for who started the program
	}
	l := jwtLogLine(palette(false), e)
	if l.text == "" {
		return
	}
	out := console.Event{Level: l.level, Kind: e.name(), Peer: l.peer, Text: l.text}
	switch {
	case out.Level != "":
	case out.Kind == (trace{}).name():
		out.Level = console.Info
	default:
		out.Level = console.Message
	}
	if message, ok := e.(received); out.Kind != "" && !(ok && message.Size > maxShownMessage) {
		out.Fields, _ = json.Marshal(e) // made of strings, numbers and lists
	}
	to.Publish(out)
}

// answered tells the console of a request that was answered.
func (w *watch) answered(e jwtproto.Event) {
	if w == nil {
		return
	}
	if e.Why == "" {
		w.row(e.Group, e.Row)
		if e.Row.Step != jwtproto.Repeated { // that has the time of the first request
			w.answers.Add(e.Time.Sub(e.Row.Time))
		}
	}
	w.publish(newJWTRequest(e))
}

// source is where the console gets what is not an event.
func (w *watch) source() console.Source {
	s := console.Source{Counters: w.counters}
	if len(w.peers) > 0 {
		s.Peers, s.ClosePeer = w.listPeers, w.closePeer
	}
	if w.walks != nil {
		s.Groups = w.walks.Rainbow
	}
	return s
}

func (w *watch) counters() console.Counters {
	var c console.Counters
	for _, p := range w.peers {
		p.count(&c)
	}
	if server := w.jwt.Load(); server != nil {
		now := server.Stats()
		c.Requests = now.Acknowledged + now.Refused
		c.Datagrams += now.Requests
		c.Drops += now.OverBudget + now.Overflowed + now.Unsent
	}
	c.Latencies = console.Latencies(map[string]*console.Durations{"handshake": &w.handshakes, "answer": &w.answers})
	return c
}

func (w *watch) listPeers() []console.Peer {
	var all []console.Peer
	for _, p := range w.peers {
		all = p.list(all)
	}
	return all
}

// errNoPeer is told to a viewer who wants to close somebody who has gone.
func errNoPeer(id uint64) error { return fmt.Errorf("peer %d is gone already", id) }
