package bench

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gdtls/jwtproto"
)

// jwtLife is after which time requests expire: none does while it is used.
const jwtLife = 10 * time.Minute

// jwtMember speaks for a group.
type jwtMember struct {
	key    crypto.Signer
	signer jose.Signer
	claims jwtClaims
}

// jwtClaims are those of a request. All requests of a member have the same length, so that
// a socket can send them as one message with GSO: any colour goes with any number.
type jwtClaims struct {
	Subject      string `json:"sub"`
	Number       int    `json:"seq_state_number"`
	State        string `json:"seq_state"`
	Maximum      int    `json:"seq_max"`
	Registration int64  `json:"registration"`
	Token        string `json:"jti,omitempty"`
	Issued       int64  `json:"iat"`
	Expires      int64  `json:"exp"`
	Audience     string `json:"aud"`
}

// jwtRequests are signed requests that walk through the states.
type jwtRequests struct {
	tokens [][]byte
	again  bool // after the last comes the first
}

func newJWTMember(group string, key crypto.Signer) (*jwtMember, error) {
	signer, err := jwtproto.NewRequestSigner(key)
	return &jwtMember{key: key, signer: signer, claims: jwtClaims{
		Subject: group, State: jwtproto.Colour(0), Maximum: 1, Registration: 1, Audience: jwtproto.Audience,
	}}, err
}

// requests signs what a round uses: requests with a jti, each for once, as many as are
// said. An RSA signature takes longer to make than all else, so that there are those of
// one walk only; they have no jti, since the second walk would be a replay of the first.
func (m *jwtMember) requests(most int) (r jwtRequests, err error) {
	if _, slow := m.key.(*rsa.PrivateKey); slow {
		most, r.again = jwtproto.DefaultStates, true
	}
	for n := range most {
		token, err := m.request(n%jwtproto.DefaultStates, !r.again)
		if err != nil {
			return r, err
		}
		r.tokens = append(r.tokens, token)
	}
	return r, nil
}

func (m *jwtMember) request(number int, once bool) ([]byte, error) {
	claims, now := m.claims, time.Now()
	claims.Number, claims.Issued, claims.Expires = number, now.Unix(), now.Add(jwtLife).Unix()
	if once {
		var id [16]byte
		_, _ = rand.Read(id[:]) // has no errors
		claims.Token = hex.EncodeToString(id[:])
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	signed, err := m.signer.Sign(payload)
	if err != nil {
		return nil, err
	}
	compact, err := signed.CompactSerialize()
	return []byte(compact), err
}
