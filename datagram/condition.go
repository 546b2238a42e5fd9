package datagram

import "strings"

// IOCondition is a set of states that one can wait for (GIOCondition, G047),
// with GLib's values.
type IOCondition int

// In and Out are what one asks for; Err and Hup are reported whenever they are
// true (G028).
const (
	In   IOCondition = 1  // a message is readable, or the peer closed (G032)
	Pri  IOCondition = 2  // urgent data is readable
	Out  IOCondition = 4  // sending is expected not to block (G033)
	Err  IOCondition = 8  // an error hit a message sent earlier; the next call returns it (G034)
	Hup  IOCondition = 16 // closed locally (G034); excludes In and Out (G035)
	Nval IOCondition = 32 // not open
)

// always are the conditions that need not be asked for.
const always = Err | Hup

// String returns the names of the set's members with "|" between them, and "0"
// for the empty set.
func (c IOCondition) String() string {
	if c == 0 {
		return "0"
	}
	var names []string
	for bit, name := range conditionNames {
		if c&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	if c&^0x3f != 0 {
		names = append(names, "unknown")
	}
	return strings.Join(names, "|")
}

// conditionNames names the six bits in order of value.
var conditionNames = [...]string{"IN", "PRI", "OUT", "ERR", "HUP", "NVAL"}
