package main

import (
	"fmt"
	"strings"

	"gdtls/cmd/gdtls/internal/console"
	"gdtls/jwtproto"
)

// jwtListening: the JWT server can be reached.
type jwtListening struct {
	Address     string   `json:"address"`
	Transport   string   `json:"transport"`
	Groups      []string `json:"groups"`      // with a key and members
	States      int      `json:"states"`      // of the machine
	Certificate string   `json:"certificate"` // its subject, empty without DTLS
}

// jwtRequest: a request was answered.
type jwtRequest struct {
	Peer         string `json:"peer"`
	Transport    string `json:"transport"`
	Group        string `json:"group"` // empty if refused before it was known
	Registration int64  `json:"registration"`
	Number       int    `json:"number"`
	Next         int    `json:"next"`
	Step         string `json:"step"`    // advanced, repeated, restarted or refused (out of turn)
	Refusal      string `json:"refusal"` // words of the error reply; empty for an acknowledgement
}

func newJWTRequest(e jwtproto.Event) jwtRequest {
	r := jwtRequest{Peer: e.Peer.String(), Transport: "udp", Group: e.Group, Refusal: string(e.Why)}
	if e.DTLS {
		r.Transport = "dtls"
	}
	if e.Why == "" {
		r.Registration, r.Number, r.Next, r.Step = e.Row.Registration, e.Row.Number, e.Row.Next, e.Row.Step.String()
	}
	return r
}

// jwtStep: a number was acknowledged to a client.
type jwtStep struct {
	Group    string  `json:"group"`
	Number   int     `json:"number"`
	Colour   string  `json:"colour"`
	Next     int     `json:"next"`
	Sent     int     `json:"sent"`     // times
	Rejected int     `json:"rejected"` // replies that did not verify or came late
	Lost     bool    `json:"lost"`     // the walk begins anew
	Seconds  float64 `json:"seconds"`
	states   int
}

// jwtWalked: a walk has ended.
type jwtWalked struct {
	OK           bool    `json:"ok"`
	Group        string  `json:"group"`
	Server       string  `json:"server"`
	Transport    string  `json:"transport"`
	Acknowledged int     `json:"acknowledged"`
	Sent         int     `json:"sent"` // requests, repetitions included
	Restarts     int     `json:"restarts"`
	Seconds      float64 `json:"seconds"`
}

// jwtLab: a lab folder was made.
type jwtLab struct {
	Dir     string   `json:"dir"`
	Groups  []string `json:"groups"`
	Clients string   `json:"clients"` // folder with the private keys
}

func (jwtListening) name() string { return "jwt_listening" }
func (jwtRequest) name() string   { return "jwt_request" }
func (jwtStep) name() string      { return "jwt_step" }
func (jwtWalked) name() string    { return "jwt_walk" }
func (jwtLab) name() string       { return "jwt_lab" }

// rainbow are the terminal's colours of the states.
var rainbow = [...]string{"38;5;196", "38;5;208", "38;5;220", "38;5;40", "38;5;33", "38;5;57", "38;5;135"}

// colour paints text in the colour of a state.
func (p palette) colour(n int, text string) string { return p.paint(rainbow[n%len(rainbow)], text) }

// jwtLogView shows the life of a JWT server.
func jwtLogView(p palette, e event) string {
	if e, ok := e.(jwtLab); ok {
		return fmt.Sprintf("A lab for %s is in %s.\nThe private keys of the groups are in %s: give each group its own, and the secret in %s.",
			strings.Join(e.Groups, ", "), e.Dir, e.Clients, jwtproto.SecretFolder+"/"+jwtproto.SecretFile)
	}
	return timed(p, jwtLogLine(p, e))
}

// jwtLogLine is logLine for a JWT server.
func jwtLogLine(p palette, e event) line {
	switch e := e.(type) {
	case jwtListening:
		groups := "no group that can be used"
		if len(e.Groups) > 0 {
			groups = "the groups " + clean(strings.Join(e.Groups, ", "))
		}
		return line{console.Info, "", fmt.Sprintf("listening on %s by %s for %s; Ctrl-C stops", e.Address, transportName(e.Transport), groups)}
	case jwtRequest:
		by := " by " + transportName(e.Transport)
		if e.Refusal != "" {
			return line{console.Warning, e.Peer, strings.TrimSpace(clean(e.Group)+" refused: "+e.Refusal) + by}
		}
		text := fmt.Sprintf("%s member %d says %d", clean(e.Group), e.Registration, e.Number)
		if e.Step == jwtproto.Refused.String() {
			return line{console.Warning, e.Peer, text + ", out of turn" + by}
		}
		return line{"", e.Peer, text + ", " + p.colour(e.Number, jwtproto.Colour(e.Number)) + " " + e.Step + by}
	case jwtRemote:
		return e.line(p)
	}
	return logLine(p, e)
}

func transportName(transport string) string {
	if transport == "both" {
		return "UDP and DTLS"
	}
	return strings.ToUpper(transport)
}

// jwtWalkView shows the states as they turn.
func jwtWalkView(terminal bool) view {
	on, off := rainbowMarks(terminal)
	return func(p palette, e event) string {
		switch e := e.(type) {
		case jwtStep:
			return e.draw(p, on, off)
		case jwtWalked:
			text := fmt.Sprintf("%s over %s: %d acknowledged, %d requests in %.2f s", clean(e.Group), transportName(e.Transport), e.Acknowledged, e.Sent, e.Seconds)
			if e.OK {
				return p.good("all states reached. ") + text
			}
			return p.error("not all states reached. ") + text
		case handshakeDone:
			return p.faint(strings.Join(negotiated(e, "server"), "; "))
		}
		return plainView(p, e)
	}
}

// rainbowMarks are what states are drawn with that are reached, and that are not.
func rainbowMarks(terminal bool) (on, off string) {
	if terminal {
		return "■", "□"
	}
	return "#", "-"
}

// rainbowBar draws the states up to the last one that was reached, -1 for none.
func rainbowBar(p palette, last, states int, on, off string) string {
	const most = 60 // columns
	var bar strings.Builder
	for n := range min(states, most) {
		if state := n * states / min(states, most); state <= last {
			bar.WriteString(p.colour(state, on))
		} else {
			bar.WriteString(p.faint(off))
		}
	}
	return bar.String()
}

// draw is the rainbow as far as it is, and what was said.
func (s jwtStep) draw(p palette, on, off string) string {
	reached := s.Number
	if s.Lost {
		reached = -1
	}
	text := fmt.Sprintf("%s  %d %s", rainbowBar(p, reached, s.states, on, off), s.Number, p.colour(s.Number, s.Colour))
	if s.Lost {
		return text + p.warning(fmt.Sprintf(" not taken: the server wants %d, the walk begins anew", s.Next))
	}
	details := []string{fmt.Sprintf("next %d", s.Next)}
	if s.Sent > 1 {
		details = append(details, fmt.Sprintf("sent %d times", s.Sent))
	}
	if s.Rejected > 0 {
		details = append(details, fmt.Sprintf("%d replies rejected", s.Rejected))
	}
	return text + p.faint("  "+strings.Join(details, ", "))
}
