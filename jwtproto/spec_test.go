package jwtproto

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gdtls/datagram"
)

// compact makes a token of raw parts.
func compact(header, payload string, signature []byte) []byte {
	e := base64.RawURLEncoding.EncodeToString
	return []byte(e([]byte(header)) + "." + e([]byte(payload)) + "." + e(signature))
}

// resigned is a good token of REDS with this payload as it stands.
func resigned(payload string) []byte { return sign(jose.RS256, rsaKey(), []byte(payload)) }

// doubled is a payload in which a claim comes twice.
func doubled(name, value string) []byte {
	payload := string(claimsFor("REDS", 1).json())
	return resigned(strings.TrimSuffix(payload, "}") + fmt.Sprintf(",\"%s\":%s}", name, value))
}

// specification has a row for everything that the protocol says of one request to a
// group that has said nothing yet.
var specification = []struct {
	name  string
	token func() []byte
	want  string
}{
	// What is taken.
	{"0 begins", func() []byte { return redToken(claimsFor("REDS", 0)) }, "1"},
	{"1 is taken as the first message", func() []byte { return redToken(claimsFor("REDS", 1)) }, "2"},
	{"another state is out of turn", func() []byte { return redToken(claimsFor("REDS", 3)) }, "0"},
	{"ES256, key from .ssh", func() []byte { return blueToken(claimsFor("BLUES", 1)) }, "2"},
	{"ES256, key from .pem", func() []byte { return heartToken(claimsFor("HEARTBEAT", 1)) }, "2"},
	{"another member", func() []byte { return redToken(claimsFor("REDS", 0).with("registration", 13)) }, "1"},
	{"the colour of the state before", func() []byte { return redToken(claimsFor("REDS", 1).with("seq_state", "RED")) }, "2"},
	{"no iat and no jti", func() []byte { return redToken(claimsFor("REDS", 1).without("iat").without("jti")) }, "2"},
	{"iat ahead by less than the leeway", func() []byte { return redToken(claimsFor("REDS", 1).with("iat", time.Now().Unix()+3)) }, "2"},
	{"unknown claims", func() []byte { return redToken(claimsFor("REDS", 1).with("nbf", "x").with("Sub", "BLUES")) }, "2"},
	{"aud as a list", func() []byte { return redToken(claimsFor("REDS", 1).with("aud", []string{"a", Audience})) }, "2"},
	{"white space around the claims", func() []byte { return resigned(" \n" + string(claimsFor("REDS", 1).json()) + " ") }, "2"},

	// Size and form.
	{"empty", func() []byte { return nil }, "Decode failed"},
	{"a byte", func() []byte { return []byte("e") }, "Decode failed"},
	{"text", func() []byte { return []byte("hello, world") }, "Decode failed"},
	{"digits, as records of DTLS begin", func() []byte { return []byte("12345") }, "Decode failed"},
	{"not UTF-8", func() []byte { return []byte("eyJ\xff\xfe.e30.AA") }, "Decode failed"},
	{"claims not UTF-8", func() []byte { return resigned("{\"sub\":\"\xff\"}") }, "Decode failed"},
	{"two parts", func() []byte { return []byte("eyJhbGciOiJSUzI1NiJ9.e30") }, "Decode failed"},
	{"four parts", func() []byte { return append(redToken(claimsFor("REDS", 1)), ".AA"...) }, "Decode failed"},
	{"trailing newline", func() []byte { return append(redToken(claimsFor("REDS", 1)), '\n') }, "Decode failed"},
	{"space within", func() []byte { return append([]byte("eyJ "), redToken(claimsFor("REDS", 1))[3:]...) }, "Decode failed"},
	{"newline within", func() []byte { return append([]byte("eyJ\n"), redToken(claimsFor("REDS", 1))[3:]...) }, "Decode failed"},
	{"padding", func() []byte { return append(redToken(claimsFor("REDS", 1)), '=') }, "Decode failed"},
	{"JSON serialization", func() []byte {
		return []byte(must(jose.ParseSignedCompact(string(redToken(claimsFor("REDS", 1))), requestAlgorithms)).FullSerialize())
	}, "Decode failed"},
	{"2,048 bytes", func() []byte { return padded(2048) }, "2"},
	{"2,049 bytes", func() []byte { return padded(2049) }, "Decode failed"},
	{"header is no JSON", func() []byte { return compact("nonsense", "{}", []byte("x")) }, "Decode failed"},
	{"alg twice", func() []byte { return compact(`{"alg":"RS256","alg":"none"}`, "{}", []byte("x")) }, "Decode failed"},

	// Algorithm.
	{"alg none", func() []byte { return compact(`{"alg":"none"}`, string(claimsFor("REDS", 1).json()), nil) }, "Algorithm not supported"},
	{"no alg", func() []byte { return compact(`{"typ":"JWT"}`, string(claimsFor("REDS", 1).json()), []byte("x")) }, "Algorithm not supported"},
	{"alg in lower case", func() []byte { return compact(`{"alg":"rs256"}`, "{}", []byte("x")) }, "Algorithm not supported"},
	{"HS256 by the public key", func() []byte {
		return sign(jose.HS256, pkixPEM(rsaKey().Public()), claimsFor("REDS", 1).json())
	}, "Algorithm not supported"},
	{"HS256 by the secret", func() []byte { return sign(jose.HS256, hmacKey([]byte(secretText)), claimsFor("REDS", 1).json()) }, "Algorithm not supported"},
	{"RS512", func() []byte { return sign(jose.RS512, rsaKey(), claimsFor("REDS", 1).json()) }, "Algorithm not supported"},
	{"PS256", func() []byte { return sign(jose.PS256, rsaKey(), claimsFor("REDS", 1).json()) }, "Algorithm not supported"},

	// Claims are an object.
	{"claims are no JSON", func() []byte { return resigned("hello") }, "Decode failed"},
	{"claims are null", func() []byte { return resigned("null") }, "Decode failed"},
	{"claims are a list", func() []byte { return resigned("[1]") }, "Decode failed"},
	{"claims are empty", func() []byte { return resigned("") }, "Decode failed"},
	{"two objects", func() []byte { return resigned("{}{}") }, "Decode failed"},
	{"a claim twice", func() []byte { return doubled("seq_state_number", "0") }, "Decode failed"},
	{"a claim twice, once with an escape", func() []byte { return doubled(`s\u0065q_max`, "3") }, "Decode failed"},

	// exp.
	{"expired", func() []byte { return redToken(claimsFor("REDS", 1).with("exp", time.Now().Unix()-1)) }, "Token expired"},
	{"no exp", func() []byte { return redToken(claimsFor("REDS", 1).without("exp")) }, "Token expired"},
	{"exp is text", func() []byte { return redToken(claimsFor("REDS", 1).with("exp", "9999999999")) }, "Token expired"},
	{"exp is a fraction", func() []byte { return redToken(claimsFor("REDS", 1).with("exp", json.Number("9999999999.5"))) }, "Token expired"},
	{"exp is no int64", func() []byte { return redToken(claimsFor("REDS", 1).with("exp", json.Number("99999999999999999999"))) }, "Token expired"},
	{"exp is looked at before sub", func() []byte { return redToken(fields{"exp": 1}) }, "Token expired"},

	// sub and the group's key.
	{"no sub", func() []byte { return redToken(claimsFor("REDS", 1).without("sub")) }, "No sub claim"},
	{"sub is a number", func() []byte { return redToken(claimsFor("REDS", 1).with("sub", 7)) }, "No sub claim"},
	{"sub is null", func() []byte { return redToken(claimsFor("REDS", 1).with("sub", nil)) }, "No sub claim"},
	{"sub under another case", func() []byte { return redToken(claimsFor("REDS", 1).without("sub").with("SUB", "REDS")) }, "No sub claim"},
	{"unknown group", func() []byte { return redToken(claimsFor("REDS", 1).with("sub", "GREENS")) }, "Group name unknown"},
	{"group in lower case", func() []byte { return redToken(claimsFor("REDS", 1).with("sub", "reds")) }, "Group name unknown"},
	{"group is a path", func() []byte { return redToken(claimsFor("REDS", 1).with("sub", "../keys_pub/REDS")) }, "Group name unknown"},
	{"unknown group is told before the signature", func() []byte {
		return sign(jose.RS256, otherRSA(), claimsFor("GREENS", 1).json())
	}, "Group name unknown"},

	// Signature and iat.
	{"another's key", func() []byte { return sign(jose.RS256, otherRSA(), claimsFor("REDS", 1).json()) }, "Signature validation failed"},
	{"another group's key", func() []byte { return heartToken(claimsFor("BLUES", 1)) }, "Signature validation failed"},
	{"ES256 for a group with an RSA key", func() []byte { return blueToken(claimsFor("REDS", 1)) }, "Signature validation failed"},
	{"RS256 for a group with an EC key", func() []byte { return redToken(claimsFor("BLUES", 1)) }, "Signature validation failed"},
	{"claims were changed", func() []byte {
		parts := strings.Split(string(redToken(claimsFor("REDS", 1))), ".")
		parts[1] = base64.RawURLEncoding.EncodeToString(claimsFor("REDS", 2).json())
		return []byte(strings.Join(parts, "."))
	}, "Signature validation failed"},
	{"no signature", func() []byte { return compact(`{"alg":"RS256"}`, string(claimsFor("REDS", 1).json()), nil) }, "Signature validation failed"},
	{"a short ES256 signature", func() []byte {
		return compact(`{"alg":"ES256"}`, string(claimsFor("BLUES", 1).json()), []byte("short"))
	}, "Signature validation failed"},
	{"its own key in the header", func() []byte {
		signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: otherRSA()}, &jose.SignerOptions{EmbedJWK: true}))
		return []byte(must(must(signer.Sign(claimsFor("REDS", 1).json())).CompactSerialize()))
	}, "Signature validation failed"},
	{"an unknown critical header", func() []byte {
		signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey()},
			(&jose.SignerOptions{}).WithHeader("crit", []string{"x"}).WithHeader("x", 1)))
		return []byte(must(must(signer.Sign(claimsFor("REDS", 1).json())).CompactSerialize()))
	}, "Signature validation failed"},
	{"iat far in the future", func() []byte { return redToken(claimsFor("REDS", 1).with("iat", time.Now().Unix()+60)) }, "Signature validation failed"},
	{"iat is text", func() []byte { return redToken(claimsFor("REDS", 1).with("iat", "now")) }, "Signature validation failed"},
	{"the signature is looked at before the claims", func() []byte {
		return sign(jose.RS256, otherRSA(), claimsFor("REDS", 99).with("seq_max", 99).json())
	}, "Signature validation failed"},

	// seq_max.
	{"seq_max too large", func() []byte { return redToken(claimsFor("REDS", 1).with("seq_max", 4)) }, "The max number of members is wrong"},
	{"no seq_max", func() []byte { return redToken(claimsFor("REDS", 1).without("seq_max")) }, "The max number of members is wrong"},
	{"seq_max is text", func() []byte { return redToken(claimsFor("REDS", 1).with("seq_max", "3")) }, "The max number of members is wrong"},
	{"seq_max is looked at before the number", func() []byte { return redToken(claimsFor("REDS", 99).with("seq_max", 4)) }, "The max number of members is wrong"},

	// seq_state_number.
	{"7, as a real client sends in the end", func() []byte { return redToken(claimsFor("REDS", 7)) }, "State number undefined"},
	{"a negative number", func() []byte { return redToken(claimsFor("REDS", 0).with("seq_state_number", -1)) }, "State number undefined"},
	{"no number", func() []byte { return redToken(claimsFor("REDS", 0).without("seq_state_number")) }, "State number undefined"},
	{"number in another case", func() []byte {
		return redToken(claimsFor("REDS", 0).without("seq_state_number").with("Seq_State_Number", 0))
	}, "State number undefined"},
	{"number is null", func() []byte { return redToken(claimsFor("REDS", 0).with("seq_state_number", nil)) }, "State number undefined"},
	{"number is text", func() []byte { return redToken(claimsFor("REDS", 0).with("seq_state_number", "1")) }, "State number undefined"},
	{"number is true", func() []byte { return redToken(claimsFor("REDS", 0).with("seq_state_number", true)) }, "State number undefined"},
	{"number is a fraction", func() []byte { return redToken(claimsFor("REDS", 0).with("seq_state_number", 1.5)) }, "State number undefined"},
	{"number is 1.0", func() []byte { return redToken(claimsFor("REDS", 0).with("seq_state_number", json.Number("1.0"))) }, "State number undefined"},
	{"number is 1e0", func() []byte { return redToken(claimsFor("REDS", 0).with("seq_state_number", json.Number("1e0"))) }, "State number undefined"},
	{"number is 2^64", func() []byte {
		return redToken(claimsFor("REDS", 0).with("seq_state_number", json.Number("18446744073709551616")))
	}, "State number undefined"},
	{"the number is looked at before the state", func() []byte { return redToken(claimsFor("REDS", 7).with("seq_state", "PINK")) }, "State number undefined"},

	// seq_state.
	{"no such colour", func() []byte { return redToken(claimsFor("REDS", 1).with("seq_state", "PINK")) }, "State not recognized"},
	{"no colour", func() []byte { return redToken(claimsFor("REDS", 1).without("seq_state")) }, "State not recognized"},
	{"colour is a number", func() []byte { return redToken(claimsFor("REDS", 1).with("seq_state", 1)) }, "State not recognized"},
	{"the state is looked at before aud", func() []byte { return redToken(claimsFor("REDS", 1).with("seq_state", "PINK").without("aud")) }, "State not recognized"},

	// aud.
	{"another aud", func() []byte { return redToken(claimsFor("REDS", 1).with("aud", "somebody")) }, "Audience (aud) not recognized"},
	{"no aud", func() []byte { return redToken(claimsFor("REDS", 1).without("aud")) }, "Audience (aud) not recognized"},
	{"aud is an empty list", func() []byte { return redToken(claimsFor("REDS", 1).with("aud", []string{})) }, "Audience (aud) not recognized"},
	{"aud is a number", func() []byte { return redToken(claimsFor("REDS", 1).with("aud", 1)) }, "Audience (aud) not recognized"},
	{"aud is looked at before the registration", func() []byte { return redToken(claimsFor("REDS", 1).without("aud").without("registration")) }, "Audience (aud) not recognized"},

	// registration.
	{"a member of another group", func() []byte { return redToken(claimsFor("REDS", 1).with("registration", 21)) }, "Registration not recognized"},
	{"no registration", func() []byte { return redToken(claimsFor("REDS", 1).without("registration")) }, "Registration not recognized"},
	{"registration is text", func() []byte { return redToken(claimsFor("REDS", 1).with("registration", "11")) }, "Registration not recognized"},
}

// padded is a good token of exactly so many bytes. A part of base64 has no length that
// is 1 modulo 4, so that the header has to help.
func padded(length int) []byte {
	for extra := range 4 {
		signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey()},
			(&jose.SignerOptions{}).WithHeader("x", strings.Repeat("y", extra))))
		for n := length / 3; n < length; n++ {
			payload := claimsFor("REDS", 1).with("pad", strings.Repeat("x", n)).json()
			if parts := 36 + (4*(len(payload)+2))/3 + 342; parts < length-8 {
				continue // too short to sign in vain
			}
			token := []byte(must(must(signer.Sign(payload)).CompactSerialize()))
			if len(token) == length {
				return token
			}
			if len(token) > length {
				break
			}
		}
	}
	panic("no token of this length")
}

// transports are the ways on which everything is tested.
var transports = []struct {
	name string
	over Transport
	dial func(t testing.TB, to datagram.Address) datagram.DatagramBased
}{
	{"UDP", UDP, func(t testing.TB, to datagram.Address) datagram.DatagramBased { return dialUDP(t, to) }},
	{"DTLS", DTLS, func(t testing.TB, to datagram.Address) datagram.DatagramBased { return dialDTLS(t, to, nil) }},
	{"UDP beside DTLS", Both, func(t testing.TB, to datagram.Address) datagram.DatagramBased { return dialUDP(t, to) }},
	{"DTLS beside UDP", Both, func(t testing.TB, to datagram.Address) datagram.DatagramBased { return dialDTLS(t, to, nil) }},
}

func TestSpecification(t *testing.T) {
	tokens := make([][]byte, len(specification))
	for i, row := range specification {
		tokens[i] = row.token()
	}
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			server, address := startServer(t, Config{}, transport.over)
			request := ask(transport.dial(t, address))
			for i, row := range specification {
				t.Run(row.name, func(t *testing.T) {
					server.Store().(*memory).reset()
					answer := request(t, tokens[i])
					if got := says(answer); got != row.want {
						t.Errorf("answer %q, want %q", got, row.want)
					}
					if moved := len(history(t, server, "REDS"))+len(history(t, server, "BLUES"))+len(history(t, server, "HEARTBEAT")) > 0; moved != (answer.Next != nil) {
						t.Errorf("history has a row: %v, and the answer is %q", moved, says(answer))
					}
				})
			}
		})
	}
}

// TestMachineOverTransports walks through the rows of the machine, in one conversation
// whose states follow one another.
func TestMachineOverTransports(t *testing.T) {
	steps := []struct {
		n    int
		want string
		last int
	}{
		{1, "2", 1},                           // a fresh server takes 1
		{1, "2", 1},                           // retransmission
		{3, "0", 1},                           // skipped
		{0, "1", 0},                           // restart
		{0, "1", 0},                           // and once more
		{1, "2", 1}, {2, "3", 2}, {1, "0", 2}, // backwards
		{3, "4", 3}, {7, string(StateUndefined), 3}, // out of range
		{4, "5", 4}, {5, "6", 5}, {6, "0", 6}, // the end
		{6, "0", 6}, {1, "0", 6}, {5, "0", 6}, // nothing but 0 goes on
		{0, "1", 0}, {1, "2", 1}, {2, "3", 2}, {0, "1", 0}, // restart in the middle
	}
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			server, address := startServer(t, Config{}, transport.over)
			request := ask(transport.dial(t, address))
			for i, step := range steps {
				if got := says(request(t, blueToken(claimsFor("BLUES", step.n)))); got != step.want {
					t.Fatalf("message %d, n %d: answer %q, want %q", i, step.n, got, step.want)
				}
				if last := last(t, server, "BLUES"); last != step.last {
					t.Fatalf("message %d, n %d: last %d, want %d", i, step.n, last, step.last)
				}
			}
		})
	}
}

// TestReplies checks the shape of both kinds of reply, down to their bytes.
func TestReplies(t *testing.T) {
	_, address := startServer(t, Config{}, UDP)
	socket := dialUDP(t, address)
	raw := func(token []byte) map[string]any {
		if err := datagram.SendOne(t.Context(), socket, token, datagram.Address{}, time.Second); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, _, err := datagram.ReceiveOne(t.Context(), socket, buf, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		reply := string(buf[:n])
		parts := strings.Split(reply, ".")
		if header := string(must(base64.RawURLEncoding.DecodeString(parts[0]))); header != `{"alg":"HS256","typ":"JWT"}` {
			t.Errorf("header %s", header)
		}
		if len(reply) > 1023 || !regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+$`).MatchString(reply) {
			t.Errorf("reply %q", reply)
		}
		if _, err := openReply([]byte(reply), []byte(secretText)); err != nil {
			t.Error(err)
		}
		if _, err := openReply([]byte(reply), []byte(strings.TrimSpace(secretText))); err == nil {
			t.Error("the reply verifies without the newline in the secret")
		}
		var claims map[string]any
		if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[1])), &claims); err != nil {
			t.Fatal(err)
		}
		return claims
	}
	common := func(claims map[string]any) {
		t.Helper()
		issued, expires := claims["iat"].(float64), claims["exp"].(float64)
		if claims["iss"] != Audience || expires != issued+30 || issued > float64(time.Now().Unix()) {
			t.Errorf("claims %v", claims)
		}
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(claims["jti"].(string)) {
			t.Errorf("jti %v", claims["jti"])
		}
		stamp := claims["otp_timestamp"].(string)
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$`).MatchString(stamp) {
			t.Errorf("otp_timestamp %q", stamp)
		}
		if at := must(time.Parse(time.RFC3339, stamp)); float64(at.Unix()) != issued {
			t.Errorf("otp_timestamp %q and iat %.0f are different moments", stamp, issued)
		}
		for _, absent := range []string{"aud", "nbf"} {
			if _, there := claims[absent]; there {
				t.Errorf("the reply has %s", absent)
			}
		}
	}
	payload := claimsFor("REDS", 0).json()
	acknowledged := raw(resigned(string(payload)))
	common(acknowledged)
	if acknowledged["sub"] != "REDS" || acknowledged["id_request"] != fmt.Sprintf("%x", sha256.Sum256(payload)) || acknowledged["next_number"] != 1.0 || len(acknowledged) != 8 {
		t.Errorf("acknowledgement %v", acknowledged)
	}
	refused := raw([]byte("nonsense"))
	common(refused)
	if refused["sub"] != "NO_SUB_CLAIM" || refused["response"] != "ERROR:Decode failed" || len(refused) != 7 {
		t.Errorf("error reply %v", refused)
	}
}

// TestErrorReplyLength shows that no error reply is longer than what budgets reckon with.
func TestErrorReplyLength(t *testing.T) {
	s := newSealer([]byte(secretText))
	for _, why := range []Refusal{
		DecodeFailed, AlgorithmNotSupported, TokenExpired, NoSubClaim, GroupUnknown, SignatureFailed,
		WrongMaximum, StateUndefined, StateNotRecognized, AudienceNotRecognized, RegistrationUnknown, TokenReused, TokenTooOld,
	} {
		if n := len(s.seal(refusal(why, time.Now()))); n > errorReplyLength {
			t.Errorf("%q makes a reply of %d bytes, more than %d", why, n, errorReplyLength)
		}
	}
	long := acknowledgement(strings.Repeat("X", maxGroupName), RequestID{}, 999, time.Now())
	if n := len(s.seal(long)); n > maxReply {
		t.Errorf("an acknowledgement has %d bytes", n)
	}
}
