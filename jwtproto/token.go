package jwtproto

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
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

var requestAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}

// request is a token that came, as far as it has been looked at. Nothing in it is true
// before verify has returned accepted.
type request struct {
	signed  *jose.JSONWebSignature
	payload []byte // JSON
	claims  claims
	group   *group // nil: unknown

	// Of an accepted request.
	number       int
	registration int64
}

// decodeRequest takes a datagram apart and checks its form. A request comes with
// AlgorithmNotSupported, too, if it had the form of one.
func decodeRequest(token []byte, maximum int) (*request, Refusal) {
	if len(token) > maximum || !isCompact(token) {
		return nil, DecodeFailed
	}
	signed, err := jose.ParseSignedCompact(string(token), requestAlgorithms)
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &algorithm):
		return nil, AlgorithmNotSupported
	case err != nil:
		return nil, DecodeFailed
	}
	r := &request{signed: signed, payload: signed.UnsafePayloadWithoutVerification()}
	var ok bool
	if r.claims, ok = parseClaims(r.payload); !ok || !utf8.Valid(r.payload) {
		return nil, DecodeFailed
	}
	return r, accepted
}

// isCompact reports whether a token has three parts in the alphabet of base64url. White
// space is refused, which go-jose would skip.
func isCompact(token []byte) bool {
	dots := 0
	for _, c := range token {
		switch {
		case c == '.':
			dots++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return dots == 2
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
	// go-jose takes only the algorithm that fits the type of the key.
	if _, err := r.signed.Verify(r.group.key); err != nil {
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
func (r *request) id() string { return payloadID(r.payload) }

func payloadID(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}
