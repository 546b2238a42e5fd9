//go:build unix

package datagram

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func init() {
	pairs["unixgram"] = func(t testing.TB) pair {
		p := unixPair(t, unix.SOCK_DGRAM)
		return p
	}
	pairs["unixpacket"] = func(t testing.TB) pair {
		p := unixPair(t, unix.SOCK_SEQPACKET)
		p.end = true
		return p
	}
	pairs["unixgram named"] = func(t testing.TB) pair {
		dir := t.(interface{ TempDir() string }).TempDir()
		return socketPair(t, listenUnix(t, dir+"/a"), listenUnix(t, dir+"/b"))
	}
}

func listenUnix(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// unixPair returns a socketpair of the kind.
func unixPair(t testing.TB, kind int) pair {
	t.Helper()
	a, b := unixConns(t, kind)
	p := socketPair(t, a, b)
	p.from, p.toA, p.toB = false, Address{}, Address{}
	return p
}

func unixConns(t testing.TB, kind int) (a, b net.PacketConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
	if err != nil {
		t.Skipf("no socketpair of kind %d: %v", kind, err)
	}
	conns := [2]net.PacketConn{}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}
