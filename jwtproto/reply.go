package jwtproto

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"strconv"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxReply  = 1023 // bytes: the buffer of a real client
	replyLife = 30 * time.Second

	// errorReplyLength is more than any error reply has, in bytes.
	errorReplyLength = 400

	noSubject   = "NO_SUB_CLAIM" // of error replies
	errorPrefix = "ERROR:"

	// timestampLayout is ISO 8601 with microseconds, and an offset also for UTC.
	timestampLayout = "2006-01-02T15:04:05.000000-07:00"
)

// replyClaims are the claims of a reply as a client reads them: of an acknowledgement with
// ID and Next, of an error reply with Response.
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

// answer is what a reply says.
type answer struct {
	now     time.Time
	subject string

	// Of an acknowledgement.
	id   RequestID
	next int

	why Refusal // of an error reply
}

// acknowledgement is the answer to an accepted request.
func acknowledgement(group string, id RequestID, next int, now time.Time) answer {
	return answer{now: now, subject: group, id: id, next: next}
}

// refusal is the answer to a refused one.
func refusal(why Refusal, now time.Time) answer {
	return answer{now: now, subject: noSubject, why: why}
}

// newTokenID makes a jti: 128 random bits in hexadecimal.
func newTokenID() string {
	var random [16]byte
	rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// replyHeader is the header of every reply, in base64url.
var replyHeader = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "."

// sealer signs replies with the secret. It makes the JWS itself: the header never
// changes, the claims are few, and go-jose takes several times as long for it as the HMAC
// does. Clients, and the tests, verify with go-jose.
type sealer struct{ macs *sync.Pool }

func newSealer(secret []byte) sealer {
	return sealer{&sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}
}

// hmacKey pads a secret with zero bytes, which HMAC does anyway, to the 32 bytes that
// go-jose insists on.
func hmacKey(secret []byte) []byte {
	return append(make([]byte, 0, max(len(secret), 32)), secret...)[:max(len(secret), 32)]
}

// seal makes a reply and signs it. It has at most maxReply bytes, since a group's name is
// short and all else has a fixed length.
func (s sealer) seal(a answer) []byte {
	var room [maxReply]byte
	payload := a.append(room[:0])
	encoding := base64.RawURLEncoding
	token := make([]byte, 0, len(replyHeader)+encoding.EncodedLen(len(payload))+1+encoding.EncodedLen(sha256.Size))
	token = encoding.AppendEncode(append(token, replyHeader...), payload)
	mac := s.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(token)
	var sum [sha256.Size]byte
	token = encoding.AppendEncode(append(token, '.'), mac.Sum(sum[:0]))
	s.macs.Put(mac)
	return token
}

// append appends the claims as JSON. Times are floored, so that no client whose clock
// agrees sees one from the future.
func (a *answer) append(b []byte) []byte {
	var token [16]byte
	rand.Read(token[:]) // never fails
	b = append(b, `{"iss":"`...)
	b = append(b, Audience...)
	b = append(b, `","sub":"`...)
	b = append(b, a.subject...)
	b = append(b, `","jti":"`...)
	b = hex.AppendEncode(b, token[:])
	b = append(b, `","iat":`...)
	b = strconv.AppendInt(b, a.now.Unix(), 10)
	b = append(b, `,"exp":`...)
	b = strconv.AppendInt(b, a.now.Add(replyLife).Unix(), 10)
	b = append(b, `,"otp_timestamp":"`...)
	b = a.now.UTC().AppendFormat(b, timestampLayout) // which cuts what is below a microsecond
	if a.why == accepted {
		b = append(b, `","id_request":"`...)
		b = hex.AppendEncode(b, a.id[:])
		b = append(b, `","next_number":`...)
		b = strconv.AppendInt(b, int64(a.next), 10)
		return append(b, '}')
	}
	b = append(b, `","response":"`+errorPrefix...)
	b = append(b, a.why...)
	return append(b, `"}`...)
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
