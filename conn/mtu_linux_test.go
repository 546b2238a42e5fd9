package conn_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gdtls/datagram"
)

// network is a network namespace, with a thread that lives in it.
type network struct {
	t    *testing.T
	jobs chan func()
	tid  int
}

// newNetwork makes a network namespace that ends with the test.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t: t, jobs: make(chan func())}
	made, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		n.tid = unix.Gettid()
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for job := range n.jobs {
			job()
		}
	}()
	err := <-made
	t.Cleanup(func() { close(n.jobs); <-ended })
	if err != nil {
		t.Skip("no right to make a network namespace:", err)
	}
	return n
}

// do runs f in the namespace.
func (n *network) do(f func() error) error {
	done := make(chan error)
	n.jobs <- func() { done <- f() }
	return <-done
}

// ip runs a command of iproute2 in the namespace.
func (n *network) ip(arguments string, args ...any) {
	n.t.Helper()
	fields := strings.Fields(fmt.Sprintf(arguments, args...))
	err := n.do(func() error {
		if out, err := exec.Command("ip", fields...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", fields, err, out)
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// socket gives a socket in the namespace.
func (n *network) socket(open func() (net.Conn, error)) (s *datagram.Socket) {
	n.t.Helper()
	err := n.do(func() error {
		c, err := open()
		if err == nil {
			s = datagram.New(c.(*net.UDPConn))
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { s.Close() })
	return s
}

// Behind a router the path becomes narrow. The datagram that finds out is lost, and
// the router says so; neither that nor a smaller message is then an error, and a
// longer one's error names the maximum.
func TestRouterTellsMTU(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip (iproute2):", err)
	}
	near, router, far := newNetwork(t), newNetwork(t), newNetwork(t)
	for i, end := range []*network{near, far} {
		router.ip("link add r%d type veth peer name e netns %d", i, end.tid)
		router.ip("addr add 192.0.2.%d/30 dev r%d", 4*i+1, i)
		router.ip("link set r%d up", i)
		end.ip("addr add 192.0.2.%d/30 dev e", 4*i+2)
		end.ip("link set e up")
		end.ip("route add default via 192.0.2.%d", 4*i+1)
	}
	if err := router.do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }); err != nil {
		t.Skip("cannot make a router:", err)
	}
	one, two := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 5000}, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 6), Port: 5000}
	client := near.socket(func() (net.Conn, error) { return net.DialUDP("udp4", one, two) })
	server := far.socket(func() (net.Conn, error) { return net.DialUDP("udp4", two, one) })
	if client.Capabilities()&datagram.DontFragment == 0 {
		t.Skip("what is tested here is switched off")
	}
	p := newPairOver(t, client, server)
	mustHandshake(t, p)
	if got := p.client.MaximumMessageSize(); got != 1363 {
		t.Errorf("longest message has %d bytes", got)
	}
	router.ip("link set r1 mtu 800")
	far.ip("link set e mtu 800")

	send(t, p.client, strings.Repeat("x", 1363)) // is lost
	send(t, p.server, "answer")
	receive(t, p.client, "answer")
	const most = 800 - 28 - 37
	soon(t, "the longest message is shorter", func() bool { return p.client.MaximumMessageSize() == most })
	_, err := p.client.SendMessages(background, []datagram.OutputMessage{message(strings.Repeat("x", most+1))}, 0, -1)
	if ioCode(err) != datagram.CodeMessageTooLarge || !strings.Contains(err.Error(), fmt.Sprintf("(maximum is %d bytes)", most)) {
		t.Error(err)
	}
	long := strings.Repeat("y", most)
	send(t, p.client, long)
	receive(t, p.server, long)
}
