package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// An event is one line of "go test -json"; see "go doc test2json".
type event struct {
	Action, Package, Test, Output string
}

// A skip is a skipped test and what it said.
type skip struct {
	test, reason string
}

// A report gathers events. Output is kept by test, "" being the package
// itself, until it is known whether it is worth printing.
type report struct {
	out    io.Writer
	output map[string]map[string]*strings.Builder // by package, by test

	passed, failed int
	skips          []skip
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string]map[string]*strings.Builder{}}
}

// read takes events until the end of in.
func (r *report) read(in io.Reader) error {
	for events := json.NewDecoder(in); ; {
		var e event
		if err := events.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the output of go test -json: %w", err)
		}
		r.add(e)
	}
}

// packageLine matches the lines of a package that are always shown.
var packageLine = regexp.MustCompile(`^(ok  |FAIL|\?   )\t`)

func (r *report) add(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.failed++
	case "output":
		if e.Test == "" && packageLine.MatchString(e.Output) {
			fmt.Fprint(r.out, e.Output)
			return
		}
		tests := r.output[e.Package]
		if tests == nil {
			tests = map[string]*strings.Builder{}
			r.output[e.Package] = tests
		}
		if tests[e.Test] == nil {
			tests[e.Test] = new(strings.Builder)
		}
		tests[e.Test].WriteString(e.Output)
	case "pass", "skip":
		said := r.take(e)
		switch {
		case e.Test == "":
			delete(r.output, e.Package)
		case e.Action == "pass":
			r.passed++
		default:
			r.skips = append(r.skips, skip{e.Package + "." + e.Test, reason(said)})
		}
	case "fail":
		if e.Test != "" {
			r.failed++
			fmt.Fprint(r.out, r.take(e))
			return
		}
		// What is left belongs to the package itself and to tests that had no
		// end, because of a panic or the time limit.
		r.failed++
		for _, test := range slices.Sorted(maps.Keys(r.output[e.Package])) {
			fmt.Fprint(r.out, r.output[e.Package][test])
		}
		delete(r.output, e.Package)
	}
}

// take returns and forgets the output of a test.
func (r *report) take(e event) string {
	said := r.output[e.Package][e.Test]
	delete(r.output[e.Package], e.Test)
	if said == nil {
		return ""
	}
	return said.String()
}

// message matches a line that t.Skip or t.Log wrote.
var message = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)`)

// reason returns the last thing a skipped test said, which is why.
func reason(output string) string {
	why := "no reason given"
	for line := range strings.Lines(output) {
		if found := message.FindStringSubmatch(strings.TrimRight(line, "\n")); found != nil {
			why = found[1]
		}
	}
	return why
}

// close prints the skipped tests and the sum, and returns an error if the run
// was not good.
func (r *report) close() error {
	peers := 0
	for _, s := range r.skips {
		word := "skipped"
		if strings.HasPrefix(s.reason, "needs ") {
			word = "MISSED"
			peers++
		}
		fmt.Fprintf(r.out, "%s %s: %s\n", word, s.test, s.reason)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skips))
	switch {
	case r.failed > 0:
		return errors.New("tests failed")
	case peers > 0:
		return fmt.Errorf("tests skipped for want of a peer program: %d", peers)
	}
	return nil
}
