package jwtproto

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gdtls/datagram"
)

const (
	// DefaultFirstWait is how long a Client waits for an answer before it repeats a
	// request for the first time; it waits twice as long each time, up to maxWait.
	DefaultFirstWait = 500 * time.Millisecond
	maxWait          = 4 * time.Second
	// DefaultPatience is how long it goes on with one request.
	DefaultPatience = 30 * time.Second

	requestLife = 90 * time.Second // more than the patience
	maxRestarts = 20
)

// Client is a member of a group, who walks through the states. Its fields must not
// change while it walks; it walks once at a time.
type Client struct {
	Group        string
	Registration int64
	Members      int // of the group
	// Key is the group's private key, RSA or on P-256.
	Key crypto.Signer
	// Secret is what replies are signed with, as it stands in its file.
	Secret []byte
	// States is the number of states; 0: DefaultStates.
	States int
	// FirstWait is the time before the first repetition; 0: DefaultFirstWait.
	FirstWait time.Duration
	// Patience is how long each state may take; 0: DefaultPatience. More than a minute
	// counts as one, since a token expires.
	Patience time.Duration
	// Observe is told of each acknowledgement; nil: nobody is.
	Observe func(Acknowledged)
}

// Acknowledged is a number that was said and answered.
type Acknowledged struct {
	Number   int
	Next     int           // what the server wants next
	Sent     int           // how often the request was sent
	Rejected int           // replies that came meanwhile and were none to this request
	Took     time.Duration // from the first sending to the answer
	// Lost says that the server did not take the number, and the walk begins anew.
	Lost bool
}

// RefusedError is an error reply of the server's.
type RefusedError struct {
	Number int
	Why    Refusal
}

// Error says which number was refused and why.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("jwtproto: the server refuses number %d: %s", e.Number, e.Why)
}

// Unwrap gives the Refusal.
func (e *RefusedError) Unwrap() error { return e.Why }

// Walk says all numbers from 0 to the final state over a datagram object that is
// connected to the server, repeating what is not acknowledged. Where the server wants
// another number than the next, because somebody else of the group spoke meanwhile, it
// begins anew. The error is a *RefusedError, or tells what went wrong.
func (c *Client) Walk(ctx context.Context, over datagram.DatagramBased) error {
	machine, ok := NewMachine(c.States)
	if !ok {
		return fmt.Errorf("jwtproto: a machine has %d to %d states, not %d", MinStates, MaxStates, c.States)
	}
	signer, err := NewRequestSigner(c.Key)
	if err != nil {
		return err
	}
	restarts := 0
	for n := 0; n <= machine.Final(); {
		token, id, err := c.request(signer, n)
		if err != nil {
			return err
		}
		a, err := c.say(ctx, over, n, token, id)
		if err != nil {
			return err
		}
		want := n + 1
		if n == machine.Final() {
			want = 0
		}
		a.Lost = a.Next != want
		if c.Observe != nil {
			c.Observe(a)
		}
		if a.Lost {
			if restarts++; restarts > maxRestarts {
				return fmt.Errorf("jwtproto: the server wanted %d after %d, and the walk began anew %d times: does somebody else speak for %s?", a.Next, n, maxRestarts, c.Group)
			}
			n = 0
			continue
		}
		n++
	}
	return nil
}

// NewRequestSigner makes what signs requests by a private key: RS256 or ES256.
func NewRequestSigner(key crypto.Signer) (jose.Signer, error) {
	if key == nil {
		return nil, errors.New("jwtproto: there is no private key to sign requests with")
	}
	if err := checkKey(key.Public()); err != nil {
		return nil, fmt.Errorf("jwtproto: cannot sign requests: %w", err)
	}
	signing := jose.SigningKey{Key: key}
	switch key.(type) {
	case *rsa.PrivateKey:
		signing.Algorithm = jose.RS256
	case *ecdsa.PrivateKey:
		signing.Algorithm = jose.ES256
	default:
		return nil, fmt.Errorf("jwtproto: cannot sign requests with a %T", key)
	}
	return jose.NewSigner(signing, (&jose.SignerOptions{}).WithType("JWT"))
}

// requestClaims are the claims of a request as a client makes them.
type requestClaims struct {
	Subject      string `json:"sub"`
	Number       int    `json:"seq_state_number"`
	State        string `json:"seq_state"`
	Maximum      int    `json:"seq_max"`
	Registration int64  `json:"registration"`
	Token        string `json:"jti"`
	Issued       int64  `json:"iat"`
	Expires      int64  `json:"exp"`
	Audience     string `json:"aud"`
}

// Request makes the signed request for a number, which expires after a minute and a
// half, and the id by which its acknowledgement names it.
func (c *Client) Request(n int) (token []byte, id RequestID, err error) {
	signer, err := NewRequestSigner(c.Key)
	if err != nil {
		return nil, id, err
	}
	return c.request(signer, n)
}

func (c *Client) request(signer jose.Signer, n int) (token []byte, id RequestID, err error) {
	now := time.Now()
	payload, err := json.Marshal(requestClaims{
		Subject: c.Group, Number: n, State: Colour(n), Maximum: c.Members, Registration: c.Registration,
		Token: newTokenID(), Issued: now.Unix(), Expires: now.Add(requestLife).Unix(), Audience: Audience,
	})
	if err != nil {
		return nil, id, err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return nil, id, fmt.Errorf("jwtproto: cannot sign the request: %w", err)
	}
	compact, err := signed.CompactSerialize()
	return []byte(compact), sha256.Sum256(payload), err
}

// say sends a request until its acknowledgement comes.
func (c *Client) say(ctx context.Context, over datagram.DatagramBased, n int, token []byte, id RequestID) (Acknowledged, error) {
	a := Acknowledged{Number: n}
	wait, patience := c.FirstWait, min(c.Patience, time.Minute)
	if wait <= 0 {
		wait = DefaultFirstWait
	}
	if patience <= 0 {
		patience = DefaultPatience
	}
	begun := time.Now()
	var wrong error // about the last reply that was of no use
	for left := patience; left > 0; left = patience - time.Since(begun) {
		if err := send(ctx, over, token, left); err != nil {
			return a, err
		}
		a.Sent++
		claims, rejected, err := c.listen(ctx, over, id, min(wait, left))
		a.Rejected += rejected.count
		if rejected.last != nil {
			wrong = rejected.last
		}
		switch {
		case err == nil && claims.Next == nil:
			return a, &RefusedError{n, Refusal(strings.TrimPrefix(claims.Response, errorPrefix))}
		case err == nil:
			a.Next, a.Took = *claims.Next, time.Since(begun)
			return a, nil
		case !errors.Is(err, datagram.ErrTimedOut) || ctx.Err() != nil:
			return a, err
		}
		wait = min(2*wait, maxWait)
	}
	err := datagram.NewError(datagram.CodeTimedOut, "number %d was sent %d times within %v and not acknowledged", n, a.Sent, patience)
	return a, errors.Join(err, wrong)
}

// send sends a request; over DTLS the first may take a handshake. That nobody listened
// when an earlier one came may change.
func send(ctx context.Context, over datagram.DatagramBased, token []byte, timeout time.Duration) error {
	err := datagram.SendOne(ctx, over, token, datagram.Address{}, timeout)
	if err != nil && passing(err) && !errors.Is(err, datagram.ErrMessageTooLarge) {
		return nil
	}
	return err
}

// rejects are replies that were none to the request under way.
type rejects struct {
	count int
	last  error // nil if they were only late
}

// listen waits for the reply to a request, and skips what is none.
func (c *Client) listen(ctx context.Context, over datagram.DatagramBased, id RequestID, wait time.Duration) (replyClaims, rejects, error) {
	var r rejects
	buf := make([]byte, maxReply+1)
	for until := time.Now().Add(wait); ; {
		left := time.Until(until)
		if left <= 0 {
			return replyClaims{}, r, datagram.ErrTimedOut
		}
		n, _, err := datagram.ReceiveOne(ctx, over, buf, left)
		switch {
		case errors.Is(err, io.EOF):
			return replyClaims{}, r, datagram.NewError(datagram.CodeConnectionClosed, "the server closed the connection")
		case err != nil && passing(err):
			continue
		case err != nil:
			return replyClaims{}, r, err
		}
		claims, err := openReply(buf[:n], c.Secret)
		switch {
		case err != nil:
			r.count, r.last = r.count+1, err
		case claims.Next == nil && claims.Response == "", claims.Next != nil && claims.ID != id.String():
			r.count++ // to an earlier request
		default:
			return claims, r, nil
		}
	}
}
