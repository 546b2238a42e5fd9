package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// scene begins a conversation.
type scene struct{ title, client, server string }

// serverSees tells what the server knows of the client.
type serverSees struct{ handshakeDone }

func (scene) name() string      { return "" }
func (serverSees) name() string { return "" }

// Widths of the drawing, in columns.
const (
	drawWidth  = 76
	innerWidth = drawWidth - 4 // between the life lines
)

// drawView draws a conversation as a sequence of messages between two life lines,
// in plain ASCII if it does not go to a terminal.
func drawView(terminal bool) view {
	return func(p palette, e event) string {
		text := draw(p, e)
		if !terminal {
			text = asASCII.Replace(text)
		}
		return text
	}
}

var asASCII = strings.NewReplacer("│", "|", "─", "-", "├", "|", "┤", "|", "▶", ">", "◀", "<",
	"┌", "+", "┐", "+", "└", "+", "┘", "+", "✓", "+", "✗", "x", "…", "...")

func draw(p palette, e event) string {
	switch e := e.(type) {
	case scene:
		gap := strings.Repeat(" ", max(drawWidth-2-len("client "+e.client+"server "+e.server), 1))
		return "\n" + p.strong(e.title) + "\n\n" +
			"  " + p.strong("client") + " " + e.client + gap + p.strong("server") + " " + e.server + "\n" + between("", "")
	case wire:
		return arrow(p, e)
	case sent:
		return between(p.datagram(clean(e.text)), clean(e.text))
	case received:
		return fromServer(p.datagram, messageText(e))
	case serverSees:
		text := "knows the client as "
		if e.PSKIdentity != "" {
			return fromServer(p.info, text+clean(e.PSKIdentity))
		}
		return fromServer(p.info, text+clean(e.PeerCertSubject))
	case handshakeDone:
		if e.OK {
			return box(p, "agreed", negotiated(e, "server"))
		}
	case acceptedCAs:
		return fromServer(p.info, "asks for a client certificate of "+clean(strings.Join(e.Names, ", ")))
	case closed:
		if e.Clean {
			return p.good("  ✓ ") + e.Reason
		}
	case consoleOpened:
		return "\n" + p.strong("Watch it in a browser. This link logs in, once, within ten minutes:") + "\n  " + e.Login
	case demoDone:
		if e.OK {
			return "\n" + p.good("✓ ") + fmt.Sprintf("%d conversations and %d walks, as they should be", len(e.Conversations), len(e.Walks))
		}
	}
	return plainView(p, e)
}

// between puts text, whose visible form is given, too, between the life lines.
func between(painted, visible string) string {
	space := max(innerWidth-2-utf8.RuneCountInString(visible), 0)
	return "  │ " + painted + strings.Repeat(" ", space) + " │"
}

// fromServer puts text on the server's side.
func fromServer(paint func(string) string, text string) string {
	space := strings.Repeat(" ", max(innerWidth-2-utf8.RuneCountInString(text), 0))
	return between(space+paint(text), space+text)
}

// arrow draws a datagram on its way. Words that have no room in the arrow stand
// above it.
func arrow(p palette, e wire) string {
	size := fmt.Sprintf(" %d bytes ", e.Size)
	if e.Encrypted {
		size = fmt.Sprintf(" %d bytes, encrypted ", e.Size)
	}
	const least = 6 // columns of line that make an arrow
	words := wrap(e.Content, innerWidth-utf8.RuneCountInString(size)-least)
	var b strings.Builder
	for _, line := range words[:len(words)-1] {
		fmt.Fprintln(&b, between("  "+p.strong(line), "  "+line))
	}
	last := words[len(words)-1]
	rule := strings.Repeat("─", innerWidth-4-utf8.RuneCountInString(last)-utf8.RuneCountInString(size)-1)
	if e.From == "client" {
		fmt.Fprintf(&b, "  ├─ %s %s%s─▶│", p.strong(last), p.faint(rule), p.faint(size))
	} else {
		fmt.Fprintf(&b, "  │◀─ %s %s%s─┤", p.strong(last), p.faint(rule), p.faint(size))
	}
	return b.String()
}

// wrap breaks a list at its commas into lines of at most so many columns, or of one
// member.
func wrap(list string, columns int) []string {
	var lines []string
	line := ""
	for member := range strings.SplitSeq(list, ", ") {
		switch {
		case line == "":
			line = member
		case utf8.RuneCountInString(line+", "+member) > columns:
			lines = append(lines, line+",")
			line = member
		default:
			line += ", " + member
		}
	}
	return append(lines, line)
}

// box draws facts in a box on the life lines.
func box(p palette, title string, facts []string) string {
	const width = innerWidth - 10
	var b strings.Builder
	rule := strings.Repeat("─", width-3-utf8.RuneCountInString(title))
	fmt.Fprintf(&b, "  │   %s │\n", "┌─ "+p.good(title)+" "+rule+"┐    ")
	for _, fact := range facts {
		space := strings.Repeat(" ", max(width-2-utf8.RuneCountInString(fact), 0))
		fmt.Fprintf(&b, "  │   │ %s%s │     │\n", p.info(fact), space)
	}
	fmt.Fprintf(&b, "  │   └%s┘     │", strings.Repeat("─", width))
	return b.String()
}
