package main

import (
	"fmt"
	"strings"
)

// talkView shows a client's conversation.
func talkView(p palette, e event) string {
	switch e := e.(type) {
	case handshakeDone:
		if !e.OK {
			return "" // the error follows
		}
		text := p.good("✓ ") + p.strong("connected to "+e.Peer)
		for _, fact := range negotiated(e, "server") {
			text += "\n  " + fact
		}
		return text
	case acceptCertificate:
		if e.Accepted {
			return p.warning("! accepted a certificate with faults: " + strings.Join(e.Flags, ", "))
		}
		return p.error("✗ refused the certificate "+clean(e.Chain[0].Subject)) + "\n  " + strings.Join(faults(e.Flags), "\n  ")
	case acceptedCAs:
		if len(e.Names) == 0 {
			return p.info("the server asks for a client certificate")
		}
		return p.info("the server asks for a client certificate of " + clean(strings.Join(e.Names, " or ")))
	case sent:
		return p.info("→ ") + messageText(newReceived("", []byte(e.text)))
	case received:
		return p.datagram("← " + messageText(e))
	case closed:
		if !e.Clean {
			return ""
		}
		return p.faint(e.Reason)
	case trace:
		return e.line(p)
	case note:
		return p.faint(e.text)
	}
	return plainView(p, e)
}

// certificateQuestion shows a chain with faults and asks whether to accept it.
func certificateQuestion(p palette, e acceptCertificate) string {
	var b strings.Builder
	fmt.Fprintln(&b, p.warning("! The server's certificate cannot be trusted as it is."))
	for _, sentence := range faults(e.Flags) {
		fmt.Fprintln(&b, "  "+sentence)
	}
	for i, certificate := range e.Chain {
		fmt.Fprintf(&b, "\n%s\n", certificate.lines(p, "  "))
		if i+1 < len(e.Chain) {
			fmt.Fprintln(&b, p.faint("  which was issued by"))
		}
	}
	fmt.Fprint(&b, "\n", p.strong("Accept it all the same? [y/N] "))
	return b.String()
}
