package datagram

import "testing"

// everything is what this package can make use of.
const everything = Batching | GSO | GRO | LargeBuffers | DontFragment

// capabilitySets are the sets of capabilities that tests run with.
var capabilitySets = map[string]Capability{
	"all":              everything,
	"none":             0,
	"no batching":      everything &^ Batching,
	"no gso":           everything &^ GSO,
	"no gro":           everything &^ GRO,
	"no large buffers": everything &^ LargeBuffers,
	"fragments":        everything &^ DontFragment,
	"only batching":    Batching,
	"only gso":         GSO,
	"only gro":         GRO,
}

// The contract is tested with each capability switched off.
func init() {
	for name, with := range capabilitySets {
		pairs["udp4 "+name] = func(t testing.TB) pair {
			return socketPair(t, listen(t, "udp4", "127.0.0.1:0"), listen(t, "udp4", "127.0.0.1:0"), Without(^with))
		}
	}
	for _, name := range []string{"none", "no gro"} {
		pairs["udp6 "+name] = func(t testing.TB) pair {
			return socketPair(t, listen(t, "udp6", "[::1]:0"), listen(t, "udp6", "[::1]:0"), Without(^capabilitySets[name]))
		}
	}
	// With GRO switched on already, every receive goes by way of a haul.
	pairs["udp4 coalescing"] = func(t testing.TB) pair { return coalescing(t, pairs["udp4"](t)) }
	pairs["udp4 connected coalescing"] = func(t testing.TB) pair { return coalescing(t, pairs["udp4 connected"](t)) }
}

// coalescing has the ends' first receive of several datagrams behind them.
func coalescing(t testing.TB, p pair) pair {
	for _, end := range []DatagramBased{p.a, p.b} {
		if _, err := end.ReceiveMessages(t.Context(), inputs(2, 1), MsgNone, 0); err == nil {
			t.Fatal("a datagram from nowhere")
		}
		if s := end.(*Socket); s.Capabilities()&GRO != 0 && !s.driver.(*system).offload.coalescing {
			t.Fatal("GRO is not in use")
		}
	}
	return p
}
