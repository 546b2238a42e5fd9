package serverconn

import (
	"gdtls/conn"
	"gdtls/datagram"
)

// DtlsServerEngine is a server for programs that own their socket loop (QDtls in
// server mode), one for each peer.
type DtlsServerEngine struct {
	*conn.DtlsEngine
	connection *DtlsServerConnection
}

// NewDtlsServerEngine makes an engine for a server. The certificate may be nil, as for
// [NewDtlsServerConnection]. hello is what a [ClientVerifier] has verified, which the
// engine answers when it is started; with nil the engine verifies the peer itself.
func NewDtlsServerEngine(certificate *conn.TlsCertificate, hello *ClientHello) (*DtlsServerEngine, error) {
	e := &DtlsServerEngine{}
	var err error
	e.DtlsEngine, err = conn.NewDtlsEngine(func(base datagram.DatagramBased) (*conn.DtlsConnection, error) {
		var err error
		if hello != nil {
			e.connection, err = NewVerifiedServerConnection(base, certificate, hello)
		} else {
			e.connection, err = NewDtlsServerConnection(base, certificate)
		}
		if err != nil {
			return nil, err
		}
		return e.connection.DtlsConnection, nil
	})
	if err != nil {
		return nil, err
	}
	if hello != nil {
		if err := e.SetPeer(hello.Address()); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Connection holds the settings and properties of the engine.
func (e *DtlsServerEngine) Connection() *DtlsServerConnection { return e.connection }
