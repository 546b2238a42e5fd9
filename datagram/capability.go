package datagram

import (
	"os"
	"strconv"
	"strings"
)

// Capability is a set of things that the operating system can do for a Socket,
// as bits. A Socket uses all that are there; Without and the environment switch
// them off, each by itself.
type Capability uint32

const (
	// Batching moves several datagrams in one system call: recvmmsg and
	// sendmmsg. Off: GDTLS_DISABLE_MMSG.
	Batching Capability = 1 << iota
	// GSO sends datagrams of one size to one destination as one, which the
	// kernel or the network device cuts up: UDP_SEGMENT. Off: GDTLS_DISABLE_GSO.
	GSO
	// GRO receives datagrams of one size from one sender as one, which the
	// Socket cuts up: UDP_GRO. Off: GDTLS_DISABLE_GRO.
	GRO
	// LargeBuffers raises the system's buffers of the socket to 4 MiB in each
	// direction, or as far as the system allows. Off: GDTLS_DISABLE_BUFFERS.
	LargeBuffers
	// DontFragment sends every datagram whole or not at all: one that is longer
	// than the path's MTU fails with MESSAGE_TOO_LARGE. DTLS wants that (RFC 6347
	// 4.1.1.1), since a lost fragment loses the datagram and fragments are
	// dropped by many networks. The kernel's estimate of the path's MTU is kept to
	// (IP_PMTUDISC_DO), not ignored for probing. Off: GDTLS_DISABLE_DF.
	DontFragment
)

// capabilities lists each with its name and the environment variable that
// switches it off.
var capabilities = [...]struct {
	bit            Capability
	name, variable string
}{
	{Batching, "batching", "GDTLS_DISABLE_MMSG"},
	{GSO, "gso", "GDTLS_DISABLE_GSO"},
	{GRO, "gro", "GDTLS_DISABLE_GRO"},
	{LargeBuffers, "large-buffers", "GDTLS_DISABLE_BUFFERS"},
	{DontFragment, "dont-fragment", "GDTLS_DISABLE_DF"},
}

// String returns the names, such as "batching|gso", or "none".
func (c Capability) String() string {
	var names []string
	for _, each := range capabilities {
		if c&each.bit != 0 {
			names = append(names, each.name)
			c &^= each.bit
		}
	}
	if c != 0 {
		names = append(names, "0x"+strconv.FormatUint(uint64(c), 16))
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "|")
}

// disabledByEnvironment returns what the environment switches off: a variable
// that is set does, unless it is empty or false in strconv.ParseBool's sense.
func disabledByEnvironment() (off Capability) {
	for _, each := range capabilities {
		text := os.Getenv(each.variable)
		if no, err := strconv.ParseBool(text); text != "" && (err != nil || no) {
			off |= each.bit
		}
	}
	return off
}

// SocketOption changes what New makes.
type SocketOption func(*socketOptions)

type socketOptions struct {
	without Capability
}

// Without keeps a Socket from using the capabilities.
func Without(c Capability) SocketOption {
	return func(o *socketOptions) { o.without |= c }
}
