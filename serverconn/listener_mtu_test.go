package serverconn_test

import (
	"testing"

	"gdtls/datagram"
)

// A peer's connection keeps to what the path from the listener to that peer carries.
func TestPeerMTU(t *testing.T) {
	t.Parallel()
	base := &tight{Socket: loopback(t)}
	l := listenOn(t, base, configureTest)
	client := dial(t, l.LocalAddress(), false)
	server := accept(t, l, client)
	if got := server.MTU(); got != 700 {
		t.Errorf("MTU is %d", got)
	}
	if base.asked != server.PeerAddress() {
		t.Errorf("the base was asked about %v, not about %v", base.asked, server.PeerAddress())
	}
	sendText(t, server, "x")
	wantText(t, client, "x")
}

// tight is a socket with narrow paths.
type tight struct {
	*datagram.Socket
	asked datagram.Address
}

func (n *tight) MaximumMessageSizeTo(to datagram.Address) int {
	n.asked = to
	return 700
}
