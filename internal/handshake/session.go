package handshake

import (
	"crypto/x509"

	"gdtls/internal/record"
)

// Session is what a handshake agreed on.
type Session struct {
	Version        uint16
	Suite          *Suite
	ExtendedMaster bool // RFC 7627 was used
	Resumed        bool

	MasterSecret   [48]byte
	ClientRandom   [32]byte
	ServerRandom   [32]byte
	ClientFinished [finishedSize]byte
	ServerFinished [finishedSize]byte
	SessionID      []byte
	Stored         *StoredSession // server: where the session is kept by its id; nil: it is not
	Own            *Certificate   // server: the one that it has shown, in this handshake or in that which it resumes; nil for none

	PeerChain            [][]byte // DER, leaf first; nil if the peer showed none
	CertificateRequested bool     // client: the server asked for a certificate
	Authorities          [][]byte // client: DER names that the server gave with it, nil if it did not ask
	ALPN                 string
	ServerName           string // server: what the client asked for
	PeerErrors           uint32 // what the driver found of the peer's chain before it accepted it; kept with the session, and of no meaning here
	PSKIdentity          []byte // of the key that was used
	PSKHint              []byte // client: the server's hint

	Sealer     *record.Sealer // epoch 1, ours
	Opener     *record.Opener // epoch 1, the peer's
	LastFlight *LastFlight    // nil where the peer cannot have missed it
	Saved      *SavedSession  // client: for a handshake that resumes this one; nil: there can be none
	Early      [][]byte       // application data that came before the end of the handshake
	Closed     bool           // the peer's close_notify did so, too
}

// peer is what is known about the other side while the handshake runs.
type peer struct {
	chain   [][]byte
	leaf    *x509.Certificate
	request *certificateRequest // client: the server's CertificateRequest
}
