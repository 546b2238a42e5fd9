package clientconn

import (
	"gdtls/conn"
	"gdtls/datagram"
)

// DtlsClientEngine is a client for programs that own their socket loop (QDtls in
// client mode).
type DtlsClientEngine struct {
	*conn.DtlsEngine
	connection *DtlsClientConnection
}

// NewDtlsClientEngine makes an engine for a client. serverIdentity is that of
// [NewDtlsClientConnection]; Qt calls it the peer's verification name (Q012).
func NewDtlsClientEngine(serverIdentity conn.SocketConnectable) (*DtlsClientEngine, error) {
	e := &DtlsClientEngine{}
	var err error
	e.DtlsEngine, err = conn.NewDtlsEngine(func(base datagram.DatagramBased) (*conn.DtlsConnection, error) {
		var err error
		if e.connection, err = NewDtlsClientConnection(base, serverIdentity); err != nil {
			return nil, err
		}
		return e.connection.DtlsConnection, nil
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Connection holds the settings and properties of the engine.
func (e *DtlsClientEngine) Connection() *DtlsClientConnection { return e.connection }
