package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// stream encodes events as go test would.
func stream(t *testing.T, events ...event) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func TestReport(t *testing.T) {
	out := func(test, text string) event { return event{"output", "p", test, text} }
	end := func(action, test string) event { return event{Action: action, Package: "p", Test: test} }
	good := []event{out("TestGood", "    good_test.go:5: noise\n"), end("pass", "TestGood")}

	tests := []struct {
		name   string
		events []event
		want   string // the whole output
		fault  string // the error, "" for none
	}{
		{
			"passed",
			append(good, out("", "PASS\n"), out("", "ok  \tp\t1.2s\n"), end("pass", "")),
			"ok  \tp\t1.2s\n1 passed, 0 failed, 0 skipped\n", "",
		},
		{
			"a failing test is shown in full",
			append(good, out("TestBad", "    bad_test.go:7: oh\n"), out("TestBad", "--- FAIL: TestBad (0.00s)\n"), end("fail", "TestBad"),
				out("", "FAIL\n"), out("", "FAIL\tp\t1.2s\n"), end("fail", "")),
			"    bad_test.go:7: oh\n--- FAIL: TestBad (0.00s)\nFAIL\tp\t1.2s\nFAIL\n1 passed, 2 failed, 0 skipped\n", "tests failed",
		},
		{
			"a test without an end is shown",
			append(good, out("TestStuck", "=== RUN   TestStuck\n"), out("", "panic: test timed out\n"), end("fail", "")),
			"panic: test timed out\n=== RUN   TestStuck\n1 passed, 1 failed, 0 skipped\n", "tests failed",
		},
		{
			"a build that fails",
			append(good, event{Action: "build-output", Output: "x.go:1:1: syntax error\n"}, event{Action: "build-fail"}),
			"x.go:1:1: syntax error\n1 passed, 1 failed, 0 skipped\n", "tests failed",
		},
		{
			"a skip for a reason of its own",
			append(good, out("TestRoot", "    root_test.go:9: only as root\n"), end("skip", "TestRoot")),
			"skipped p.TestRoot: only as root\n1 passed, 0 failed, 1 skipped\n", "",
		},
		{
			"a skip for want of a peer",
			append(good, out("TestPeer/psk", "=== RUN   TestPeer/psk\n"), out("TestPeer/psk", "    peer_test.go:9: needs openssl: not found in PATH\n"),
				out("TestPeer/psk", "--- SKIP: TestPeer/psk (0.00s)\n"), end("skip", "TestPeer/psk")),
			"MISSED p.TestPeer/psk: needs openssl: not found in PATH\n1 passed, 0 failed, 1 skipped\n", "tests skipped for want of a peer program: 1",
		},
		{
			"a package without tests",
			append(good, event{"output", "q", "", "?   \tq\t[no test files]\n"}, event{Action: "skip", Package: "q"}),
			"?   \tq\t[no test files]\n1 passed, 0 failed, 0 skipped\n", "",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got strings.Builder
			r := newReport(&got)
			if err := r.read(strings.NewReader(stream(t, test.events...))); err != nil {
				t.Fatal(err)
			}
			fault := ""
			if err := r.close(); err != nil {
				fault = err.Error()
			}
			if got.String() != test.want || fault != test.fault {
				t.Errorf("printed %q with error %q\nwant    %q with error %q", got.String(), fault, test.want, test.fault)
			}
		})
	}
}

func TestReportRefusesOtherInput(t *testing.T) {
	if err := newReport(new(strings.Builder)).read(strings.NewReader("ok  \tp\t1.2s\n")); err == nil {
		t.Error("plain output was taken for events")
	}
}
