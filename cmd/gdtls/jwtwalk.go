package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/jwtproto"
)

// jwtWalk is "gdtls jwt walk".
type jwtWalk struct {
	Address string `arg:"" optional:"" default:"127.0.0.1:44555" placeholder:"ADDR:PORT" help:"The server. (default: ${default})"`

	Group        string        `required:"" placeholder:"NAME" help:"The group."`
	Dir          string        `default:"." placeholder:"DIR" help:"Lab folder, from which comes what the flags below do not tell. (default: the current folder)"`
	Registration int64         `placeholder:"N" help:"Number of the member who walks. (default: the first of the group)"`
	Members      int           `placeholder:"N" help:"How many members the group has."`
	Key          string        `placeholder:"FILE" help:"PEM file with the group's private key. (default: DIR/clients/NAME.pem)"`
	Secret       string        `placeholder:"FILE" help:"File with the secret of the replies. (default: DIR/keys_priv/key_secret_for_hmac.txt)"`
	States       int           `default:"7" placeholder:"N" help:"Number of states. (default: ${default})"`
	Patience     time.Duration `default:"30s" placeholder:"D" help:"How long each state may take. (default: ${default})"`

	DTLS     bool   `name:"dtls" help:"Talk DTLS."`
	Show     string `enum:"nothing,certificate,psk" default:"nothing" placeholder:"nothing|certificate|psk" help:"How the group shows by DTLS who it is: by a certificate for its key, or by its pre-shared key. (default: ${default})"`
	PSK      string `name:"psk" placeholder:"HEX" help:"The group's pre-shared key. (default: as in groups.toml)"`
	CA       string `name:"ca" placeholder:"FILE" help:"PEM file of the authorities that are trusted. (default: those of the system)"`
	Identity string `placeholder:"NAME" help:"Name that the server's certificate must have. (default: the host of ADDR)"`
	Accept   string `enum:"always,never" default:"never" placeholder:"always|never" help:"Whether a server certificate with faults is accepted. (default: ${default})"`
}

// Run walks once.
func (w *jwtWalk) Run(env *environment) error {
	walker, psk, err := w.client()
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(w.Address)
	if err != nil {
		return usagef("the server is named by ADDR:PORT, such as 127.0.0.1:44555: %v", err)
	}
	if !w.DTLS && w.Show != "nothing" {
		return usagef("--show %s needs --dtls", w.Show)
	}
	setUp := func(c *clientconn.DtlsClientConnection) error { return nil }
	if w.DTLS {
		if setUp, err = w.security(walker, psk); err != nil {
			return err
		}
	}
	if w.Identity != "" {
		host = w.Identity
	}
	out := env.out.viewed(jwtWalkView(env.out.terminal))
	return walkJWT(env.ctx, out, walker, w.Address, w.DTLS, conn.ParseIdentity(host), setUp)
}

// client reads what the member needs to know.
func (w *jwtWalk) client() (c *jwtproto.Client, psk []byte, err error) {
	name := strings.ToUpper(w.Group)
	c = &jwtproto.Client{Group: name, Registration: w.Registration, Members: w.Members, States: w.States, Patience: w.Patience}
	if w.Members == 0 || w.Registration == 0 || w.Show == "psk" && w.PSK == "" {
		lab, _, err := jwtproto.OpenLab(w.Dir)
		if err != nil {
			return nil, nil, fmt.Errorf("%w (--members and --registration say what is not there)", err)
		}
		members, key, ok := lab.Group(name)
		if !ok {
			return nil, nil, fmt.Errorf("%s has no group %s with a key; --members and --registration do without", w.Dir, name)
		}
		psk = key
		if c.Members == 0 {
			c.Members = len(members)
		}
		if c.Registration == 0 {
			c.Registration = members[0]
		}
	}
	if w.PSK != "" {
		flags := credentials{PSK: w.PSK}
		if psk, err = flags.key(); err != nil {
			return nil, nil, err
		}
	}
	file := func(given string, otherwise ...string) string {
		if given != "" {
			return given
		}
		return filepath.Join(append([]string{w.Dir}, otherwise...)...)
	}
	keyFile := file(w.Key, jwtproto.ClientsFolder, strings.ToLower(name)+".pem")
	data, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the group's private key: %w", err)
	}
	if c.Key, err = jwtproto.ParsePrivateKey(data); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	if c.Secret, err = os.ReadFile(file(w.Secret, jwtproto.SecretFolder, jwtproto.SecretFile)); err != nil {
		return nil, nil, fmt.Errorf("cannot read the secret of the replies: %w", err)
	}
	return c, psk, nil
}

// security says how the DTLS connection is set up.
func (w *jwtWalk) security(walker *jwtproto.Client, psk []byte) (func(*clientconn.DtlsClientConnection) error, error) {
	database, err := loadDatabase(w.CA)
	if err != nil {
		return nil, err
	}
	if w.Show == "psk" && psk == nil {
		return nil, fmt.Errorf("group %s has no pre-shared key in %s; --psk gives one", walker.Group, jwtproto.GroupsFile)
	}
	return func(c *clientconn.DtlsClientConnection) error {
		c.SetDatabase(database)
		if w.Accept == "always" {
			c.SetValidationFlags(0)
		}
		return showMember(c, walker, w.Show, psk)
	}, nil
}

// showMember has a connection show whose group it speaks for.
func showMember(c *clientconn.DtlsClientConnection, walker *jwtproto.Client, how string, psk []byte) error {
	switch how {
	case "psk":
		return usePSK(c, walker.Group, psk)
	case "certificate":
		certificate, err := jwtproto.MemberCertificate(walker.Group, walker.Key)
		if err != nil {
			return err
		}
		c.SetCertificate(certificate)
	}
	return nil
}

// walkJWT walks once and tells of it.
func walkJWT(ctx context.Context, out *output, walker *jwtproto.Client, address string, dtls bool, identity conn.SocketConnectable, setUp func(*clientconn.DtlsClientConnection) error) (err error) {
	socket, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
	if err != nil {
		return fmt.Errorf("cannot reach the server: %w", err)
	}
	base := datagram.New(socket.(net.PacketConn))
	defer base.Close()
	var over datagram.DatagramBased = base
	begun := time.Now()
	done := jwtWalked{Group: walker.Group, Server: address, Transport: "udp"}
	defer func() {
		done.OK, done.Seconds = err == nil, time.Since(begun).Seconds()
		out.emit(done)
	}()
	if dtls {
		done.Transport = "dtls"
		c, err := clientconn.NewDtlsClientConnection(base, identity)
		if err != nil {
			return err
		}
		if err := setUp(c); err != nil {
			return err
		}
		if err := c.Handshake(ctx); errors.Is(err, conn.ErrBadCertificate) {
			return fmt.Errorf("%w (--ca FILE says whom to trust, --accept always takes any certificate, --show psk needs none)", err)
		} else if err != nil {
			return err
		}
		out.emit(describe(c.DtlsConnection, true))
		defer func() {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
			defer cancel()
			_ = c.Close(closing) // everything was acknowledged, or is reported
		}()
		over = c
	}
	states := walker.States
	if states == 0 {
		states = jwtproto.DefaultStates
	}
	walker.Observe = func(a jwtproto.Acknowledged) {
		done.Sent += a.Sent
		done.Acknowledged++
		if a.Lost {
			done.Restarts++
		}
		out.emit(jwtStep{
			Group: walker.Group, Number: a.Number, Colour: jwtproto.Colour(a.Number), Next: a.Next, Sent: a.Sent,
			Rejected: a.Rejected, Lost: a.Lost, Seconds: a.Took.Seconds(), states: states,
		})
	}
	err = walker.Walk(ctx, over)
	if errors.Is(err, datagram.ErrConnectionClosed) {
		err = fmt.Errorf("%w: perhaps it does not know what the group showed any more", err)
	}
	return err
}
