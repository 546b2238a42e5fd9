// Testreport reads the output of "go test -json" and prints what a reader
// wants of it: the closing line of each package, the whole output of what
// failed, and the skipped tests with their reasons.
//
// It exits with 1 if a test or a build failed, or if a test was skipped for want
// of a peer program. Such a skip is known by its message, which begins with
// "needs ", as in
//
//	t.Skip("needs openssl: not found in PATH")
package main

import (
	"fmt"
	"os"
)

func main() {
	r := newReport(os.Stdout)
	err := r.read(os.Stdin)
	if err == nil {
		err = r.close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}
