package handshake

import (
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"

	"github.com/pion/dtls/v2/pkg/crypto/elliptic"

	"gdtls/internal/record"
)

const finishedSize = 12 // RFC 5246 7.4.9

// groups that we use for key agreement, best first.
var groups = []elliptic.Curve{elliptic.X25519, elliptic.P256, elliptic.P384}

func curveOf(g elliptic.Curve) ecdh.Curve {
	switch g {
	case elliptic.X25519:
		return ecdh.X25519()
	case elliptic.P256:
		return ecdh.P256()
	case elliptic.P384:
		return ecdh.P384()
	}
	return nil
}

func newEphemeral(g elliptic.Curve) (*ecdh.PrivateKey, error) {
	key, err := curveOf(g).GenerateKey(rand.Reader)
	if err != nil {
		return nil, errInternal(err, "cannot make an ephemeral %v key", g)
	}
	return key, nil
}

// agree computes the premaster secret; points off the curve and low-order ones
// are refused (RFC 8422 5.11).
func agree(key *ecdh.PrivateKey, peer []byte) ([]byte, error) {
	public, err := key.Curve().NewPublicKey(peer)
	if err != nil {
		return nil, errIllegal("peer's ephemeral key is not a point of the agreed group")
	}
	secret, err := key.ECDH(public)
	if err != nil {
		return nil, errIllegal("peer's ephemeral key has low order")
	}
	return secret, nil
}

// masterSecret derives the master secret: the extended one from the hash of the
// handshake so far if both sides have it (RFC 7627 4), else from the randoms.
func (s *Suite) masterSecret(premaster []byte, extended bool, transcript []byte, client, server *[32]byte) (master [48]byte) {
	p := newPRF(s.hash, premaster)
	if extended {
		p.expand(master[:], labelExtendedMaster, s.appendDigest(p.digest[:0], transcript), nil)
	} else {
		p.expand(master[:], labelMaster, client[:], server[:])
	}
	return master
}

// appendDigest appends the hash of a transcript.
func (s *Suite) appendDigest(dst, transcript []byte) []byte {
	if s.hash == crypto.SHA384 {
		sum := sha512.Sum384(transcript)
		return append(dst, sum[:]...)
	}
	sum := sha256.Sum256(transcript)
	return append(dst, sum[:]...)
}

// keys derives the keys of both directions (RFC 5246 6.3) from the master secret.
func (s *Suite) keys(master *keyedPRF, client, server *[32]byte) (clientKeys, serverKeys record.Keys) {
	block := make([]byte, s.aead.KeyBlockSize())
	master.expand(block, labelKeys, server[:], client[:])
	return s.aead.SplitKeyBlock(block)
}

// verifyData is the content of a Finished message.
func (s *Suite) verifyData(master *keyedPRF, transcript []byte, fromClient bool) (data [finishedSize]byte) {
	label := labelServer
	if fromClient {
		label = labelClient
	}
	master.expand(data[:], label, s.appendDigest(master.digest[:0], transcript), nil)
	return data
}
