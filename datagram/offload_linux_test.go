package datagram

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestKernelVersion(t *testing.T) {
	for release, want := range map[string]kernelVersion{
		"6.1.0-18-amd64":       {6, 1, 0},
		"5.12":                 {5, 12, 0},
		"7.1.4.9-pve":          {7, 1, 4},
		"":                     {},
		"x":                    {},
		"99999999999999999999": {9999999, 0, 0},
	} {
		if got := parseKernel(release); got != want {
			t.Errorf("%q is %v", release, got)
		}
	}
	for _, c := range []struct {
		v        kernelVersion
		old, bad bool
	}{
		{kernelVersion{4, 19, 300}, true, false},
		{kernelVersion{5, 11, 99}, true, false},
		{kernelVersion{5, 12, 0}, false, false},
		{kernelVersion{6, 18, 44}, false, false},
		{kernelVersion{7, 0, 0}, false, true},
		{kernelVersion{7, 1, 4}, false, true},
		{kernelVersion{7, 1, 5}, false, false},
	} {
		if c.v.before(5, 12, 0) != c.old || c.v.missegments() != c.bad {
			t.Errorf("%v: %v, %v", c.v, c.v.before(5, 12, 0), c.v.missegments())
		}
	}
}

// optionOf returns the value of a socket option.
func optionOf(t testing.TB, s *Socket, level, option int) (value int) {
	t.Helper()
	err := s.driver.(*system).raw.Control(func(fd uintptr) {
		var err error
		if value, err = unix.GetsockoptInt(int(fd), level, option); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// The options of the system's socket are as Capabilities tells.
func TestSocketOptions(t *testing.T) {
	for name, with := range capabilitySets {
		c := listen(t, "udp", "[::]:0")
		s := New(c, Without(^with))
		got := s.Capabilities()
		if got&^with != 0 {
			t.Errorf("%s: %v", name, got)
		}
		for _, o := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
			plain := listen(t, "udp", "[::]:0")
			p := New(plain, Without(everything))
			before, now := optionOf(t, p, unix.SOL_SOCKET, o), optionOf(t, s, unix.SOL_SOCKET, o)
			p.Close()
			if got&LargeBuffers == 0 && now != before || now < before {
				t.Errorf("%s: buffer of %d bytes, %d before", name, now, before)
			}
		}
		v4 := optionOf(t, s, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER) == unix.IP_PMTUDISC_DO
		v6 := optionOf(t, s, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER) == unix.IPV6_PMTUDISC_DO
		if want := got&DontFragment != 0; v4 != want || v6 != want {
			t.Errorf("%s: fragments of IPv4 %v, of IPv6 %v", name, !v4, !v6)
		}
		if optionOf(t, s, unix.SOL_UDP, unix.UDP_GRO) != 0 {
			t.Errorf("%s: UDP_GRO is set before it is of use", name)
		}
		one := inputs(1, 1)
		s.ReceiveMessages(t.Context(), one, MsgNone, 0)
		if optionOf(t, s, unix.SOL_UDP, unix.UDP_GRO) != 0 {
			t.Errorf("%s: UDP_GRO is set by a receive of one", name)
		}
		s.ReceiveMessages(t.Context(), inputs(2, 1), MsgNone, 0)
		if on := optionOf(t, s, unix.SOL_UDP, unix.UDP_GRO) != 0; on != (got&GRO != 0) {
			t.Errorf("%s: UDP_GRO is set: %v", name, on)
		}
		s.Close()
	}
}

// A larger buffer that the conn's maker has set stays.
func TestBufferStays(t *testing.T) {
	c := listen(t, "udp4", "127.0.0.1:0")
	plain := New(c, Without(everything))
	defer plain.Close()
	set := func(bytes int) int {
		if err := c.SetReadBuffer(bytes); err != nil {
			t.Fatal(err)
		}
		return optionOf(t, plain, unix.SOL_SOCKET, unix.SO_RCVBUF)
	}
	for _, bytes := range []int{3 << 20, 64 << 10} {
		before := set(bytes)
		New(c)
		if now := optionOf(t, plain, unix.SOL_SOCKET, unix.SO_RCVBUF); now < before {
			t.Errorf("%d bytes became %d", before, now)
		}
	}
}

// The kernel's drops are counted, also when the Socket is closed.
func TestKernelDropped(t *testing.T) {
	p := socketPair(t, listen(t, "udp4", "127.0.0.1:0"), listen(t, "udp4", "127.0.0.1:0"), Without(LargeBuffers))
	if err := p.bNet.(*net.UDPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	const count = 100
	if n, err := p.a.SendMessages(t.Context(), addressed(outputs(count, 1000), p.toB), MsgNone, -1); n != count || err != nil {
		t.Fatal(n, err)
	}
	in := inputs(count, 1000)
	got, err := p.b.ReceiveMessages(t.Context(), in, MsgWaitForOne, -1)
	if err != nil {
		t.Fatal(err)
	}
	for { // GSO makes few of many, so one look may not be all
		n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 0)
		if err != nil {
			break
		}
		got += n
	}
	s := p.b.(*Socket)
	dropped := s.Stats().KernelDropped
	if got == count || dropped == 0 {
		t.Errorf("%d of %d arrived, %d were dropped", got, count, dropped)
	}
	s.Close()
	if again := s.Stats().KernelDropped; again != dropped {
		t.Errorf("%d after closing, %d before", again, dropped)
	}
}

func addressed(messages []OutputMessage, to Address) []OutputMessage {
	for i := range messages {
		messages[i].Address = to
	}
	return messages
}

// Where the kernel refuses to cut up datagrams, they are sent as they are, and
// no more of their size are given to it to cut up.
func TestSegmentationRefused(t *testing.T) {
	p := pairs["udp4"](t)
	s := p.a.(*Socket)
	if s.Capabilities()&(GSO|Batching) != GSO|Batching {
		t.Skip("UDP_SEGMENT or sendmmsg is missing or switched off")
	}
	// Without checksums of its own, a socket may not use UDP_SEGMENT: EINVAL.
	err := s.driver.(*system).raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	calls := uint64(0)
	for round, want := range []uint64{3, 1} { // refused, one alone, the rest; then all at once
		out := addressed(outputs(20, 100), p.toB)
		for i := range out {
			out[i].Vectors[0][0] = byte(i)
		}
		if n, err := p.a.SendMessages(t.Context(), out, MsgNone, -1); n != len(out) || err != nil {
			t.Fatal(n, err)
		}
		in := inputs(20, 200)
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 5*time.Second); n != len(in) || err != nil {
			t.Fatal(n, err)
		}
		for i := range in {
			if in[i].BytesReceived != 100 || in[i].Vectors[0][0] != byte(i) || out[i].BytesSent != 100 {
				t.Fatalf("message %d: %d bytes, of number %d", i, in[i].BytesReceived, in[i].Vectors[0][0])
			}
		}
		made := s.Stats().SendCalls - calls
		calls += made
		if made != want {
			t.Errorf("round %d took %d system calls, not %d", round, made, want)
		}
	}
}

// What an error of a run teaches.
func TestSegmentationLessons(t *testing.T) {
	var o offload
	o.on.Store(uint32(everything))
	o.segment.Store(maxSegmented)
	for _, step := range []struct {
		length int
		reason unix.Errno
		want   int32
	}{
		{1400, unix.EINVAL, 1399}, {9000, unix.EMSGSIZE, 1399}, {1399, unix.EMSGSIZE, 1398}, {100, unix.EIO, 0}, {1, unix.EINVAL, 0},
	} {
		o.unsegmented(step.length, step.reason)
		if got := o.segment.Load(); got != step.want {
			t.Errorf("after %v with %d bytes: up to %d", step.reason, step.length, got)
		}
	}
	if o.has(GSO) {
		t.Error("GSO is still in use")
	}
	if err := o.batchingRefused(unix.ENOSYS); err != unix.EINTR || o.has(Batching) {
		t.Error("ENOSYS:", err, o.capabilities())
	}
	if err := o.batchingRefused(unix.ENOSYS); err != unix.ENOSYS {
		t.Error("ENOSYS once more:", err)
	}
}

// The longest message without limits of a path is UDP's, and it can be sent.
func TestMaximumMessageSize(t *testing.T) {
	for name, want := range map[string]int{"udp4": mostIPv4, "udp6": mostIPv6, "udp4 connected": mostIPv4, "dual stack": mostIPv4} {
		t.Run(name, func(t *testing.T) {
			p := pairs[name](t)
			s := p.a.(*Socket)
			if most := s.MaximumMessageSize(); most != want {
				t.Errorf("%d, not %d", most, want)
			}
			to := p.toB
			if !to.IsValid() {
				to = s.RemoteAddress()
			}
			most := s.MaximumMessageSizeTo(to)
			if most < 1000 || most > want {
				t.Errorf("%d to %v", most, to)
			}
			for _, m := range []int{most, most + 1} {
				n, err := p.a.SendMessages(t.Context(), addressed(outputs(1, m), p.toB), MsgNone, -1)
				if m == most && (n != 1 || err != nil) || m > most && !errors.Is(err, ErrMessageTooLarge) {
					t.Error(m, n, err)
				}
			}
		})
	}
	p := pairs["unixgram"](t)
	if most := p.a.(*Socket).MaximumMessageSize(); most != 0 {
		t.Error("a Unix socket:", most)
	}
}
