package jwtproto

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxReply  = 1023 // bytes: the buffer of a real client
	replyLife = 30 * time.Second

	// errorReplyLength is more than any error reply has, in bytes.
	errorReplyLength = 512

	noSubject   = "NO_SUB_CLAIM" // of error replies
	errorPrefix = "ERROR:"

	// timestampLayout is ISO 8601 with microseconds, and an offset also for UTC.
	timestampLayout = "2006-01-02T15:04:05.000000-07:00"
)

// replyClaims are the claims of a reply: of an acknowledgement with ID and Next, of an
// error reply with Response.
type replyClaims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Token     string `json:"jti"`
	Issued    int64  `json:"iat"`
	Expires   int64  `json:"exp"`
	ID        string `json:"id_request,omitempty"`
	Timestamp string `json:"otp_timestamp"`
	Next      *int   `json:"next_number,omitempty"`
	Response  string `json:"response,omitempty"`
}

// acknowledgement makes the claims of the answer to an accepted request.
func acknowledgement(group, id string, next int, now time.Time) replyClaims {
	c := newReply(group, now)
	c.ID, c.Next = id, &next
	return c
}

// refusal makes the claims of the answer to a refused one.
func refusal(why Refusal, now time.Time) replyClaims {
	c := newReply(noSubject, now)
	c.Response = errorPrefix + string(why)
	return c
}

// newReply has what all replies have. Its times are floored, so that no client whose
// clock agrees sees one from the future.
func newReply(subject string, now time.Time) replyClaims {
	return replyClaims{
		Issuer:    Audience,
		Subject:   subject,
		Token:     newTokenID(),
		Issued:    now.Unix(),
		Expires:   now.Add(replyLife).Unix(),
		Timestamp: now.UTC().Truncate(time.Microsecond).Format(timestampLayout),
	}
}

// newTokenID makes a jti: 128 random bits in hexadecimal.
func newTokenID() string {
	var random [16]byte
	rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// sealer signs replies with the secret.
type sealer struct{ signer jose.Signer }

func newSealer(secret []byte) (sealer, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.HS256, Key: hmacKey(secret)},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return sealer{}, fmt.Errorf("jwtproto: cannot sign replies: %w", err)
	}
	return sealer{signer}, nil
}

// hmacKey pads a secret with zero bytes, which HMAC does anyway, to the 32 bytes that
// go-jose insists on.
func hmacKey(secret []byte) []byte {
	return append(make([]byte, 0, max(len(secret), 32)), secret...)[:max(len(secret), 32)]
}

// seal signs a reply. The claims are bounded: a group's name is.
func (s sealer) seal(claims replyClaims) ([]byte, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	signed, err := s.signer.Sign(payload)
	if err != nil {
		return nil, err
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		return nil, err
	}
	if len(token) > maxReply {
		return nil, fmt.Errorf("jwtproto: a reply of %d bytes is longer than %d, which clients have room for", len(token), maxReply)
	}
	return []byte(token), nil
}

// openReply verifies a reply and gives its claims.
func openReply(token, secret []byte) (replyClaims, error) {
	var c replyClaims
	if len(token) > maxReply || !isCompact(token) {
		return c, fmt.Errorf("jwtproto: %d bytes came that are no reply", len(token))
	}
	signed, err := jose.ParseSignedCompact(string(token), []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		return c, fmt.Errorf("jwtproto: cannot decode the reply: %w", err)
	}
	payload, err := signed.Verify(hmacKey(secret))
	if err != nil {
		return c, fmt.Errorf("jwtproto: the signature of the reply is wrong, or the secret is: %w", err)
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, fmt.Errorf("jwtproto: the claims of the reply cannot be read: %w", err)
	}
	if c.Issuer != Audience {
		return c, fmt.Errorf("jwtproto: the reply is of %q, not of %q", c.Issuer, Audience)
	}
	return c, nil
}
