package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/jwtproto"
)

// demoWalk is a group of the demonstration's lab, and how it talks to the server.
type demoWalk struct {
	group string
	rsa   bool
	dtls  bool
	show  string // as --show of "gdtls jwt walk" has it
}

// demoWalks are the groups that walk.
var demoWalks = []demoWalk{
	{group: "REDS", rsa: true, show: "nothing"},
	{group: "GREENS", dtls: true, show: "certificate"},
	{group: "BLUES", rsa: true, dtls: true, show: "psk"},
}

func (w demoWalk) title() string {
	alg := "ES256"
	if w.rsa {
		alg = "RS256"
	}
	text := w.group + ", " + alg + " over UDP"
	if w.dtls {
		text = w.group + ", " + alg + " over DTLS, shown by " + map[string]string{"certificate": "certificate", "psk": "pre-shared key"}[w.show]
	}
	return text
}

// demoJWT is the part of the demonstration in which groups walk through the states of the
// JWT server: one server, on one port, for UDP and DTLS.
type demoJWT struct {
	dir     string // lab folder
	lab     *jwtproto.Lab
	store   storeAddress
	files   *demoFiles
	out     *output
	log     *slog.Logger
	address string
}

// newDemoJWT makes the lab folder, or takes that of an earlier run. If the folder is kept,
// so is the state.
func newDemoJWT(files *demoFiles, kept bool, out *output, log *slog.Logger) (*demoJWT, error) {
	d := &demoJWT{dir: filepath.Join(files.dir, "lab"), store: storeAddress{kind: "memory"}, files: files, out: out, log: log}
	if kept {
		d.store = labStore(d.dir)
	}
	if _, err := os.Stat(filepath.Join(d.dir, jwtproto.GroupsFile)); errors.Is(err, fs.ErrNotExist) {
		var groups []jwtproto.NewGroup
		var members []int64
		for i := range demoMembers {
			members = append(members, int64(i+1))
		}
		for _, w := range demoWalks {
			groups = append(groups, jwtproto.NewGroup{Name: w.group, Members: members, RSA: w.rsa, PSK: w.show == "psk"})
		}
		if err := jwtproto.CreateLab(d.dir, groups); err != nil {
			return nil, err
		}
	}
	var problems []jwtproto.Problem
	var err error
	if d.lab, problems, err = jwtproto.OpenLab(d.dir); err != nil {
		return nil, err
	}
	tellProblems(out, problems)
	return d, nil
}

// start starts the server.
func (d *demoJWT) start(ctx context.Context, running *sync.WaitGroup, w *watch) error {
	store, err := d.store.open(ctx)
	if err != nil {
		return err
	}
	if err := d.serve(ctx, running, w, store); err != nil {
		return errors.Join(err, store.Close())
	}
	return nil
}

func (d *demoJWT) serve(ctx context.Context, running *sync.WaitGroup, w *watch, store jwtproto.Store) error {
	config := jwtproto.Config{Lab: d.lab, Store: store, Certificate: d.files.server, Logger: d.log, Observe: w.answered}
	if err := w.groups(ctx, config); err != nil {
		return err
	}
	config.Peers = w.server("jwt").handler(ctx, nil)
	server, err := jwtproto.NewServer(config)
	if err != nil {
		return err
	}
	if w != nil {
		w.jwt.Store(server)
	}
	var listen net.ListenConfig
	packets, err := listen.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		server.Close()
		return fmt.Errorf("cannot listen: %w", err)
	}
	base := datagram.New(packets)
	d.address = base.LocalAddress().String()
	running.Go(func() {
		defer base.Close()
		err := server.Serve(ctx, base, jwtproto.Both)
		server.Close()
		if err = errors.Join(err, store.Close()); err != nil {
			d.out.fail(fmt.Errorf("JWT server: %w", err))
		}
	})
	return nil
}

// walk has all groups walk once, each time by another member; the first time drawn, later
// so slowly that it can be watched. It gives the groups that did.
func (d *demoJWT) walk(ctx context.Context, round int) (walked []string, err error) {
	drawn := round == 1
	out := d.out.viewed(faultsView).seen(func(e event) {
		if _, ok := e.(jwtStep); ok {
			select {
			case <-time.After(demoStep):
			case <-ctx.Done():
			}
		}
	})
	if drawn {
		out = d.out.viewed(jwtWalkView(d.out.terminal))
		out.emit(note{"\n" + d.out.paint.strong("By signed claims: three groups walk through the states of the JWT server on "+d.address+", one port for UDP and DTLS.")})
	}
	for _, w := range demoWalks {
		if drawn {
			out.emit(note{"\n" + w.title()})
		}
		if err := d.walkOne(ctx, out, w, int64(1+(round-1)%demoMembers)); err != nil {
			return walked, fmt.Errorf("the walk of %s failed: %w", w.title(), err)
		}
		walked = append(walked, w.group)
	}
	return walked, nil
}

func (d *demoJWT) walkOne(ctx context.Context, out *output, w demoWalk, member int64) error {
	command := jwtWalk{Group: w.group, Registration: member, Dir: d.dir, Show: w.show, Patience: demoPatience}
	walker, psk, err := command.client()
	if err != nil {
		return err
	}
	return walkJWT(ctx, out, walker, d.address, w.dtls, conn.NetworkAddress{Hostname: demoName}, func(c *clientconn.DtlsClientConnection) error {
		c.SetDatabase(d.files.ca)
		return showMember(c, walker, w.show, psk)
	})
}

// byHand tells how to walk from another terminal.
func (d *demoJWT) byHand() string {
	walk := fmt.Sprintf("%s jwt walk %s --dir %s --group ", program(), d.address, d.dir)
	return "\n  " + strings.Join([]string{walk + "reds", walk + "blues --dtls --show psk"}, "\n  ")
}
