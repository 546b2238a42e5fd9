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

	// Of an accepted request.
	number       int
	registration int64
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
	found := groups[name]
	if found == nil || only != "" && name != only {
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
	if state, ok := r.claims.state.text(); !ok || !slices.Contains(Colours[:], state) {
		return StateNotRecognized
	}
	if !r.forUs() {
		return AudienceNotRecognized
	}
	registration, ok := r.claims.registration.integer()
	if !ok || !slices.Contains(r.group.members, registration) {
		return RegistrationUnknown
	}
	r.number, r.registration = int(number), registration
	return accepted
}

// forUs reports whether aud is, or as RFC 7519 4.1.3 allows has, the server's name.
func (r *request) forUs() bool {
	if audience, ok := r.claims.audience.text(); ok {
		return audience == Audience
	}
	var list []string
	return json.Unmarshal(r.claims.audience, &list) == nil && slices.Contains(list, Audience)
}

// id is what acknowledgements name the request by: the SHA-256 of its payload.
func (r *request) id() string { return payloadID(r.token.payload) }

func payloadID(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}
