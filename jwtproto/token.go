package jwtproto

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"
)

// MaxRequest is how many bytes a request has at most unless a server is configured
// otherwise.
const MaxRequest = 2048

// Audience is the claim aud of every request and the claim iss of every reply.
const Audience = "udp.socket.server.for.jwt"

// A Refusal is why a request is not acknowledged, in the words of the error reply.
type Refusal string

// The refusals, in the order in which they are looked for.
const (
	DecodeFailed          Refusal = "Decode failed"
	AlgorithmNotSupported Refusal = "Algorithm not supported"
	TokenExpired          Refusal = "Token expired"
	NoSubClaim            Refusal = "No sub claim"
	GroupUnknown          Refusal = "Group name unknown"
	SignatureFailed       Refusal = "Signature validation failed"
	WrongMaximum          Refusal = "The max number of members is wrong"
	StateUndefined        Refusal = "State number undefined"
	StateNotRecognized    Refusal = "State not recognized"
	AudienceNotRecognized Refusal = "Audience (aud) not recognized"
	RegistrationUnknown   Refusal = "Registration not recognized"
	TokenReused           Refusal = "Token id (jti) used before"   // for another request
	TokenTooOld           Refusal = "Token older than the restart" // in strict mode

	accepted Refusal = ""
)

// Error returns the words.
func (r Refusal) Error() string { return string(r) }

// request is a token that came, as far as it has been looked at. Nothing in it is true
// before verify has returned accepted.
type request struct {
	token  token
	claims claims
	group  *group // nil: unknown

	registration int64 // of the member who signed; 0: not verified to be one
	number       int   // of an accepted request
}

// decodeRequest takes a datagram apart and checks its form. It keeps nothing of it.
func decodeRequest(text []byte, maximum int) (*request, Refusal) {
	if len(text) > maximum {
		return nil, DecodeFailed
	}
	r := new(request)
	var why Refusal
	if r.token, why = parseToken(text); why != accepted {
		return nil, why
	}
	var ok bool
	if r.claims, ok = parseClaims(r.token.payload); !ok || !utf8.Valid(r.token.payload) {
		return nil, DecodeFailed
	}
	return r, accepted
}

// find checks whether the request is still good, and finds its group: among all, or
// only the one named only, if that is not empty. Neither needs a public key.
func (r *request) find(groups map[string]*group, only string, now time.Time) Refusal {
	if expires, ok := r.claims.expires.integer(); !ok || expires <= now.Unix() {
		return TokenExpired
	}
	name, ok := r.claims.subject.text()
	if !ok {
		return NoSubClaim
	}
	found := groups[string(name)]
	if found == nil || only != "" && string(name) != only {
		return GroupUnknown
	}
	r.group = found
	return accepted
}

// verify checks the signature by the key of the group, then the claims. The time of
// issue may be ahead of now by the leeway.
func (r *request) verify(machine Machine, leeway time.Duration, now time.Time) Refusal {
	if !r.token.isSignedBy(r.group.key) {
		return SignatureFailed
	}
	registration, ok := r.claims.registration.integer()
	member := ok && slices.Contains(r.group.members, registration)
	if member {
		r.registration = registration
	}
	if r.claims.issued != nil {
		issued, ok := r.claims.issued.integer()
		if !ok || issued > now.Add(leeway).Unix() {
			return SignatureFailed
		}
	}
	if members, ok := r.claims.maximum.integer(); !ok || members != int64(len(r.group.members)) {
		return WrongMaximum
	}
	number, ok := r.claims.number.integer()
	if !ok || !machine.Defined(number) {
		return StateUndefined
	}
	if state, ok := r.claims.state.text(); !ok || !isColour(state) {
		return StateNotRecognized
	}
	if !r.forUs() {
		return AudienceNotRecognized
	}
	if !member {
		return RegistrationUnknown
	}
	r.number = int(number)
	return accepted
}

func isColour(state []byte) bool {
	for _, colour := range Colours {
		if string(state) == colour {
			return true
		}
	}
	return false
}

// forUs reports whether aud is, or as RFC 7519 4.1.3 allows has, the server's name.
func (r *request) forUs() bool {
	if audience, ok := r.claims.audience.text(); ok {
		return string(audience) == Audience
	}
	var list []string
	return json.Unmarshal(r.claims.audience, &list) == nil && slices.Contains(list, Audience)
}

// move is what an accepted request asks the Store for.
func (r *request) move(now time.Time) Move {
	m := Move{Time: now.Truncate(time.Microsecond), Group: r.group.name, Registration: r.registration, Number: r.number, ID: sha256.Sum256(r.token.payload), Token: r.claims.tokenID()}
	if issued, ok := r.claims.issued.integer(); ok {
		m.Issued = time.Unix(issued, 0)
	}
	if expires, ok := r.claims.expires.integer(); ok {
		m.Expires = time.Unix(expires, 0)
	}
	return m
}

// A RequestID is the SHA-256 of a request's payload, by which its acknowledgement names
// it.
type RequestID [sha256.Size]byte

// String gives it in lower-case hexadecimal, as acknowledgements do.
func (id RequestID) String() string { return hex.EncodeToString(id[:]) }
