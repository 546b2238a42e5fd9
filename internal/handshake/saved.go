package handshake

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"gdtls/internal/record"
)

// SavedSession is what a side keeps of a handshake so that another may resume it
// (RFC 5246 7.3, RFC 5077). It is immutable, and holds secrets.
type SavedSession struct {
	ID     []byte // under which a server keeps it; nil on a client that has a Ticket
	Ticket []byte // client: what the server keeps of it, sealed by the server

	Suite        *Suite
	MasterSecret [48]byte
	ServerName   string            // that the client asked for
	Own          [sha256.Size]byte // server: hash of the certificate that it showed; zero for none
	PeerChain    [][]byte
	PeerErrors   uint32 // see Session
	PSKIdentity  []byte
	PSKHint      []byte            // client
	keyProof     [sha256.Size]byte // of the pre-shared key; zero for none
	host         []byte            // server: where the client was; empty: not known
	Expires      time.Time         // counted from the full handshake, never put off
}

// SameKey tells whether a pre-shared key is the one of the session. Nobody learns
// the key from a saved session without guessing it.
func (s *SavedSession) SameKey(psk []byte) bool {
	proof := keyProof(&s.MasterSecret, psk)
	return subtle.ConstantTimeCompare(proof[:], s.keyProof[:]) == 1
}

// keyProof ties a session to a pre-shared key.
func keyProof(master *[48]byte, psk []byte) (proof [sha256.Size]byte) {
	mac := hmac.New(sha256.New, master[:])
	mac.Write([]byte("pre-shared key"))
	mac.Write(psk)
	mac.Sum(proof[:0])
	return proof
}

// save takes from a full handshake what is kept.
func (m *Machine) save(lifetime time.Duration, now time.Time) *SavedSession {
	s := &m.session
	return &SavedSession{
		Suite:        m.suite,
		MasterSecret: s.MasterSecret,
		ServerName:   s.ServerName,
		PeerChain:    m.peer.chain,
		PeerErrors:   s.PeerErrors,
		PSKIdentity:  s.PSKIdentity,
		PSKHint:      s.PSKHint,
		keyProof:     m.keyProof,
		Expires:      now.Add(lifetime),
	}
}

// restore makes a saved session the one of this handshake.
func (m *Machine) restore(saved *SavedSession) {
	s := &m.session
	m.suite = saved.Suite
	m.keyProof = saved.keyProof
	m.peer.chain = saved.PeerChain
	s.Resumed = true
	s.ExtendedMaster = true // others are not saved
	s.MasterSecret = saved.MasterSecret
	s.PeerErrors = saved.PeerErrors
	s.PSKIdentity = saved.PSKIdentity
	s.PSKHint = saved.PSKHint
}

// The encoding of a saved session begins with one of these, and they change with it.
const (
	savedAnywhere = 1 + iota // without the client's host
	savedWithHost
)

// marshal encodes what a server needs, to be sealed.
func (s *SavedSession) marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 256))
	if len(s.host) > 0 {
		b.AddUint8(savedWithHost)
		addBytes8(b, s.host)
	} else {
		b.AddUint8(savedAnywhere)
	}
	b.AddUint16(record.VersionDTLS12)
	b.AddUint16(s.Suite.ID)
	b.AddUint64(uint64(s.Expires.Unix()))
	b.AddBytes(s.MasterSecret[:])
	addBytes8(b, []byte(s.ServerName))
	b.AddBytes(s.Own[:])
	addBytes16(b, s.PSKIdentity)
	b.AddBytes(s.keyProof[:])
	b.AddUint32(s.PeerErrors)
	b.AddBytes(marshalCertificate(s.PeerChain))
	return b.Bytes()
}

// unmarshalSaved decodes what marshal made.
func unmarshalSaved(encoded []byte) (*SavedSession, bool) {
	s := &SavedSession{}
	in := cryptobyte.String(encoded)
	var format uint8
	var version, suite uint16
	var expires uint64
	var name []byte
	if !in.ReadUint8(&format) || format < savedAnywhere || format > savedWithHost ||
		format == savedWithHost && !readBytes8(&in, &s.host) ||
		!in.ReadUint16(&version) || version != record.VersionDTLS12 ||
		!in.ReadUint16(&suite) || !in.ReadUint64(&expires) ||
		!in.CopyBytes(s.MasterSecret[:]) || !readBytes8(&in, &name) || !in.CopyBytes(s.Own[:]) ||
		!readBytes16(&in, &s.PSKIdentity) || !in.CopyBytes(s.keyProof[:]) || !in.ReadUint32(&s.PeerErrors) {
		return nil, false
	}
	chain, err := parseCertificate(in)
	if s.Suite = SuiteByID(suite); s.Suite == nil || err != nil {
		return nil, false
	}
	if len(s.PSKIdentity) == 0 {
		s.PSKIdentity = nil
	}
	s.ServerName, s.PeerChain, s.Expires = string(name), chain, time.Unix(int64(expires), 0)
	return s, true
}
