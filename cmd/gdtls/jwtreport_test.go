package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func init() {
	schemas["jwt_group"] = object{"group": "", "last": 0.0, "rows": 0.0, "completed": 0.0, "restarted": "", "seen": "", "refusals": map[string]any{}, "members": []any{}}
	schemas["jwt_row"] = object{"group": "", "seq": 0.0, "time": "", "registration": 0.0, "number": 0.0, "next": 0.0, "step": "", "repeats": 0.0, "id": ""}
}

// What a server has kept is told beside it, and after it, and it goes on from there.
func TestJWTReports(t *testing.T) {
	dir := newLab(t, "--group", "reds,blues")
	report := func(args ...string) outcome {
		t.Helper()
		o := gdtls(t, "", append([]string{"jwt"}, args...)...)
		if o.code != exitOK {
			t.Fatalf("%v: exit code %d, %s%s", args, o.code, o.stdout, o.stderr)
		}
		return o
	}
	server := startJWT(t, dir, "--transport", "udp")
	if _, err := os.Stat(filepath.Join(dir, "store", "gdtls.sqlite")); err != nil {
		t.Fatal(err)
	}
	if o := report("status", dir); !strings.Contains(o.stdout, "Nothing has been asked") {
		t.Errorf("of nothing: %s", o.stdout)
	}
	report("walk", server.address, "--dir", dir, "--group", "reds", "--registration", "2")
	report("walk", server.address, "--dir", dir, "--group", "reds", "--registration", "3")
	if o := gdtls(t, "", "jwt", "walk", server.address, "--dir", dir, "--group", "blues", "--registration", "99"); o.code != exitFailed {
		t.Fatalf("a stranger walks: %s", o.stdout)
	}
	// The refusal is kept within a second.
	var groups []object
	for range 100 {
		if groups = report("status", dir, "--json").only("jwt_group"); len(groups) == 2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if len(groups) != 2 {
		t.Fatalf("groups %v", groups)
	}
	compare(t, "blues", groups[0], object{"group": "BLUES", "rows": 0.0})
	compare(t, "refusals", groups[0]["refusals"].(map[string]any), object{"Registration not recognized": 1.0})
	compare(t, "reds", groups[1], object{"group": "REDS", "last": 6.0, "rows": 14.0, "completed": 2.0})
	if members := groups[1]["members"].([]any); len(members) != 2 {
		t.Errorf("members %v", members)
	} else {
		compare(t, "member", members[1].(map[string]any), object{"registration": 3.0, "advanced": 6.0, "restarted": 1.0, "completed": 1.0})
	}
	lines, err := csv.NewReader(strings.NewReader(report("status", dir, "--csv").stdout)).ReadAll()
	if err != nil || len(lines) != 5 || lines[3][0] != "REDS" || lines[3][1] != "2" || lines[1][10] != "1 Registration not recognized" {
		t.Errorf("CSV: %v, %v", lines, err)
	}
	people := report("status", dir).stdout
	for _, want := range []string{"#######  6 VIOLET", "BLUES refused: 1 Registration not recognized", "last seen"} {
		if !strings.Contains(people, want) {
			t.Errorf("%q is not in\n%s", want, people)
		}
	}

	if rows := report("history", "reds", dir, "--json").only("jwt_row"); len(rows) != 14 {
		t.Errorf("%d rows", len(rows))
	} else {
		compare(t, "row", rows[13], object{"seq": 14.0, "registration": 3.0, "number": 6.0, "next": 0.0, "step": "advanced", "repeats": 0.0})
	}
	for _, test := range []struct {
		args        []string
		first, last float64
	}{
		{[]string{"--limit", "3"}, 12, 14},
		{[]string{"--after", "0", "--limit", "5"}, 1, 5},
		{[]string{"--after", "13"}, 14, 14},
	} {
		rows := report(append([]string{"history", "REDS", dir, "--json"}, test.args...)...).only("jwt_row")
		if len(rows) == 0 || rows[0]["seq"] != test.first || rows[len(rows)-1]["seq"] != test.last {
			t.Errorf("%v: %v", test.args, rows)
		}
	}
	if o := report("history", "reds", dir, "--limit", "1"); !strings.Contains(o.stdout, "14  member 3 says 6, VIOLET advanced  next 0") {
		t.Errorf("history for people: %s", o.stdout)
	}

	if end := server.end(); end.code != exitOK {
		t.Fatalf("the server ended with %d: %s", end.code, end.stderr)
	}
	exported := report("export", dir)
	var names []string
	for line := range strings.Lines(exported.stdout) {
		names = append(names, parseEvent(t, line).name())
	}
	if len(names) != 16 || names[0] != "jwt_group" || names[1] != "jwt_group" || slices.Contains(names[2:], "jwt_group") {
		t.Errorf("exported %v", names)
	}
	// The group is where it was: a member may go on with the last number.
	server = startJWT(t, dir, "--transport", "udp", "--strict")
	report("walk", server.address, "--dir", dir, "--group", "reds")
	server.end()
	if rows := report("history", "reds", dir, "--json").only("jwt_row"); len(rows) != 21 {
		t.Errorf("%d rows after another walk", len(rows))
	}
}

func TestJWTReportUsage(t *testing.T) {
	dir := newLab(t)
	other := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(other, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"status", dir}, exitFailed, "there is no store sqlite:"},
		{[]string{"status", "--store", "memory:"}, exitUsage, "only the server itself"},
		{[]string{"status", "--store", "sqlite:" + other}, exitFailed, "no SQLite database"},
		{[]string{"status", "--store", "sqlite:"}, exitUsage, "name of a file"},
		{[]string{"status", "--store", "mysql://x"}, exitUsage, "--store takes"},
		{[]string{"status", dir, "--csv", "--json"}, exitUsage, "contradict"},
		{[]string{"status", dir, "--states", "1"}, exitUsage, "--states"},
		{[]string{"history"}, exitUsage, "<group>"},
		{[]string{"history", "reds", dir, "--limit", "0"}, exitUsage, "--limit"},
		{[]string{"serve", "127.0.0.1", "0", dir, "--store", "sqlite:" + other}, exitFailed, "no SQLite database"},
		{[]string{"serve", "127.0.0.1", "0", dir, "--store", "memory:x"}, exitUsage, "memory:"},
	} {
		o := gdtls(t, "", append([]string{"jwt"}, test.args...)...)
		if o.code != test.code || !strings.Contains(o.stdout+o.stderr, test.want) {
			t.Errorf("%v: exit code %d, %s%s", test.args, o.code, o.stdout, o.stderr)
		}
	}
	server := startJWT(t, dir, "--store", "memory:")
	server.end()
	server = startJWT(t, dir, "--store", "sqlite:"+filepath.Join(dir, "a", "b.sqlite"))
	server.end()
	if o := gdtls(t, "", "jwt", "history", "nobody", "--store", "sqlite:"+filepath.Join(dir, "a", "b.sqlite")); o.code != exitFailed || !strings.Contains(o.stderr, "nothing is known of a group NOBODY") {
		t.Errorf("history of nobody: %d %s", o.code, o.stderr)
	}
}
