package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gdtls/datagram"
	"gdtls/internal/record"
)

// wire: a datagram is on its way, as an onlooker sees it.
type wire struct {
	From      string `json:"from"` // "client" or "server"
	Size      int    `json:"size"` // bytes
	Content   string `json:"content"`
	Encrypted bool   `json:"encrypted"` // all of it
}

func (wire) name() string { return "wire" }

// tap is a client's socket that shows its datagrams.
type tap struct {
	*datagram.Socket
	out *output
}

// SendMessages shows the datagrams and sends them.
func (t *tap) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	for i := range messages {
		t.out.emit(newWire("client", slices.Concat(messages[i].Vectors...)))
	}
	return t.Socket.SendMessages(ctx, messages, flags, timeout)
}

// ReceiveMessages receives datagrams and shows them.
func (t *tap) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	n, err := t.Socket.ReceiveMessages(ctx, messages, flags, timeout)
	for i := range n {
		t.out.emit(newWire("server", slices.Concat(messages[i].Vectors...)[:messages[i].BytesReceived]))
	}
	return n, err
}

// newWire tells what stands in a datagram.
func newWire(from string, bytes []byte) wire {
	e := wire{From: from, Size: len(bytes), Encrypted: true}
	var names []string
	for rest := bytes; len(rest) > 0; {
		rec, next, ok := record.Next(rest)
		if !ok {
			names, e.Encrypted = append(names, "no DTLS record"), false
			break
		}
		rest = next
		e.Encrypted = e.Encrypted && rec.Epoch > 0
		if name := recordName(&rec); !slices.Contains(names, name) { // a message's fragments are one
			names = append(names, name)
		}
	}
	e.Content = strings.Join(names, ", ")
	return e
}

var handshakeNames = map[byte]string{
	0: "HelloRequest", 1: "ClientHello", 2: "ServerHello", 3: "HelloVerifyRequest", 4: "NewSessionTicket",
	11: "Certificate", 12: "ServerKeyExchange", 13: "CertificateRequest", 14: "ServerHelloDone",
	15: "CertificateVerify", 16: "ClientKeyExchange", 20: "Finished",
}

// recordName tells what a record holds, as far as it can be seen.
func recordName(rec *record.Record) string {
	body := rec.Fragment()
	switch rec.Type {
	case record.TypeChangeCipherSpec:
		return "ChangeCipherSpec"
	case record.TypeApplicationData:
		return "application data"
	case record.TypeAlert:
		return "alert"
	case record.TypeHandshake:
		if rec.Epoch > 0 {
			return "Finished" // the only one under the first keys
		}
		if len(body) == 0 {
			return "handshake"
		}
		name, ok := handshakeNames[body[0]]
		if !ok {
			name = fmt.Sprintf("handshake message %d", body[0])
		}
		if body[0] == 1 && hasCookie(body) {
			name += " with cookie"
		}
		return name
	}
	return fmt.Sprintf("record of type %d", rec.Type)
}

// hasCookie tells whether a ClientHello brings a cookie: it stands behind header,
// version, random and session id (RFC 6347 4.3.2).
func hasCookie(hello []byte) bool {
	const sessionID = 12 + 2 + 32
	if len(hello) <= sessionID {
		return false
	}
	cookie := sessionID + 1 + int(hello[sessionID])
	return len(hello) > cookie && hello[cookie] > 0
}
