package jwtproto

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const logTime = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00`

// TestLogs compares the files with the formats of the original.
func TestLogs(t *testing.T) {
	dir := t.TempDir()
	logs, err := OpenLogs(dir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, address := startServer(t, Config{Logs: logs}, UDP)
	request := ask(dialUDP(t, address))
	var good string
	for n := range DefaultStates {
		good = string(blueToken(claimsFor("BLUES", n)))
		request(t, []byte(good))
	}
	request(t, redToken(claimsFor("BLUES", 0)))
	request(t, []byte("forged\n2023-11-11T22:05:18.871759+00:00:\x1b[31m\xff\u2028"))
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{ // the last lines
		LogRequests:      {`127\.0\.0\.1:\d+:` + regexp.QuoteMeta(good), `127\.0\.0\.1:\d+:[\w-]+\.[\w-]+\.[\w-]+`, `127\.0\.0\.1:\d+:forged\\n2023-11-11T22:05:18\.871759\+00:00:\\x1b\[31m\\xff\\u2028`},
		LogPayloads:      {`BLUES:\{.*"seq_state_number":6.*\}:Signature OK`, `BLUES:NOTOK:ERROR:Signature validation failed`, `NO_SUB_CLAIM:NOTOK:ERROR:Decode failed`},
		LogResponses:     {`BLUES:[\w-]+\.[\w-]+\.[\w-]+`, `NO_SUB_CLAIM:[\w-]+\.[\w-]+\.[\w-]+`},
		LogRegistrations: {`BLUES:21`, `BLUES:21`},
		LogSuccess:       {`BLUES`},
	} {
		data := string(must(os.ReadFile(filepath.Join(dir, name))))
		lines := strings.Split(strings.TrimSuffix(data, "\n"), "\n")
		if len(lines) < len(want) {
			t.Errorf("%s has %d lines", name, len(lines))
			continue
		}
		for i, line := range lines[len(lines)-len(want):] {
			if !regexp.MustCompile(`^` + logTime + `:` + want[i] + `$`).MatchString(line) {
				t.Errorf("%s: line %q, want %s", name, line, want[i])
			}
		}
	}
}

// TestLogRotation fills files: none gets longer than it should, no line is cut, and old
// ones go.
func TestLogRotation(t *testing.T) {
	dir := t.TempDir()
	const most = 1000
	if err := os.WriteFile(filepath.Join(dir, LogSuccess), []byte("of an earlier run\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	logs, err := OpenLogs(dir, most, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		logs.success(testTime, "REDS")
	}
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	files := must(filepath.Glob(filepath.Join(dir, LogSuccess+"*")))
	if len(files) != 1+logGenerations {
		t.Errorf("files %v", files)
	}
	for _, file := range files {
		data := must(os.ReadFile(file))
		if len(data) > most || len(data) == 0 || !strings.HasSuffix(string(data), ":REDS\n") {
			t.Errorf("%s has %d bytes", file, len(data))
		}
	}
	if err := (*Logs)(nil).Close(); err != nil {
		t.Errorf("no logs: %v", err)
	}
	if _, err := OpenLogs(filepath.Join(dir, "none"), 0, nil); err == nil {
		t.Error("no folder: no error")
	}
}
