package main

import (
	"context"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
)

// connectCommand is "gdtls connect".
type connectCommand struct {
	Address string   `arg:"" name:"addr:port" help:"The server."`
	Text    []string `arg:"" optional:"" help:"More texts to send, as with --send."`
	credentials
	diagnosis
	Identity      string        `placeholder:"NAME" help:"Host name or IP address that the server's certificate must be for, and that the server is asked for. (default: that of ADDR)"`
	Accept        string        `enum:"ask,always,never,flags" default:"ask" placeholder:"ask|always|never|flags" help:"What happens to a server certificate with faults: ask shows it and asks, always takes it, never and flags refuse it. (default: ${default})"`
	Send          []string      `sep:"none" placeholder:"TEXT" help:"Message to send; may be repeated."`
	Count         int           `placeholder:"N" help:"How many pings to send."`
	Size          int           `placeholder:"BYTES" help:"Bytes of each ping. (default: a sentence)"`
	Interval      time.Duration `default:"1s" placeholder:"D" help:"Time between pings, such as 100ms. (default: ${default})"`
	Wait          time.Duration `default:"5s" placeholder:"D" help:"How long the handshake may take, and how long replies are waited for. (default: ${default})"`
	ShutdownWrite bool          `help:"After sending, close only the sending side, and read until the server closes."`
}

// Help tells what the flags do not.
func (*connectCommand) Help() string {
	return "Without --send and --count each line of standard input is sent. As many replies are waited for as messages were sent, at most for the time of --wait; to get fewer is a warning. With --psk only cipher suites with a pre-shared key are offered."
}

// Run connects, sends, and prints what comes back.
func (c *connectCommand) Run(env *environment) error {
	if err := c.check(); err != nil {
		return err
	}
	var dialer net.Dialer
	socket, err := dialer.DialContext(env.ctx, "udp", c.Address)
	if err != nil {
		return fmt.Errorf("cannot reach %s: %w", c.Address, err)
	}
	packets, ok := socket.(net.PacketConn)
	if !ok {
		return fmt.Errorf("cannot use a socket of type %T", socket)
	}
	base := datagram.New(packets)
	defer base.Close()
	env.log.Debug("socket is open", "local", base.LocalAddress(), "remote", base.RemoteAddress())

	out := env.out.viewed(talkView)
	client, err := c.connection(env, out, base)
	if err != nil {
		return err
	}
	defer client.close()
	out.emit(note{fmt.Sprintf("connecting to %s", base.RemoteAddress())})
	if err := client.handshake(env.ctx); err != nil {
		return err
	}
	env.log.Debug("connected", "connection", client, "mtu", client.MTU(), "largest message", client.MaximumMessageSize())
	t := talk{
		client:        client,
		out:           out,
		source:        c.source(env),
		wait:          c.Wait,
		shutdownWrite: c.ShutdownWrite,
		openEnded:     c.interactive(),
		person:        c.interactive() && env.in.person,
	}
	return t.run(env.ctx)
}

// texts are the messages of the command line.
func (c *connectCommand) texts() []string { return append(c.Send, c.Text...) }

func (c *connectCommand) interactive() bool { return len(c.texts()) == 0 && c.Count == 0 }

func (c *connectCommand) check() error {
	host, port, err := net.SplitHostPort(c.Address)
	switch {
	case err != nil || host == "" || port == "":
		return usagef("%q is not ADDR:PORT, such as localhost:4433 or [::1]:4433", c.Address)
	case c.Count < 0:
		return usagef("--count must not be negative, and is %d", c.Count)
	case c.Count > 0 && len(c.texts()) > 0:
		return usagef("--count sends pings and --send sends texts: give one of them")
	case c.Size != 0 && c.Count == 0:
		return usagef("--size is the size of pings, and needs --count")
	case c.Size < 0 || c.Size > maxMessage:
		return usagef("--size must be from 1 to %d bytes, and is %d", maxMessage, c.Size)
	case c.Interval < 0:
		return usagef("--interval must not be negative, and is %v", c.Interval)
	case c.Wait < 0:
		return usagef("--wait must not be negative, and is %v", c.Wait)
	case c.PSK != "" && c.PSKIdentity == "":
		return usagef("--psk needs --psk-identity, by which the server knows which key is meant")
	case c.PSK != "" && c.Cert != "":
		return usagef("--psk and --cert exclude each other: a connection stands on a key or on certificates")
	}
	return nil
}

// source gives what is to be sent.
func (c *connectCommand) source(env *environment) source {
	switch {
	case c.Count > 0:
		return pings(c.pingName(), c.Count, c.Size, c.Interval)
	case !c.interactive():
		return texts(c.texts())
	}
	return typed(env.in)
}

// pingName is what the client calls itself in its pings.
func (c *connectCommand) pingName() string {
	if c.PSKIdentity != "" {
		return c.PSKIdentity
	}
	return "gdtls"
}

// identity is the name that the server must have.
func (c *connectCommand) identity() conn.SocketConnectable {
	if c.Identity != "" {
		return conn.ParseIdentity(c.Identity)
	}
	host, _, _ := net.SplitHostPort(c.Address) // was checked
	host, _, _ = strings.Cut(host, "%")        // a zone means nothing elsewhere
	return conn.ParseIdentity(host)
}

// connection makes the connection over base from the flags.
func (c *connectCommand) connection(env *environment, out *output, base datagram.DatagramBased) (*client, error) {
	connection, err := clientconn.NewDtlsClientConnection(base, c.identity())
	if err != nil {
		return nil, err
	}
	certificate, err := c.certificate()
	if err != nil {
		return nil, err
	}
	connection.SetCertificate(certificate)
	protocols, err := c.protocols()
	if err != nil {
		return nil, err
	}
	connection.SetAdvertisedProtocols(protocols)
	database, err := c.database()
	if err != nil {
		return nil, err
	}
	connection.SetDatabase(database)
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	if key != nil {
		if err := usePSK(connection, c.PSKIdentity, key); err != nil {
			return nil, err
		}
	}
	result := &client{DtlsClientConnection: connection, out: out, address: c.Address, patience: c.Wait, accept: c.Accept, in: env.in}
	if result.keylog, err = c.openKeylog(); err != nil {
		return nil, err
	}
	if result.keylog != nil {
		connection.SetKeyLogWriter(result.keylog)
	}
	if c.Trace {
		traceTo(out, connection.DtlsConnection)
	}
	result.watch()
	return result, nil
}

// pskSuites are the cipher suites that stand on a pre-shared key, in order of
// preference.
var pskSuites = []string{
	"TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
	"TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256",
	"TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256",
	"TLS_PSK_WITH_AES_128_GCM_SHA256",
	"TLS_PSK_WITH_AES_256_GCM_SHA384",
	"TLS_PSK_WITH_CHACHA20_POLY1305_SHA256",
	"TLS_PSK_WITH_AES_128_CCM",
	"TLS_PSK_WITH_AES_256_CCM",
	"TLS_PSK_WITH_AES_128_CCM_8",
	"TLS_PSK_WITH_AES_256_CCM_8",
}

// usePSK makes a client stand on a pre-shared key.
func usePSK(connection *clientconn.DtlsClientConnection, identity string, key []byte) error {
	connection.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		a.SetIdentity([]byte(identity))
		a.SetPreSharedKey(key)
	})
	return connection.SetCiphersuites(pskSuites...)
}

// client is a connection to a server, and the decisions of who uses it.
type client struct {
	*clientconn.DtlsClientConnection
	out      *output
	address  string        // as it was given
	patience time.Duration // for the handshake, 0: no limit
	accept   string
	in       *lines
	keylog   *os.File // nil: none

	ctx   context.Context // of the handshake; set before it begins
	timer *time.Timer     // its patience
}

// watch connects the handlers of the signals.
func (c *client) watch() {
	c.ConnectAcceptCertificate(c.judge)
	c.ConnectNotify(conn.PropertyAcceptedCAs, func(*conn.DtlsConnection, string) {
		e := acceptedCAs{Names: []string{}}
		for _, der := range c.AcceptedCAs() {
			e.Names = append(e.Names, distinguishedName(der))
		}
		c.out.emit(e)
	})
}

// distinguishedName reads a DER name for people.
func distinguishedName(der []byte) string {
	var sequence pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &sequence); err != nil {
		return fmt.Sprintf("unreadable name %x", der)
	}
	return sequence.String()
}

// errImpatient ends a handshake that takes too long. It is the end of a deadline, as
// that of a context, which could not be moved.
var errImpatient = fmt.Errorf("patience is over: %w", context.DeadlineExceeded)

// handshake makes the handshake and tells how it went.
func (c *client) handshake(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	if c.patience > 0 {
		c.timer = time.AfterFunc(c.patience, func() { cancel(errImpatient) })
		defer c.timer.Stop()
	}
	c.ctx = ctx
	err := c.Handshake(ctx)
	e := describe(c.DtlsConnection, err == nil)
	if e.PSKIdentity == "" {
		if identity := c.ServerIdentity(); identity != nil {
			e.SNI = identity.ServerName()
		}
	}
	c.out.emit(e)
	if err == nil {
		return nil
	}
	var tlsError *conn.TlsError
	switch {
	case errors.As(err, &tlsError):
	case errors.Is(err, datagram.ErrCancelled) && context.Cause(ctx) == errImpatient:
		err = datagram.NewError(datagram.CodeTimedOut, "no connection within %v (--wait): does a DTLS server listen there?", c.patience)
	case errors.Is(err, datagram.ErrCancelled):
		err = datagram.NewError(datagram.CodeCancelled, "interrupted")
	case errors.Is(err, datagram.ErrConnectionRefused):
		err = datagram.NewError(datagram.CodeConnectionRefused, "nothing listens there: %w", err)
	}
	return fmt.Errorf("cannot connect to %s: %w", c.address, err)
}

// judge decides about a certificate with faults.
func (c *client) judge(_ *conn.DtlsConnection, chain *conn.TlsCertificate, flags conn.TlsCertificateFlags) bool {
	e := acceptCertificate{Flags: flagNames(flags), Chain: chainInfo(chain)}
	switch c.accept {
	case acceptAlways:
		e.Accepted = true
	case acceptFlags:
		e.Accepted = flags == 0
	case acceptAsk:
		if !c.in.person || c.out.json {
			c.out.emit(warning{Message: "nobody at a terminal can be asked about the certificate, so it is refused; --accept always takes it"})
			break
		}
		e.Accepted = c.ask(e)
	}
	c.out.emit(e)
	return e.Accepted
}

// ask shows the chain and what is wrong with it, and asks who types. The time that
// takes does not count.
func (c *client) ask(e acceptCertificate) bool {
	if c.timer != nil {
		c.timer.Stop()
		defer c.timer.Reset(c.patience)
	}
	c.out.print(certificateQuestion(c.out.paint, e))
	answer, _ := c.in.line(c.ctx)
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}

// close ends the connection, if it is not closed yet.
func (c *client) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	_ = c.Close(ctx) // the server is told as far as it can be
	if c.keylog != nil {
		_ = c.keylog.Close()
	}
}
