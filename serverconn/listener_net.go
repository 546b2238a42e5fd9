package serverconn

import (
	"context"
	"net"
)

// NetListener gives the listener as a net.Listener. The net.Conns that it accepts
// are those of NetConn: each Read and each Write is one message.
func (l *DtlsListener) NetListener() net.Listener { return netListener{l} }

type netListener struct{ l *DtlsListener }

func (n netListener) Accept() (net.Conn, error) {
	c, err := n.l.Accept(context.Background())
	if err != nil {
		return nil, err
	}
	return c.NetConn(), nil
}

func (n netListener) Close() error { return n.l.Close(context.Background()) }

func (n netListener) Addr() net.Addr {
	if addr := n.l.LocalAddress().NetAddr(); addr != nil {
		return addr
	}
	return unknownAddr{}
}

// unknownAddr is the address of a base that does not tell it.
type unknownAddr struct{}

func (unknownAddr) Network() string { return "dtls" }
func (unknownAddr) String() string  { return "unknown" }
