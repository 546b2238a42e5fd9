package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	// writeTime is how long a viewer may take for a frame. One that takes longer has lost
	// its connection, and may come again.
	writeTime = 10 * time.Second
	// resumeTime is how long a viewer may take to say where it was.
	resumeTime = 10 * time.Second
	// closeTime is how long telling a peer that it is closed may take.
	closeTime = 2 * time.Second

	// shownAtFirst is how many of the latest events a viewer gets that has seen none.
	shownAtFirst = 1000
	// maxCommand is how many bytes a viewer may send at once.
	maxCommand = 4 << 10
)

// stream is a WebSocket with a viewer.
type stream interface {
	Read(ctx context.Context) ([]byte, error)
	Write(ctx context.Context, message []byte) error
}

// command is what a page says.
type command struct {
	Type string `json:"type"` // "resume", "peers" or "close"

	// Of resume, which comes first: what was seen last, and of which hub.
	Epoch  string `json:"epoch"`
	Event  uint64 `json:"event"`
	Sample uint64 `json:"sample"`

	// Of peers.
	Filter string `json:"filter"`
	Sort   string `json:"sort"`
	Limit  int    `json:"limit"`

	// Of close.
	ID uint64 `json:"id"`
}

// hello is the first frame of a viewer.
type hello struct {
	Type    string `json:"type"`
	Epoch   string `json:"epoch"`
	Resumed bool   `json:"resumed"` // the viewer goes on where it was
	Title   string `json:"title"`
	Viewer  string `json:"viewer"`  // name by which it has logged in
	Started int64  `json:"started"` // when the server was, in ms since 1970
	Now     int64  `json:"now"`     // by the server's clock
	Shows   shows  `json:"shows"`
}

// shows is what the page can show.
type shows struct {
	Samples bool `json:"samples"`
	Peers   bool `json:"peers"`
	Close   bool `json:"close"`
	Groups  bool `json:"groups"`
}

// done is the answer to the command to close a peer.
type done struct {
	Type  string `json:"type"`
	ID    uint64 `json:"id"`
	Error string `json:"error,omitempty"`
}

// viewer is one page that watches. It belongs to the goroutine that writes; commands
// come to that by the channels.
type viewer struct {
	console *Console
	name    string
	stream  stream

	// What it has got.
	event         uint64 // number of the last one
	sample        uint64
	peers, groups uint64 // versions
	missed        uint64 // events that were dropped before it could read them

	query   peerQuery
	queries chan peerQuery // what it wants to see now
	answers chan []byte
	frame   []byte // scratch
}

// watch serves a viewer until its stream ends, which is no error; that is one who does
// not begin as it should.
func (c *Console) watch(ctx context.Context, name string, s stream) error {
	v := &viewer{
		console: c, name: name, stream: s, query: peerQuery{}.normal(),
		queries: make(chan peerQuery), answers: make(chan []byte),
	}
	first, cancel := context.WithTimeout(ctx, resumeTime)
	defer cancel()
	resume, err := v.command(first)
	if err != nil {
		return err
	}
	if resume.Type != "resume" {
		return fmt.Errorf("a viewer has to begin with resume, and not with %q", cut(resume.Type, 20))
	}
	c.attach()
	defer c.detach()
	if err := v.write(ctx, v.begin(resume)); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		stop(v.listen(ctx))
	}()
	stop(v.tell(ctx))
	<-listening
	c.config.Logger.Debug("a viewer is gone", "name", name, "missed_events", v.missed, "reason", context.Cause(ctx))
	return nil
}

// begin puts the viewer where it was, or where one begins that sees the server for the
// first time.
func (v *viewer) begin(resume command) []byte {
	c := v.console
	first, next := c.hub.bounds()
	resumed := resume.Epoch == c.hub.epoch && resume.Event < next
	if resumed {
		v.event, v.sample = resume.Event, resume.Sample
	} else if v.event = first - 1; next-first > shownAtFirst {
		v.event = next - 1 - shownAtFirst
	}
	return mustEncode(hello{
		Type: "hello", Epoch: c.hub.epoch, Resumed: resumed, Title: c.config.Title, Viewer: v.name,
		Started: c.started.UnixMilli(), Now: time.Now().UnixMilli(),
		Shows: shows{
			Samples: c.config.Source.Counters != nil, Peers: c.config.Source.Peers != nil,
			Close: c.config.Source.ClosePeer != nil, Groups: c.config.Source.Groups != nil,
		},
	})
}

// tell writes what is new, until ctx is done or the viewer takes too long.
func (v *viewer) tell(ctx context.Context) error {
	pause := time.NewTimer(pace)
	defer pause.Stop()
	for {
		changed := v.console.hub.wait() // before looking, so that nothing falls between
		if err := v.tellNews(ctx); err != nil {
			return err
		}
		pause.Stop()
		if v.console.hub.isBehind(v.event) { // nobody wakes those who have not got all
			pause.Reset(pace)
			changed = nil
		}
		select {
		case <-changed:
		case <-pause.C:
		case v.query = <-v.queries:
			v.peers = 0 // it has none of these
		case answer := <-v.answers:
			if err := v.write(ctx, answer); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellNews writes what the viewer has not got yet, of the events a frame.
func (v *viewer) tellNews(ctx context.Context) error {
	var gone uint64
	v.frame, v.event, gone = v.console.hub.read(v.frame[:0], v.event)
	v.missed += gone
	if len(v.frame) > 0 {
		if err := v.write(ctx, v.frame); err != nil {
			return err
		}
	}
	now := v.console.state.Load()
	if v.frame = samplesFrame(v.frame[:0], now.samples, now.sampled, v.sample); len(v.frame) > 0 {
		if err := v.write(ctx, v.frame); err != nil {
			return err
		}
	}
	v.sample = now.sampled
	if now.groups != nil && v.groups != now.groupsVersion {
		if err := v.write(ctx, now.groups); err != nil {
			return err
		}
		v.groups = now.groupsVersion
	}
	if now.peers != nil && v.peers != now.peersVersion {
		if list := now.peers.frame(v.query); list != nil {
			if err := v.write(ctx, list); err != nil {
				return err
			}
		}
		v.peers = now.peersVersion
	}
	return nil
}

func (v *viewer) write(ctx context.Context, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	return v.stream.Write(ctx, message)
}

// command reads one.
func (v *viewer) command(ctx context.Context) (c command, err error) {
	message, err := v.stream.Read(ctx)
	if err != nil {
		return c, err
	}
	if len(message) > maxCommand {
		return c, fmt.Errorf("a command has %d bytes, more than %d", len(message), maxCommand)
	}
	if err := json.Unmarshal(message, &c); err != nil {
		return c, fmt.Errorf("a command is not as it should be: %w", err)
	}
	return c, nil
}

var errViewerOver = errors.New("the viewer is gone")

// listen does what the viewer commands, until its stream ends.
func (v *viewer) listen(ctx context.Context) error {
	for {
		c, err := v.command(ctx)
		if err != nil {
			return err
		}
		switch c.Type {
		case "peers":
			select {
			case v.queries <- peerQuery{c.Filter, c.Sort, c.Limit}.normal():
			case <-ctx.Done():
				return errViewerOver
			}
		case "close":
			answer := done{Type: "done", ID: c.ID}
			if err := v.console.closePeer(ctx, v.name, c.ID); err != nil {
				answer.Error = err.Error()
			}
			select {
			case v.answers <- mustEncode(answer):
			case <-ctx.Done():
				return errViewerOver
			}
		default:
			return fmt.Errorf("a viewer commands %q, which is not known", cut(c.Type, 20))
		}
	}
}
