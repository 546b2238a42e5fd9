package datagram

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// pair is two connected ends that the contract is tested on.
type pair struct {
	a, b       DatagramBased
	toA, toB   Address // zero where the ends are connected
	from       bool    // received messages have an address
	end        bool    // the other end learns of a close (G015)
	settle     time.Duration
	closeA     func() error
	closeB     func() error
	aNet, bNet net.PacketConn // nil without a socket
}

// send sends texts from a to b, one datagram each.
func (p pair) send(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := SendOne(t.Context(), p.a, []byte(text), p.toB, 5*time.Second); err != nil {
			t.Fatalf("send %q: %v", text, err)
		}
	}
	time.Sleep(p.settle)
}

// inputs returns n messages with one buffer of the size each.
func inputs(n, size int) []InputMessage {
	messages := make([]InputMessage, n)
	for i := range messages {
		messages[i].Vectors = [][]byte{make([]byte, size)}
	}
	return messages
}

func text(m InputMessage) string {
	var all []byte
	for _, v := range m.Vectors {
		all = append(all, v...)
	}
	return string(all[:m.BytesReceived])
}

func udpAddr(c net.PacketConn) *net.UDPAddr { return c.LocalAddr().(*net.UDPAddr) }

// listen returns a UDP conn that is not connected.
func listen(t testing.TB, network, address string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Skipf("this machine cannot listen on %s %s: %v", network, address, err)
	}
	return c.(*net.UDPConn)
}

// connected returns two UDP conns that are connected to each other.
func connected(t testing.TB, network, address string) (a, b *net.UDPConn) {
	t.Helper()
	for range 10 {
		first, second := listen(t, network, address), listen(t, network, address)
		at, bt := udpAddr(first), udpAddr(second)
		first.Close()
		second.Close()
		var errA, errB error
		if a, errA = net.DialUDP(network, at, bt); errA != nil {
			continue
		}
		if b, errB = net.DialUDP(network, bt, at); errB == nil {
			return a, b
		}
		a.Close()
	}
	t.Fatal("no two ports stayed free")
	return nil, nil
}

func socketPair(t testing.TB, a, b net.PacketConn, options ...SocketOption) pair {
	sa, sb := New(a, options...), New(b, options...)
	p := pair{a: sa, b: sb, closeA: sa.Close, closeB: sb.Close, aNet: a, bNet: b}
	if !sa.RemoteAddress().IsValid() {
		p.toB = sb.LocalAddress()
	}
	if !sb.RemoteAddress().IsValid() {
		p.toA = sa.LocalAddress()
	}
	p.from = true
	t.Cleanup(func() { sa.Close(); sb.Close() })
	return p
}

// hidden hides a conn's type, so that only the methods of net.PacketConn are
// left.
type hidden struct{ net.PacketConn }

// embedded is a conn of its own type that has all of UDPConn's methods.
type embedded struct{ *net.UDPConn }

// readAhead has the ends read ahead already, and gives that time after a send.
func readAhead(p pair) pair {
	p.a.ConditionCheck(In)
	p.b.ConditionCheck(In)
	p.settle = 20 * time.Millisecond
	return p
}

func impairedPair(p pair) pair {
	a, b := NewImpaired(p.a, Impairment{}), NewImpaired(p.b, Impairment{})
	p.a, p.b, p.closeA, p.closeB = a, b, a.Close, b.Close
	return p
}

// pairs are the implementations that the contract is tested on.
var pairs = map[string]func(t testing.TB) pair{
	"udp4 connected": func(t testing.TB) pair {
		a, b := connected(t, "udp4", "127.0.0.1:0")
		return socketPair(t, a, b)
	},
	"udp4": func(t testing.TB) pair {
		return socketPair(t, listen(t, "udp4", "127.0.0.1:0"), listen(t, "udp4", "127.0.0.1:0"))
	},
	"udp6": func(t testing.TB) pair {
		return socketPair(t, listen(t, "udp6", "[::1]:0"), listen(t, "udp6", "[::1]:0"))
	},
	"dual stack": func(t testing.TB) pair {
		b := listen(t, "udp", "[::]:0")
		p := socketPair(t, listen(t, "udp4", "127.0.0.1:0"), b)
		p.toB = AddressFromNet(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: udpAddr(b).Port})
		return p
	},
	"opaque": func(t testing.TB) pair {
		p := socketPair(t, hidden{listen(t, "udp4", "127.0.0.1:0")}, hidden{listen(t, "udp4", "127.0.0.1:0")})
		return readAhead(p)
	},
	"opaque connected": func(t testing.TB) pair {
		a, b := connected(t, "udp4", "127.0.0.1:0")
		p := socketPair(t, embedded{a}, embedded{b})
		return readAhead(p)
	},
	"pipe": func(t testing.TB) pair {
		a, b := NewPipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		return pair{a: a, b: b, end: true, closeA: a.Close, closeB: b.Close}
	},
	"impaired pipe": func(t testing.TB) pair {
		a, b := NewPipe()
		p := impairedPair(pair{a: a, b: b, end: true})
		t.Cleanup(func() { p.closeA(); p.closeB() })
		return p
	},
	"impaired udp4": func(t testing.TB) pair {
		return impairedPair(socketPair(t, listen(t, "udp4", "127.0.0.1:0"), listen(t, "udp4", "127.0.0.1:0")))
	},
}

// onAll runs a test on every kind of pair.
func onAll(t *testing.T, test func(t *testing.T, p pair)) {
	for name, makePair := range pairs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, makePair(t))
		})
	}
}

// after runs f in a while, and waits for it at the end of the test.
func after(t *testing.T, d time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(d)
		f()
	}()
	t.Cleanup(func() { <-done })
}

var background = context.Background()

var _ io.Closer = (*Socket)(nil)
