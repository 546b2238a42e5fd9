package datagram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is a network of its own, with a thread that lives in it.
type namespace struct {
	t    *testing.T
	jobs chan func()
	tid  int
}

// newNamespace makes a network namespace that ends with the test.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	if disabledByEnvironment()&(Batching|GSO|DontFragment) != 0 {
		t.Skip("what is tested here is switched off")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip (iproute2):", err)
	}
	ns := &namespace{t: t, jobs: make(chan func())}
	made := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		ns.tid = unix.Gettid()
		err := unix.Unshare(unix.CLONE_NEWNET)
		made <- err
		for job := range ns.jobs {
			job()
		}
	}()
	err := <-made
	t.Cleanup(func() { close(ns.jobs); <-ended })
	if err != nil {
		t.Skip("no right to make a network namespace:", err)
	}
	return ns
}

// do runs f in the namespace.
func (ns *namespace) do(f func()) {
	done := make(chan struct{})
	ns.jobs <- func() { defer close(done); f() }
	<-done
}

// run runs a command in the namespace.
func (ns *namespace) run(command string, args ...any) error {
	var out []byte
	var err error
	command = fmt.Sprintf(command, args...)
	ns.do(func() {
		fields := strings.Fields(command)
		out, err = exec.Command(fields[0], fields[1:]...).CombinedOutput()
	})
	if err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

func (ns *namespace) must(command string, args ...any) {
	ns.t.Helper()
	if err := ns.run(command, args...); err != nil {
		ns.t.Fatal(err)
	}
}

// dial and listen return Sockets in the namespace.
func (ns *namespace) dial(to *net.UDPAddr, options ...SocketOption) (s *Socket) {
	ns.t.Helper()
	ns.do(func() {
		c, err := net.DialUDP("udp", nil, to)
		if err != nil {
			ns.t.Error(err)
			return
		}
		s = New(c, options...)
	})
	if s == nil {
		ns.t.FailNow()
	}
	ns.t.Cleanup(func() { s.Close() })
	return s
}

func (ns *namespace) listen(address string, options ...SocketOption) (s *Socket) {
	ns.t.Helper()
	ns.do(func() {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			ns.t.Error(err)
			return
		}
		s = New(c, options...)
	})
	if s == nil {
		ns.t.FailNow()
	}
	ns.t.Cleanup(func() { s.Close() })
	return s
}

func (ns *namespace) maximum(s *Socket, to Address) (most int) {
	ns.do(func() { most = s.MaximumMessageSizeTo(to) })
	return most
}

// link returns two namespaces with a link between them: 192.0.2.1 and
// 2001:db8::1 in the first, 2 in the second.
func link(t *testing.T, mtu int) (a, b *namespace) {
	a, b = newNamespace(t), newNamespace(t)
	if err := a.run("ip link add v0 type veth peer name v1 netns %d", b.tid); err != nil {
		t.Skip("this kernel has no virtual links:", err)
	}
	for i, ns := range []*namespace{a, b} {
		ns.must("ip link set lo up")
		ns.must("ip addr add 192.0.2.%d/24 dev v%d", i+1, i)
		ns.must("ip addr add 2001:db8::%d/64 dev v%d nodad", i+1, i)
		ns.must("ip link set v%d mtu %d up", i, mtu)
	}
	return a, b
}

// On a link with a small MTU the longest message is known beforehand, goes
// through, and a longer one's error names it. Batches that cannot be cut up to
// fit get the same error, and those that fit are still cut up.
func TestSmallMTU(t *testing.T) {
	const mtu = 1400
	a, b := link(t, mtu)
	for address, most := range map[string]int{"192.0.2.2": mtu - 28, "2001:db8::2": mtu - 48} {
		t.Run(address, func(t *testing.T) {
			receiver := b.listen(net.JoinHostPort(address, "0"))
			to := receiver.LocalAddress()
			connected := a.dial(udpAddr(receiver.PacketConn()))
			bound := a.listen(":0")
			if got := connected.MaximumMessageSize(); got != most {
				t.Errorf("connected: %d, not %d", got, most)
			}
			if got := a.maximum(bound, to); got != most {
				t.Errorf("not connected: %d, not %d", got, most)
			}
			in := inputs(20, 2000)
			for _, s := range []*Socket{connected, bound} {
				dest := to
				if s == connected {
					dest = Address{}
				}
				for _, count := range []int{1, 20} {
					var n int
					var err error
					a.do(func() {
						n, err = s.SendMessages(t.Context(), addressed(outputs(count, most+1), dest), MsgNone, -1)
					})
					named := fmt.Sprintf("has %d bytes, the most that this socket can send there as one datagram is %d", most+1, most)
					if n != 0 || !errors.Is(err, ErrMessageTooLarge) || !errors.Is(err, unix.EMSGSIZE) || !strings.Contains(err.Error(), named) {
						t.Errorf("%d too large: %d, %v", count, n, err)
					}
					before := s.Stats().SendCalls
					if n, err := s.SendMessages(t.Context(), addressed(outputs(count, most), dest), MsgNone, -1); n != count || err != nil {
						t.Fatal(n, err)
					}
					if calls := s.Stats().SendCalls - before; calls != 1 {
						t.Errorf("%d that fit took %d system calls", count, calls)
					}
					if n, err := receiver.ReceiveMessages(t.Context(), in[:count], MsgNone, 5*time.Second); n != count || err != nil || in[count-1].BytesReceived != most {
						t.Fatal(n, err)
					}
				}
			}
		})
	}
}

// What the kernel knows of a route counts, too.
func TestRouteMTU(t *testing.T) {
	a, _ := link(t, 1500)
	a.must("ip route add 198.51.100.0/24 via 192.0.2.2 mtu 1300")
	s := a.listen(":0")
	to := AddressFromNet(&net.UDPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 9})
	if got := a.maximum(s, to); got != 1300-28 {
		t.Error(got)
	}
	nowhere := AddressFromNet(&net.UDPAddr{IP: net.IPv4(203, 0, 113, 1), Port: 9})
	if got := a.maximum(s, nowhere); got != mostIPv4 {
		t.Error("without a route:", got)
	}
}

// Without DontFragment longer messages go in fragments, also from batches.
func TestFragments(t *testing.T) {
	a, b := link(t, 1400)
	receiver := b.listen("192.0.2.2:0")
	s := a.dial(udpAddr(receiver.PacketConn()), Without(DontFragment))
	if got := s.MaximumMessageSize(); got != mostIPv4 {
		t.Error(got)
	}
	const count = 10
	for range 2 {
		if n, err := s.SendMessages(t.Context(), outputs(count, 3000), MsgNone, -1); n != count || err != nil {
			t.Fatal(n, err)
		}
		in := inputs(count, 4000)
		if n, err := receiver.ReceiveMessages(t.Context(), in, MsgNone, 5*time.Second); n != count || err != nil || in[0].BytesReceived != 3000 {
			t.Fatal(n, err, in[0].BytesReceived)
		}
	}
}

// On a link that loses datagrams, those that arrive are whole and in order.
func TestLossyLink(t *testing.T) {
	a, b := link(t, 1400)
	if _, err := exec.LookPath("tc"); err != nil {
		t.Skip("needs tc (iproute2):", err)
	}
	if err := a.run("tc qdisc add dev v0 root netem loss 10%%"); err != nil {
		t.Log(err)
		// A shaper with a short queue loses what comes too fast.
		if err := a.run("tc qdisc add dev v0 root tbf rate 100mbit burst 70kb limit 40kb"); err != nil {
			t.Skip("this kernel can neither lose nor shape:", err)
		}
	}
	receiver := b.listen("192.0.2.2:0")
	s := a.dial(udpAddr(receiver.PacketConn()))
	const batch, batches = 16, 60
	out, in := outputs(batch, 1000), inputs(50, 2000)
	for i := range batches {
		for j := range out {
			binary.BigEndian.PutUint64(out[j].Vectors[0], uint64(i*batch+j+1))
		}
		if n, err := s.SendMessages(t.Context(), out, MsgNone, -1); n != batch || err != nil {
			t.Fatal(n, err)
		}
	}
	last, count := uint64(0), 0
	for {
		n, err := receiver.ReceiveMessages(t.Context(), in, MsgWaitForOne, 200*time.Millisecond)
		if errors.Is(err, ErrTimedOut) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range in[:n] {
			number := binary.BigEndian.Uint64(m.Vectors[0])
			if m.BytesReceived != 1000 || number <= last || number > batch*batches {
				t.Fatalf("%d bytes of number %d after %d", m.BytesReceived, number, last)
			}
			last = number
		}
		count += n
	}
	t.Logf("%d of %d arrived", count, batch*batches)
	if count == 0 || count == batch*batches {
		t.Errorf("%d of %d arrived", count, batch*batches)
	}
}
