package datagram

import "testing"

func TestCapabilityString(t *testing.T) {
	for c, want := range map[Capability]string{
		0:                           "none",
		GSO | Batching:              "batching|gso",
		GRO | 1<<20:                 "gro|0x100000",
		LargeBuffers | DontFragment: "large-buffers|dont-fragment",
	} {
		if got := c.String(); got != want {
			t.Errorf("%#x is %q, not %q", uint32(c), got, want)
		}
	}
}

// A variable switches its capability off, unless it is empty or false.
func TestEnvironment(t *testing.T) {
	for _, each := range capabilities {
		for value, off := range map[string]bool{"": false, "0": false, "false": false, "1": true, "true": true, "please": true} {
			t.Setenv(each.variable, value)
			if got := disabledByEnvironment()&each.bit != 0; got != off {
				t.Errorf("%s=%q switches off: %v", each.variable, value, got)
			}
		}
		t.Setenv(each.variable, "1")
		s := New(listen(t, "udp4", "127.0.0.1:0"))
		if got := s.Capabilities(); got&each.bit != 0 {
			t.Errorf("%v with %s=1", got, each.variable)
		}
		s.Close()
		t.Setenv(each.variable, "")
	}
}

// A conn of another make has none of the system's capabilities, and no limit
// that is known.
func TestOpaqueCapabilities(t *testing.T) {
	s := New(hidden{listen(t, "udp4", "127.0.0.1:0")})
	defer s.Close()
	if c, most := s.Capabilities(), s.MaximumMessageSize(); c != 0 || most != 0 {
		t.Error(c, most)
	}
}
