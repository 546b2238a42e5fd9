package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gdtls/cmd/gdtls/internal/console"
)

// logView shows the life of a server, in the four colours of the window of Qt's
// DTLS server example: errors in crimson, warnings in dark orange, information in
// dark blue and messages in dark magenta.
func logView(p palette, e event) string { return timed(p, logLine(p, e)) }

// timed is a line of a log, with the time; nothing for an empty one.
func timed(p palette, l line) string {
	if l.text == "" {
		return ""
	}
	return p.faint(time.Now().Format("15:04:05 ")) + l.paint(p)
}

// line is one of a log.
type line struct {
	level console.Level // empty: none, its text is painted as it should be
	peer  string        // whom it concerns, empty for nobody
	text  string
}

// paint gives the whole line in the colour of its level.
func (l line) paint(p palette) string {
	text := about(l.peer) + l.text
	switch l.level {
	case console.Error:
		return p.error(text)
	case console.Warning:
		return p.warning(text)
	case console.Info:
		return p.info(text)
	case console.Message:
		return p.datagram(text)
	}
	return text
}

// logLine makes the line of an event; an empty one for what is no event of a server.
func logLine(p palette, e event) line {
	switch e := e.(type) {
	case listening:
		var with []string
		if e.Certificate != "" {
			with = append(with, "the certificate "+clean(e.Certificate))
		}
		if e.PSK {
			with = append(with, "a pre-shared key")
		}
		return line{console.Info, "", fmt.Sprintf("listening on %s with %s; Ctrl-C stops", e.Address, strings.Join(with, " and "))}
	case peerVerified:
		return line{console.Info, e.Peer, "verified, handshake begins"}
	case handshakeDone:
		if !e.OK {
			return line{console.Error, e.Peer, "no connection" + refused(e)}
		}
		return line{console.Info, e.Peer, "connected, " + strings.Join(negotiated(e, "client"), "; ")}
	case received:
		if e.Size == 0 {
			return line{console.Message, e.Peer, "an empty message"}
		}
		return line{console.Message, e.Peer, messageText(e)}
	case closed:
		if !e.Clean {
			return line{console.Warning, e.Peer, "closed, " + clean(e.Reason)}
		}
		return line{console.Info, e.Peer, "closed, " + e.Reason}
	case warning:
		return line{console.Warning, e.Peer, clean(e.Message)}
	case failed:
		return line{console.Error, e.Peer, clean(e.Message)}
	case trace:
		return line{"", e.Peer, e.line(p)}
	case consoleOpened:
		return line{console.Info, "", e.text()}
	case note:
		return line{console.Info, "", e.text}
	}
	return line{}
}

func about(peer string) string {
	if peer == "" {
		return ""
	}
	return peer + ": "
}

// negotiated lists what a handshake agreed on; peer is what the other side is.
func negotiated(e handshakeDone, peer string) []string {
	facts := []string{e.Version + ", " + e.Ciphersuite}
	add := func(form string, value string) {
		if value != "" {
			facts = append(facts, fmt.Sprintf(form, clean(value)))
		}
	}
	if e.Resumed {
		facts = append(facts, "resumed")
	}
	add("ALPN %s", e.ALPN)
	add("server name %s", e.SNI)
	add("PSK identity %s", e.PSKIdentity)
	add("PSK hint %q", e.PSKHint)
	if e.PeerCertSubject != "" {
		verdict := "verified"
		if len(e.Flags) > 0 {
			verdict = "accepted in spite of " + strings.Join(e.Flags, ", ")
		}
		facts = append(facts, fmt.Sprintf("%s is %s (%s)", peer, clean(e.PeerCertSubject), verdict))
	}
	return facts
}

// refused tells what certificate a failed handshake has seen, if any.
func refused(e handshakeDone) string {
	if e.PeerCertSubject == "" {
		return ""
	}
	text := "; the peer showed " + clean(e.PeerCertSubject)
	if len(e.Flags) > 0 {
		text += " (" + strings.Join(e.Flags, ", ") + ")"
	}
	return text
}

// messageText shows a message: a long one by its beginning, and one that is not
// text by its bytes.
func messageText(e received) string {
	const most = 160
	text := clean(e.Text)
	if e.Hex != "" {
		text = e.Hex
	}
	if e.Hex == "" && utf8.RuneCountInString(text) <= most {
		return text
	}
	if runes := []rune(text); len(runes) > most/2 {
		text = string(runes[:most/2]) + "…"
	}
	return fmt.Sprintf("%d bytes: %s", e.Size, text)
}
