package main

import (
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"time"

	"gdtls/cmd/gdtls/internal/pki"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// serveCommand is "gdtls serve".
type serveCommand struct {
	Listen string `default:"127.0.0.1:4433" placeholder:"ADDR:PORT" help:"Where to listen; port 0 takes a free one. (default: ${default})"`
	credentials
	diagnosis
	consoleFlags
	ClientAuth    string        `enum:"none,requested,required" default:"none" placeholder:"none|requested|required" help:"Whether clients are asked for a certificate. (default: ${default})"`
	Accept        string        `enum:"always,never,flags" default:"flags" placeholder:"always|never|flags" help:"Which client certificates are accepted: all, none, or those in which verification finds no fault. (default: ${default})"`
	PSKHint       string        `name:"psk-hint" placeholder:"TEXT" help:"Hint that helps clients to choose a key."`
	Reply         string        `enum:"ack,echo,none" default:"ack" placeholder:"ack|echo|none" help:"How messages are answered. (default: ${default})"`
	Metrics       string        `placeholder:"ADDR:PORT" help:"Where to show counters for Prometheus, by HTTP at /metrics."`
	IdleTimeout   time.Duration `placeholder:"D" help:"After which time without a message a peer is closed. (default: never)"`
	HandshakeRate float64       `placeholder:"N" help:"How many handshakes an address may begin a second, after as many at once. (default: any number)"`
	MaxPeers      int           `default:"10000" placeholder:"N" help:"How many peers are served at once. (default: ${default})"`
}

// Help tells what the flags do not.
func (*serveCommand) Help() string {
	return "Without --cert and --psk the server makes itself a certificate. With --psk and without --psk-identity every identity has the key."
}

// Run serves until Ctrl-C.
func (s *serveCommand) Run(env *environment) error {
	srv, err := s.server(env)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	packets, err := config.ListenPacket(env.ctx, "udp", s.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	keylog, err := s.openKeylog()
	if err != nil {
		return err
	}
	if keylog != nil {
		defer keylog.Close()
		srv.keylog = keylog
	}
	if s.Metrics != "" {
		if srv.metrics, err = newMetrics(env.ctx, s.Metrics); err != nil {
			return err
		}
		defer srv.metrics.close()
		srv.out.emit(note{"counters are shown at " + srv.metrics.url()})
	}
	view, err := s.open(env, srv.out, "gdtls serve "+packets.LocalAddr().String(), "", srv.watch)
	if err != nil {
		_ = packets.Close()
		return err
	}
	defer view.close()
	view.tell(srv.out)
	if view != nil && view.accounts {
		srv.tokens = view.Bearer()
	}
	srv.out = srv.out.seen(srv.watch.publish)
	base := datagram.New(packets)
	defer base.Close()
	env.log.Debug("socket is open", "address", base.LocalAddress())
	return srv.serve(env.ctx, base)
}

// server checks the flags and reads the files.
func (s *serveCommand) server(env *environment) (*server, error) {
	if s.MaxPeers < 1 {
		return nil, usagef("--max-peers must be at least 1, and is %d", s.MaxPeers)
	}
	if s.IdleTimeout < 0 || s.HandshakeRate < 0 {
		return nil, usagef("--idle-timeout and --handshake-rate must not be negative, and are %v and %v", s.IdleTimeout, s.HandshakeRate)
	}
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return nil, usagef("--listen wants ADDR:PORT, such as 127.0.0.1:4433 or [::1]:0: %v", err)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	srv := &server{
		out:      env.out.viewed(logView),
		log:      env.log,
		accept:   s.Accept,
		identity: s.PSKIdentity,
		hint:     s.PSKHint,
		reply:    s.Reply,
		maxPeers: s.MaxPeers,
		limits: []serverconn.ListenerOption{
			serverconn.WithIdleTimeout(s.IdleTimeout),
			serverconn.WithHandshakeRate(s.HandshakeRate, int(math.Ceil(s.HandshakeRate))),
		},
		trace: s.Trace,
		mode: map[string]conn.TlsAuthenticationMode{
			"none":      conn.AuthenticationNone,
			"requested": conn.AuthenticationRequested,
			"required":  conn.AuthenticationRequired,
		}[s.ClientAuth],
	}
	if srv.key, err = s.key(); err != nil {
		return nil, err
	}
	if s.PSKHint != "" && srv.key == nil {
		return nil, usagef("--psk-hint needs --psk: there is no key to give a hint for")
	}
	if srv.protocols, err = s.protocols(); err != nil {
		return nil, err
	}
	if srv.certificate, err = s.certificate(); err != nil {
		return nil, err
	}
	if srv.certificate == nil && srv.key == nil {
		if srv.certificate, err = makeshift(host); err != nil {
			return nil, err
		}
		info := newCertificateInfo(srv.certificate)
		srv.out.emit(warning{Message: fmt.Sprintf("made a self-signed certificate, which no client knows (SHA-256 %s); --cert and --key show one of yours", info.Fingerprint)})
	}
	if srv.database, err = s.database(); err != nil {
		return nil, err
	}
	if s.Console != "" {
		srv.watch = newWatch()
		srv.watched = srv.watch.server("")
	}
	srv.authorities, err = s.authorityNames()
	return srv, err
}

// authorityNames gives the DER names of the CAs in the file of --ca.
func (s *serveCommand) authorityNames() ([][]byte, error) {
	if s.CA == "" {
		return nil, nil
	}
	list, err := conn.ListCertificatesFromFile(s.CA)
	var names [][]byte
	for _, certificate := range list {
		names = append(names, certificate.X509().RawSubject)
	}
	return names, err
}

// makeshift makes a self-signed certificate for a server that listens on host.
func makeshift(host string) (*conn.TlsCertificate, error) {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host != "" && !net.ParseIP(host).IsUnspecified() && !slices.Contains(names, host) {
		names = append(names, host)
	}
	if own, err := os.Hostname(); err == nil && !slices.Contains(names, own) {
		names = append(names, own)
	}
	pair, err := pki.SelfSigned(pki.Request{Names: names, Days: 30})
	if err != nil {
		return nil, err
	}
	return conn.NewCertificate(pair.TLS())
}
