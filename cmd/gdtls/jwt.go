package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gdtls/cmd/gdtls/internal/console"
	"gdtls/datagram"
	"gdtls/jwtproto"
	"gdtls/wsserver"
)

// jwtCommand is "gdtls jwt".
type jwtCommand struct {
	Serve  jwtServe         `cmd:"" help:"Serve the JWT state-machine protocol over UDP and DTLS on one port."`
	Walk   jwtWalk          `cmd:"" help:"Walk through the states as a member of a group."`
	Keygen jwtKeygen        `cmd:"" help:"Make a lab folder: groups, key pairs and a secret."`
	Secret jwtSecretCommand `cmd:"" help:"Show and change the secrets that servers share."`

	Status  jwtStatus  `cmd:"" help:"Show how far groups and members are."`
	History jwtHistory `cmd:"" help:"Show the accepted requests of a group."`
	Export  jwtExport  `cmd:"" help:"Print everything that a server has kept, as JSON lines."`
}

// jwtServe is "gdtls jwt serve".
type jwtServe struct {
	Addr string `arg:"" optional:"" default:"0.0.0.0" help:"Address to listen at. (default: ${default})"`
	Port uint16 `arg:"" optional:"" default:"44555" help:"Port; 0 takes a free one. (default: ${default})"`
	Dir  string `arg:"" optional:"" default:"." help:"Lab folder with keys_pub, keys_priv and groups.toml. (default: the current folder)"`

	Transport        string        `enum:"udp,dtls,both" default:"both" placeholder:"udp|dtls|both" help:"How requests may come. (default: ${default})"`
	Cert             string        `placeholder:"FILE" help:"PEM file with the certificate for DTLS, and after it those of its issuers. (default: a makeshift one)"`
	Key              string        `placeholder:"FILE" help:"PEM file with its private key. (default: the file of --cert)"`
	States           int           `default:"7" placeholder:"N" help:"Number of states, 2 to 1000. (default: ${default})"`
	MaxRequest       int           `default:"2048" placeholder:"BYTES" help:"Longest request. (default: ${default})"`
	Leeway           time.Duration `default:"5s" placeholder:"D" help:"How far a request's time of issue may be ahead of the clock. (default: ${default})"`
	ChecksPerSecond  int           `default:"500" placeholder:"N" help:"Public-key checks for each host; negative: no limit. (default: ${default})"`
	RepliesPerSecond int           `default:"100" placeholder:"N" help:"Error replies that are longer than their request, for each host over UDP; negative: no limit. (default: ${default})"`
	MaxPeers         int           `default:"10000" placeholder:"N" help:"DTLS peers at once. (default: ${default})"`
	Store            string        `placeholder:"STORE" help:"Where the state is kept: sqlite:FILE; postgres://user@host/database, which several servers can share; or memory: until the server ends. (default: sqlite:DIR/store/gdtls.sqlite)"`
	ShareEvents      bool          `help:"Tell the other servers with the same store what this one acknowledges, and tell of what they do."`
	Strict           bool          `help:"Refuse requests that are older than the last restart of their group."`
	Logs             string        `placeholder:"DIR" help:"Where the log files go. (default: the lab folder)"`
	NoLogs           bool          `help:"Write no log files."`
	LogSize          int64         `default:"16777216" placeholder:"BYTES" help:"A longer log file is rotated. (default: ${default})"`

	consoleFlags
	Fault faultFlags `embed:"" prefix:"fault-"`
}

// faultFlags spoil replies.
type faultFlags struct {
	Drop           float64       `placeholder:"P" group:"Faults in replies, for classes; P is how likely, from 0 to 1" help:"Send no reply."`
	Delay          float64       `placeholder:"P" group:"Faults in replies, for classes; P is how likely, from 0 to 1" help:"Send it late."`
	DelayTime      time.Duration `default:"2s" placeholder:"D" group:"Faults in replies, for classes; P is how likely, from 0 to 1" help:"How late. (default: ${default})"`
	Duplicate      float64       `placeholder:"P" group:"Faults in replies, for classes; P is how likely, from 0 to 1" help:"Send it twice."`
	WrongSignature float64       `placeholder:"P" group:"Faults in replies, for classes; P is how likely, from 0 to 1" help:"Sign it wrongly."`
	WrongOrder     float64       `placeholder:"P" group:"Faults in replies, for classes; P is how likely, from 0 to 1" help:"Send it after the next one."`
	Seed           uint64        `placeholder:"N" group:"Faults in replies, for classes; P is how likely, from 0 to 1" help:"Decides when; the same seed decides the same."`
}

// faults checks the flags; nil if there are to be none.
func (f faultFlags) faults() (*jwtproto.Faults, error) {
	any := false
	for name, p := range map[string]float64{"drop": f.Drop, "delay": f.Delay, "duplicate": f.Duplicate, "wrong-signature": f.WrongSignature, "wrong-order": f.WrongOrder} {
		if !(p >= 0 && p <= 1) {
			return nil, usagef("--fault-%s takes 0 (never) to 1 (always), and not %v", name, p)
		}
		any = any || p > 0
	}
	if !any {
		return nil, nil
	}
	faults := jwtproto.NewFaults(f.Seed)
	faults.Drop, faults.Delay, faults.DelayTime = f.Drop, f.Delay, f.DelayTime
	faults.Duplicate, faults.WrongSignature, faults.WrongOrder = f.Duplicate, f.WrongSignature, f.WrongOrder
	return faults, nil
}

var jwtTransports = map[string]jwtproto.Transport{"udp": jwtproto.UDP, "dtls": jwtproto.DTLS, "both": jwtproto.Both}

// Help tells of the folder.
func (*jwtServe) Help() string {
	return "DIR/keys_pub has the public keys, NAME.pem or NAME.ssh for the group NAME; DIR/keys_priv/key_secret_for_hmac.txt the secret for replies; " +
		"DIR/groups.toml the members. Keys and groups are read again when they change. gdtls jwt keygen makes such a folder."
}

// Run serves until Ctrl-C.
func (s *jwtServe) Run(env *environment) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	out := env.out.viewed(jwtLogView)
	config, err := s.config(env, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, config.Logs.Close()) }()
	address, err := s.openStore(env.ctx, &config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, config.Store.Close()) }()
	var listen net.ListenConfig
	packets, err := listen.ListenPacket(env.ctx, "udp", net.JoinHostPort(s.Addr, strconv.Itoa(int(s.Port))))
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	base := datagram.New(packets)
	defer base.Close()
	var w *watch
	var watched *watchedPeers
	if s.Console != "" {
		w = newWatch()
		if err := w.groups(env.ctx, config); err != nil {
			return err
		}
		if s.Transport != "udp" {
			watched = w.server("")
		}
	}
	view, err := s.openWatch(env, out, config.Store, "gdtls jwt serve "+base.LocalAddress().String(), w)
	if err != nil {
		return err
	}
	defer view.close()
	view.tell(out)
	var tokens *wsserver.BearerAuthenticator
	if watched != nil && view.accounts {
		tokens = view.Bearer()
		defer watched.closeRevoked(tokens)()
	}
	config.Peers = watched.handler(env.ctx, tokens)
	server, err := newJWTServer(out.queued(), config, w)
	if err != nil {
		return err
	}
	defer server.close()
	ctx, stop := context.WithCancel(env.ctx)
	defer stop()
	told := out.seen(w.publish)
	if err := config.Lab.Watch(ctx, func(problems []jwtproto.Problem, err error) {
		tellProblems(told, problems)
		if err != nil {
			told.emit(warning{Message: "groups and keys stay as they were: " + err.Error()})
		}
	}); err != nil {
		told.emit(warning{Message: err.Error() + "; changes of groups and keys will not be seen"})
	}
	if s.ShareEvents {
		stop, err := tellRemote(ctx, told, w, config.Store)
		if err != nil {
			return err
		}
		defer stop()
	}
	told.emit(note{"the state is kept in " + address.String()})
	if address.kind == "postgres" && config.Certificate != nil && s.Cert == "" {
		told.emit(warning{Message: "the certificate is a makeshift one, which no other server with this store has: clients take them for different servers (--cert names one for all)"})
	}
	return server.serve(ctx, told, base, s.Transport)
}

// openWatch opens the console. Who may log in says the file that was named, or that of the
// lab folder, or else the store.
func (s *jwtServe) openWatch(env *environment, out *output, store jwtproto.Store, title string, w *watch) (*openConsole, error) {
	if w == nil || s.Accounts != "" || exists(filepath.Join(s.Dir, accountsFile)) {
		return s.open(env, out, title, s.Dir, w)
	}
	logins, err := loginsOf(env.ctx, store)
	switch {
	case err != nil:
		return nil, err
	case logins == nil:
		return s.open(env, out, title, "", w)
	}
	view, err := s.openWith(env, out, console.Config{
		Title: title, Source: w.source(), Events: w.hub, Accounts: logins, Keys: logins.keys, Revocations: logins,
	}, "")
	if err == nil {
		view.follow = logins.watch(env.ctx, view.Bearer(), env.log)
	}
	return view, err
}

// openStore opens the store that was named, or that of the lab folder.
func (s *jwtServe) openStore(ctx context.Context, config *jwtproto.Config) (address storeAddress, err error) {
	if address, err = storeOf(s.Store, s.Dir); err != nil {
		return address, err
	}
	address.events = s.ShareEvents
	config.Store, err = address.open(ctx)
	return address, err
}

// config checks the flags and reads the files.
func (s *jwtServe) config(env *environment, out *output) (jwtproto.Config, error) {
	c := jwtproto.Config{
		States: s.States, MaxRequest: s.MaxRequest, Leeway: s.Leeway, MaxPeers: s.MaxPeers,
		ChecksPerSecond: s.ChecksPerSecond, RepliesPerSecond: s.RepliesPerSecond, Strict: s.Strict, Logger: env.log,
	}
	if s.Leeway == 0 {
		c.Leeway = -1
	}
	switch {
	case s.States < jwtproto.MinStates || s.States > jwtproto.MaxStates:
		return c, usagef("--states takes %d to %d, and not %d", jwtproto.MinStates, jwtproto.MaxStates, s.States)
	case s.MaxRequest < 1 || s.ChecksPerSecond == 0 || s.RepliesPerSecond == 0 || s.MaxPeers < 1:
		return c, usagef("--max-request, --max-peers, --checks-per-second and --replies-per-second must not be 0")
	case s.NoLogs && s.Logs != "":
		return c, usagef("--no-logs and --logs contradict each other")
	}
	var err error
	if c.Faults, err = s.Fault.faults(); err != nil {
		return c, err
	}
	if s.Transport != "udp" {
		flags := credentials{Cert: s.Cert, Key: s.Key}
		if c.Certificate, err = flags.certificate(); err != nil {
			return c, err
		}
		if c.Certificate == nil {
			if c.Certificate, err = makeshift(s.Addr); err != nil {
				return c, err
			}
		}
	}
	var problems []jwtproto.Problem
	if c.Lab, problems, err = jwtproto.OpenLab(s.Dir); err != nil {
		return c, fmt.Errorf("%w (gdtls jwt keygen DIR makes a lab folder)", err)
	}
	tellProblems(out, problems)
	if !s.NoLogs {
		folder := s.Logs
		if folder == "" {
			folder = s.Dir
		}
		if c.Logs, err = jwtproto.OpenLogs(folder, s.LogSize, func(err error) { env.log.Error(err.Error()) }); err != nil {
			return c, err
		}
	}
	return c, nil
}

func tellProblems(out *output, problems []jwtproto.Problem) {
	for _, p := range problems {
		out.emit(warning{Message: p.String()})
	}
}

// jwtServer is a server of the JWT protocol that tells of each request.
type jwtServer struct {
	*jwtproto.Server
	config  jwtproto.Config
	printed *output // of requests: queued, since the server's workers must not wait for it
}

// newJWTServer makes a server. What it prints of requests goes to a queued output, which
// is closed with it; a watch may be nil.
func newJWTServer(printed *output, config jwtproto.Config, w *watch) (*jwtServer, error) {
	config.Observe = func(e jwtproto.Event) {
		w.answered(e)
		printed.emit(newJWTRequest(e))
	}
	server, err := jwtproto.NewServer(config)
	if err != nil {
		printed.close()
		return nil, err
	}
	if w != nil {
		w.jwt.Store(server)
	}
	return &jwtServer{server, config, printed}, nil
}

// close ends the server, and prints what waits for that.
func (s *jwtServer) close() {
	s.Close()
	s.printed.close()
}

// serve serves until ctx ends, and tells of that.
func (s *jwtServer) serve(ctx context.Context, out *output, base *datagram.Socket, transport string) error {
	e := jwtListening{
		Address: base.LocalAddress().String(), Transport: transport, Groups: s.config.Lab.Groups(),
		States: cmp.Or(s.config.States, jwtproto.DefaultStates),
	}
	if s.config.Certificate != nil {
		e.Certificate = s.config.Certificate.SubjectName()
	}
	out.emit(e)
	err := s.Serve(ctx, base, jwtTransports[transport])
	counts := s.Stats()
	s.config.Logger.Info("server stopped", "counts", counts)
	s.close() // what it has to print comes first
	out.emit(note{fmt.Sprintf("stopped: %d requests, %d acknowledged, %d refused", counts.Requests, counts.Acknowledged, counts.Refused)})
	return err
}

// jwtKeygen is "gdtls jwt keygen".
type jwtKeygen struct {
	Dir     string   `arg:"" optional:"" default:"." help:"Folder to make it in. (default: the current folder)"`
	Group   []string `default:"GROUP1,GROUP2,GROUP3" placeholder:"A,B" help:"Names of the groups. (default: ${default})"`
	Members int      `default:"3" placeholder:"N" help:"Members of each group, with the registration numbers 1 to N. (default: ${default})"`
	Alg     string   `enum:"rs256,es256" default:"es256" placeholder:"rs256|es256" help:"What the groups sign with. (default: ${default})"`
	Format  string   `enum:"pem,ssh" default:"pem" placeholder:"pem|ssh" help:"Format of the public keys. (default: ${default})"`
	NoPSK   bool     `name:"no-psk" help:"Give the groups no pre-shared keys for DTLS."`
}

// Run makes the folder.
func (k *jwtKeygen) Run(env *environment) error {
	if k.Members < 1 || k.Members > 10000 {
		return usagef("--members takes 1 to 10000, and not %d", k.Members)
	}
	var members []int64
	for i := range k.Members {
		members = append(members, int64(i+1))
	}
	made := jwtLab{Dir: k.Dir}
	var groups []jwtproto.NewGroup
	for _, name := range k.Group {
		name = strings.ToUpper(name)
		groups = append(groups, jwtproto.NewGroup{Name: name, Members: members, RSA: k.Alg == "rs256", SSH: k.Format == "ssh", PSK: !k.NoPSK})
		made.Groups = append(made.Groups, name)
	}
	if err := jwtproto.CreateLab(k.Dir, groups); err != nil {
		return err
	}
	made.Clients = filepath.Join(k.Dir, jwtproto.ClientsFolder)
	env.out.viewed(jwtLogView).emit(made)
	return nil
}
