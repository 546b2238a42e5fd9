package jwtproto

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
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

// claims are those of a request that the protocol knows, each as it stands in the
// JSON, nil if it is absent: an absent number is not 0, which would begin anew.
type claims struct {
	Subject      json.RawMessage `json:"sub"`
	Number       json.RawMessage `json:"seq_state_number"`
	State        json.RawMessage `json:"seq_state"`
	Maximum      json.RawMessage `json:"seq_max"`
	Registration json.RawMessage `json:"registration"`
	Issued       json.RawMessage `json:"iat"`
	Expires      json.RawMessage `json:"exp"`
	Audience     json.RawMessage `json:"aud"`
}

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
	// The decoder is go-jose's: it tells letter cases apart and refuses a claim that
	// comes twice, which encoding/json does not.
	if !isObject(r.payload) || !utf8.Valid(r.payload) || json.Unmarshal(r.payload, &r.claims) != nil {
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

// isObject reports whether a JSON text is an object, or no JSON: "null" would be
// decoded as an empty one.
func isObject(text []byte) bool {
	for _, c := range text {
		switch c {
		case ' ', '\t', '\n', '\r':
		default:
			return c == '{'
		}
	}
	return false
}

// find checks whether the request is still good, and finds its group: among all, or
// only the one named only, if that is not empty. Neither needs a public key.
func (r *request) find(groups map[string]*group, only string, now time.Time) Refusal {
	if expires, ok := integer(r.claims.Expires); !ok || expires <= now.Unix() {
		return TokenExpired
	}
	name, ok := text(r.claims.Subject)
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
	if r.claims.Issued != nil {
		issued, ok := integer(r.claims.Issued)
		if !ok || issued > now.Add(leeway).Unix() {
			return SignatureFailed
		}
	}
	if members, ok := integer(r.claims.Maximum); !ok || members != int64(len(r.group.members)) {
		return WrongMaximum
	}
	number, ok := integer(r.claims.Number)
	if !ok || !machine.Defined(number) {
		return StateUndefined
	}
	if state, ok := text(r.claims.State); !ok || !slices.Contains(Colours[:], state) {
		return StateNotRecognized
	}
	if !r.forUs() {
		return AudienceNotRecognized
	}
	registration, ok := integer(r.claims.Registration)
	if !ok || !slices.Contains(r.group.members, registration) {
		return RegistrationUnknown
	}
	r.number, r.registration = int(number), registration
	return accepted
}

// forUs reports whether aud is, or as RFC 7519 4.1.3 allows has, the server's name.
func (r *request) forUs() bool {
	if audience, ok := text(r.claims.Audience); ok {
		return audience == Audience
	}
	var list []string
	return json.Unmarshal(r.claims.Audience, &list) == nil && slices.Contains(list, Audience)
}

// id is what acknowledgements name the request by: the SHA-256 of its payload.
func (r *request) id() string { return payloadID(r.payload) }

func payloadID(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

// integer reads a number that is written as an integer: 1, but not 1.0, 1e0 or "1".
func integer(raw json.RawMessage) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil
}

// text reads a string.
func text(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}
