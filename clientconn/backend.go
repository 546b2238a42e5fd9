package clientconn

import (
	"gdtls/conn"
	"gdtls/datagram"
)

func init() {
	conn.RegisterClient(func(base datagram.DatagramBased, serverIdentity conn.SocketConnectable) (conn.DtlsClient, error) {
		c, err := NewDtlsClientConnection(base, serverIdentity)
		if err != nil {
			return nil, err // not a nil pointer in an interface
		}
		return c, nil
	})
}
