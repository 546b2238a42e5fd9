//go:build unix && !linux

package datagram

// offload is what the kernel does for a socket beside moving single datagrams:
// nothing that is made use of here.
type offload struct{}

func (*offload) setUp(int, socketInfo, Capability)                    {}
func (*offload) capabilities() Capability                             { return 0 }
func (*offload) pending() bool                                        { return false }
func (*offload) maximum(int, socketInfo, Address, Address) (most int) { return 0 }
func (*offload) close()                                               {}

func kernelDrops(int) uint64 { return 0 }
