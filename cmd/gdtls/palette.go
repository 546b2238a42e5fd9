package main

import "strings"

// palette paints text if it is true.
type palette bool

// Colours of the terminal's 256. The four of the log are those of Qt's DTLS server
// example, of which the two dark ones are a little lighter, so that they can be
// read on a black ground as well as on a white one.
const (
	crimson     = "38;5;161"
	darkOrange  = "38;5;208"
	darkBlue    = "38;5;32"
	darkMagenta = "38;5;133"
	green       = "38;5;35"
	bold        = "1"
	faint       = "2"
)

func (p palette) paint(style, text string) string {
	if !p || text == "" {
		return text
	}
	// Each line on its own, so that no colour runs on where a line is cut.
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = "\x1b[" + style + "m" + line + "\x1b[0m"
	}
	return strings.Join(lines, "\n")
}

func (p palette) error(text string) string    { return p.paint(crimson, text) }
func (p palette) warning(text string) string  { return p.paint(darkOrange, text) }
func (p palette) info(text string) string     { return p.paint(darkBlue, text) }
func (p palette) datagram(text string) string { return p.paint(darkMagenta, text) }
func (p palette) good(text string) string     { return p.paint(green, text) }
func (p palette) strong(text string) string   { return p.paint(bold, text) }
func (p palette) faint(text string) string    { return p.paint(faint, text) }
