package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"gdtls/clientconn"
	"gdtls/cmd/gdtls/internal/pki"
	"gdtls/conn"
	"gdtls/datagram"
)

// What the demonstration uses.
const (
	demoName     = "demo.gdtls.example" // whom the client asks for
	demoClient   = "alice"
	demoHint     = "gdtls demo"
	demoPings    = 2
	demoDays     = 30
	demoPause    = 5 * time.Second // between rounds
	demoPatience = 10 * time.Second
	demoMembers  = 3                      // of each group
	demoStep     = 150 * time.Millisecond // between the states of a walk that is watched
)

var demoKey = []byte{0x1a, 0x2b, 0x3c, 0x4d, 0x5e, 0x6f}

// demoCommand is "gdtls demo".
type demoCommand struct {
	Once      bool   `help:"Show it once and end; otherwise the servers stay up, and it is repeated until Ctrl-C."`
	Console   string `default:"127.0.0.1:0" placeholder:"ADDR:PORT" help:"Where the console is shown, by HTTP, unless --once; port 0 takes a free one. (default: ${default})"`
	NoConsole bool   `help:"Show no console."`
	Data      string `placeholder:"DIR" help:"Keep the certificates, keys and states here, and use those that are here. (default: a temporary directory)"`
}

// Run shows it.
func (d *demoCommand) Run(env *environment) error {
	dir := d.Data
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "gdtls-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, err := makeDemoFiles(dir)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(env.ctx)
	defer stop()
	out := env.out.viewed(drawView(env.out.terminal))
	out.emit(note{env.out.paint.strong("gdtls demo") + ": DTLS conversations and signed claims on this machine, through real sockets"})
	var seen *watch
	if !d.Once && !d.NoConsole {
		seen = newWatch()
	}
	conversations := []*conversation{files.byCertificate(), files.byKey()}
	var servers sync.WaitGroup
	defer servers.Wait()
	defer stop() // before that
	for _, c := range conversations {
		c.out, c.server.log = out.tagged("conversation", c.name), env.log
		c.server.watch, c.server.watched = seen, seen.server(c.name)
		if err := c.start(ctx, &servers); err != nil {
			return err
		}
	}
	jwt, err := newDemoJWT(files, d.Data != "", out, env.log)
	if err != nil {
		return err
	}
	if err := jwt.start(ctx, &servers, seen); err != nil {
		return err
	}
	view, err := (&consoleFlags{Console: d.Console}).open(env, out, "gdtls demo", "", seen)
	if err != nil {
		return err
	}
	defer view.close()
	for round := 1; ; round++ {
		if err := d.round(ctx, env, out, conversations, jwt, round); err != nil {
			return err
		}
		if d.Once {
			break
		}
		if round == 1 {
			view.tell(out)
			out.emit(note{files.byHand(env.out.paint, conversations[0].socket, conversations[1].socket, jwt.byHand())})
		}
		select {
		case <-time.After(demoPause):
		case <-ctx.Done():
			return nil // Ctrl-C is how it ends
		}
	}
	return nil
}

// demoDone: a round of the demonstration has ended.
type demoDone struct {
	OK            bool     `json:"ok"`
	Conversations []string `json:"conversations"`
	Walks         []string `json:"walks"` // groups that have walked through all states
}

func (demoDone) name() string { return "demo" }

// round has each conversation and each walk once, the first time drawn, later in a line.
func (d *demoCommand) round(ctx context.Context, env *environment, out *output, conversations []*conversation, jwt *demoJWT, round int) error {
	e := demoDone{OK: true, Walks: []string{}}
	for _, c := range conversations {
		e.Conversations = append(e.Conversations, c.name)
		if round > 1 {
			c.out = c.out.viewed(faultsView)
		}
		shown, err := c.hold(ctx)
		switch {
		case err != nil && env.ctx.Err() != nil && !d.Once:
			return nil
		case err != nil:
			out.emit(demoDone{false, e.Conversations, e.Walks})
			return fmt.Errorf("the conversation by %s failed: %w", c.name, err)
		case round > 1:
			out.emit(note{out.paint.faint(time.Now().Format("15:04:05 ") + fmt.Sprintf("again by %s: %s, %d messages answered", c.name, shown.Ciphersuite, demoPings))})
		}
	}
	var err error
	e.Walks, err = jwt.walk(ctx, round)
	switch {
	case err != nil && env.ctx.Err() != nil && !d.Once:
		return nil
	case err != nil:
		out.emit(demoDone{false, e.Conversations, append([]string{}, e.Walks...)})
		return err
	case round > 1:
		out.emit(note{out.paint.faint(time.Now().Format("15:04:05 ") + "again the walks of " + strings.Join(e.Walks, ", "))})
		out = out.viewed(faultsView)
	}
	out.emit(e)
	return nil
}

// faultsView shows only what is not as it should be.
func faultsView(p palette, e event) string {
	if _, ok := e.(note); ok {
		return ""
	}
	return plainView(p, e)
}

// demoFiles are the certificates of the demonstration.
type demoFiles struct {
	dir            string
	ca             conn.TlsDatabase
	authority      []byte // its name
	server, client *conn.TlsCertificate
}

func makeDemoFiles(dir string) (*demoFiles, error) {
	ca, _, err := openAuthority(dir, false, demoDays)
	if err != nil {
		return nil, err
	}
	trusted, err := conn.NewCertificate(ca.TLS())
	if err != nil {
		return nil, err
	}
	f := &demoFiles{dir: dir, ca: conn.NewDatabaseFromCertificates(trusted), authority: ca.Certificate.RawSubject}
	if f.server, err = demoLeaf(ca, dir, "server", pki.Request{Names: []string{demoName, "localhost", "127.0.0.1", "::1"}, Days: demoDays}); err != nil {
		return nil, err
	}
	f.client, err = demoLeaf(ca, dir, "client", pki.Request{Names: []string{demoClient}, Client: true, Days: demoDays})
	return f, err
}

// demoLeaf reads a certificate of an earlier run, or issues one.
func demoLeaf(ca *pki.Pair, dir, base string, request pki.Request) (*conn.TlsCertificate, error) {
	files := pki.FilesIn(dir, base)
	if len(files.Existing()) == 0 {
		leaf, err := ca.Issue(request)
		if err != nil {
			return nil, err
		}
		if err := leaf.Write(files); err != nil {
			return nil, err
		}
	}
	return conn.NewCertificateFromFiles(files.Certificate, files.Key)
}

// conversation is one of the demonstration's: a server that stays, and a client
// that comes anew each time.
type conversation struct {
	name   string // "certificate" or "psk"
	title  string
	server server
	setUp  func(*clientconn.DtlsClientConnection) error
	out    *output
	socket datagram.Address // of the server

	// What the server tells of the client under way: that its handshake is done,
	// and that it is gone.
	connected chan handshakeDone
	gone      chan struct{}

	mu     sync.Mutex
	client string // address of the client under way
}

// byCertificate is a conversation in which both sides show certificates.
func (f *demoFiles) byCertificate() *conversation {
	return &conversation{
		name:  "certificate",
		title: "By certificates: the client asks for " + demoName + ", checks who answers, and shows who it is.",
		server: server{
			certificate: f.server,
			mode:        conn.AuthenticationRequested,
			authorities: [][]byte{f.authority},
			database:    f.ca,
			accept:      acceptFlags,
			protocols:   []string{"ping/2", "ping/1"},
			reply:       replyAck,
		},
		setUp: func(c *clientconn.DtlsClientConnection) error {
			c.SetDatabase(f.ca)
			c.SetCertificate(f.client)
			c.SetAdvertisedProtocols([]string{"ping/1"})
			return nil
		},
	}
}

// byKey is a conversation of two sides that share a key.
func (f *demoFiles) byKey() *conversation {
	return &conversation{
		name:   "psk",
		title:  "By a pre-shared key: nobody shows a certificate, the server gives a hint which key it means.",
		server: server{key: demoKey, identity: demoClient, hint: demoHint, reply: replyAck, accept: acceptNever},
		setUp:  func(c *clientconn.DtlsClientConnection) error { return usePSK(c, demoClient, demoKey) },
	}
}

// start starts the server.
func (c *conversation) start(ctx context.Context, running *sync.WaitGroup) error {
	var config net.ListenConfig
	packets, err := config.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	base := datagram.New(packets)
	c.socket = base.LocalAddress()
	c.connected, c.gone = make(chan handshakeDone, 1), make(chan struct{}, 1)
	c.server.maxPeers = 100
	c.server.out = c.out.tagged("side", "server").viewed(c.serverView).seen(c.server.watch.publish).seen(c.serverTells)
	running.Go(func() {
		defer base.Close()
		if err := c.server.serve(ctx, base); err != nil {
			c.out.fail(fmt.Errorf("server of the conversation by %s: %w", c.name, err))
		}
	})
	return nil
}

// serverView shows what the server says of peers that somebody brought by hand. Of
// the demonstration's own client the other end tells.
func (c *conversation) serverView(p palette, e event) string {
	switch e.(type) {
	case listening, note:
		return "" // told otherwise
	}
	if c.isOwn(e) {
		return ""
	}
	return logView(p, e)
}

// serverTells hands on what the server says of the demonstration's own client.
func (c *conversation) serverTells(e event) {
	if !c.isOwn(e) {
		return
	}
	switch e := e.(type) {
	case handshakeDone:
		c.connected <- e
	case closed:
		c.gone <- struct{}{}
	}
}

// isOwn tells whether an event concerns the client under way.
func (c *conversation) isOwn(e event) bool {
	peer := logLine(palette(false), e).peer
	c.mu.Lock()
	defer c.mu.Unlock()
	return peer != "" && peer == c.client
}

// next waits for what the server tells, for no longer than ctx and the patience of
// the demonstration allow.
func next[T any](ctx context.Context, from <-chan T) (told T, err error) {
	timer := time.NewTimer(demoPatience)
	defer timer.Stop()
	select {
	case told = <-from:
		return told, nil
	case <-ctx.Done():
		return told, datagram.ErrorFromContext(ctx)
	case <-timer.C:
		return told, datagram.NewError(datagram.CodeTimedOut, "the server did not tell within %v how it sees the client", demoPatience)
	}
}

// hold has the conversation once.
func (c *conversation) hold(ctx context.Context) (handshakeDone, error) {
	socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(c.socket.AddrPort()))
	if err != nil {
		return handshakeDone{}, err
	}
	base := datagram.New(socket)
	defer base.Close()
	c.mu.Lock()
	c.client = base.LocalAddress().String()
	c.mu.Unlock()
	out := c.out.tagged("side", "client")
	out.emit(scene{c.title, c.client, c.socket.String()})
	connection, err := clientconn.NewDtlsClientConnection(&tap{base, out}, conn.NetworkAddress{Hostname: demoName})
	if err != nil {
		return handshakeDone{}, err
	}
	if err := c.setUp(connection); err != nil {
		return handshakeDone{}, err
	}
	own := &client{DtlsClientConnection: connection, out: out, address: c.socket.String(), patience: demoPatience, accept: acceptNever}
	own.watch()
	defer own.close()
	if err := own.handshake(ctx); err != nil {
		return handshakeDone{}, err
	}
	seen, err := next(ctx, c.connected)
	if err != nil {
		return handshakeDone{}, err
	}
	out.emit(serverSees{seen})
	t := talk{client: own, out: out, source: pings(demoClient, demoPings, 0, 50*time.Millisecond), wait: demoPatience}
	if err := t.run(ctx); err != nil {
		return handshakeDone{}, err
	}
	if t.replies != t.sent {
		return handshakeDone{}, fmt.Errorf("%d of %d messages were answered", t.replies, t.sent)
	}
	_, err = next(ctx, c.gone)
	return describe(connection.DtlsConnection, true), err
}

// byHand tells how to talk to the servers.
func (f *demoFiles) byHand(p palette, byCertificate, byKey datagram.Address, more string) string {
	ca := pki.FilesIn(f.dir, "ca").Certificate
	own := pki.FilesIn(f.dir, "client")
	key := hex.EncodeToString(demoKey)
	commands := []string{
		fmt.Sprintf("%s connect %s --identity %s --ca %s", program(), byCertificate, demoName, ca),
		fmt.Sprintf("%s connect %s --ca %s --cert %s --key %s --alpn ping/1", program(), byCertificate, ca, own.Certificate, own.Key),
		fmt.Sprintf("%s connect %s --psk %s --psk-identity %s", program(), byKey, key, demoClient),
		fmt.Sprintf("openssl s_client -dtls1_2 -connect %s -CAfile %s", byCertificate, ca),
		fmt.Sprintf("openssl s_client -dtls1_2 -connect %s -psk %s -psk_identity %s -cipher PSK", byKey, key, demoClient),
	}
	return "\n" + p.strong("The servers stay up. Talk to them from another terminal:") +
		"\n  " + strings.Join(commands, "\n  ") + more +
		"\n" + p.faint("Meanwhile the conversations are repeated. Ctrl-C stops.")
}

// program is what starts the program as it was started. "go run" starts a temporary
// binary, which nobody can name.
func program() string {
	if name := os.Args[0]; !strings.Contains(name, "go-build") {
		return name
	}
	return "go run ./cmd/gdtls"
}
