package datagram

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// The contract's tests wait more than they work, so more of them run at once
// than there are processors. The command line still decides.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
