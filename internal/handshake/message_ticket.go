package handshake

import (
	"github.com/pion/dtls/v2/pkg/protocol/extension"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"
	"golang.org/x/crypto/cryptobyte"
)

// What RFC 5077 adds and pion does not have.
const (
	typeNewSessionTicket   handshake.Type      = 4
	extensionSessionTicket extension.TypeValue = 35
)

// newSessionTicket gives a client the server's state (RFC 5077 3.3). An empty
// ticket takes the promise of one back.
type newSessionTicket struct {
	lifetime uint32 // seconds; 0: not told
	ticket   []byte
}

func (t *newSessionTicket) marshal() []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, 6+len(t.ticket)))
	b.AddUint32(t.lifetime)
	addBytes16(b, t.ticket)
	return b.BytesOrPanic()
}

func (t *newSessionTicket) unmarshal(body []byte) bool {
	s := cryptobyte.String(body)
	return s.ReadUint32(&t.lifetime) && readBytes16(&s, &t.ticket) && s.Empty()
}
