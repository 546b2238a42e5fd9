package datagram

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// offload is what the kernel does for a socket beside moving single datagrams.
type offload struct {
	on      atomic.Uint32 // Capability bits in use
	segment atomic.Int32  // the longest datagram that the kernel cuts up, in bytes
	held    atomic.Bool   // there is a haul

	// receiving guards what follows, and is held while a receive is in the
	// kernel, which never blocks there.
	receiving  sync.Mutex
	coalescing bool  // UDP_GRO is set
	haul       *haul // datagrams received and not yet asked for; nil for none
	perParcel  int   // how many datagrams came as one in the last haul
}

// bufferSize is what LargeBuffers asks for, in bytes. The kernel counts its own
// overhead too, and doubles the number for that.
const bufferSize = 4 << 20

// setUp looks at what the kernel can do for the socket, and sets its options.
func (o *offload) setUp(fd int, socket socketInfo, without Capability) {
	on := Capability(0)
	if socket.kind == unix.SOCK_DGRAM {
		on = Batching
	}
	if protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err == nil && protocol == unix.IPPROTO_UDP {
		on |= GSO | GRO | LargeBuffers | DontFragment
		kernel := runningKernel()
		if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT); err != nil || kernel.missegments() {
			on &^= GSO
		}
		if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO); err != nil || kernel.before(5, 12, 0) {
			on &^= GRO
		}
	}
	on &^= without
	if on&LargeBuffers != 0 {
		received := raise(fd, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE)
		sent := raise(fd, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE)
		if !received && !sent {
			on &^= LargeBuffers
		}
	}
	if on&DontFragment != 0 && !dontFragment(fd, socket.family) {
		on &^= DontFragment
	}
	if on&GSO != 0 {
		o.segment.Store(maxSegmented)
	}
	o.perParcel = 1
	o.on.Store(uint32(on))
}

// has reports whether any of the capabilities is in use.
func (o *offload) has(c Capability) bool { return Capability(o.on.Load())&c != 0 }

func (o *offload) capabilities() Capability { return Capability(o.on.Load()) }

// giveUp ends the use of capabilities that turned out not to be there.
func (o *offload) giveUp(c Capability) { o.on.And(^uint32(c)) }

// raise makes a socket buffer larger, beyond the system's limit if this process
// may, and reports whether it is larger than it was or large enough.
func raise(fd, option, force int) bool {
	before, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
	if err != nil {
		return false
	}
	if before >= 2*bufferSize {
		return true
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, bufferSize) == nil {
		return true
	}
	// Without the right, the kernel gives as much as its limit allows, which may
	// be less than there was.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, bufferSize) != nil {
		return false
	}
	after, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
	if err == nil && after < before {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, before/2)
	}
	return after > before
}

// dontFragment keeps the kernel from fragmenting, and reports whether it will.
func dontFragment(fd, family int) bool {
	// An IPv6 socket sends IPv4 as well if it is dual-stack.
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
	}
	return err == nil
}

// kernelDrops returns the kernel's count of datagrams that it dropped. It is the
// one that SO_RXQ_OVFL attaches to datagrams, but asked for when it is wanted,
// so receiving costs nothing more, and the last drops are in it.
func kernelDrops(fd int) uint64 {
	const drops = 8 // SK_MEMINFO_DROPS, since Linux 4.12
	var info [drops + 1]uint32
	length := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return 0
	}
	return uint64(info[drops])
}

func (o *offload) close() {
	o.receiving.Lock()
	defer o.receiving.Unlock()
	if o.haul != nil {
		o.haul.next = o.haul.count
	}
	o.settle()
}

// kernelVersion is a version of Linux.
type kernelVersion [3]int

var runningKernel = sync.OnceValue(func() kernelVersion {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return kernelVersion{}
	}
	return parseKernel(unix.ByteSliceToString(name.Release[:]))
})

// parseKernel reads the numbers at the beginning of a release's name, such as
// "6.1.0-18-amd64".
func parseKernel(release string) (v kernelVersion) {
	part := 0
	for _, c := range release {
		switch {
		case c >= '0' && c <= '9' && v[part] < 1e6:
			v[part] = 10*v[part] + int(c-'0')
		case c == '.' && part < len(v)-1:
			part++
		default:
			return v
		}
	}
	return v
}

func (v kernelVersion) before(major, minor, patch int) bool {
	for i, n := range [...]int{major, minor, patch} {
		if v[i] != n {
			return v[i] < n
		}
	}
	return false
}

// missegments reports whether the kernel spoils datagrams that it cuts up when
// the last is as long as the others, on the way to some devices: so did 7.0
// until 7.1.5. A program cannot find out which devices, and a sender of equal
// datagrams has nothing shorter to put behind them.
func (v kernelVersion) missegments() bool {
	return !v.before(7, 0, 0) && v.before(7, 1, 5)
}
