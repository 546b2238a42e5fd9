package serverconn

import (
	"gdtls/conn"
	"gdtls/datagram"
)

func init() {
	conn.RegisterServer(func(base datagram.DatagramBased, certificate *conn.TlsCertificate) (conn.DtlsServer, error) {
		c, err := NewDtlsServerConnection(base, certificate)
		if err != nil {
			return nil, err // not a nil pointer in an interface
		}
		return c, nil
	})
}
