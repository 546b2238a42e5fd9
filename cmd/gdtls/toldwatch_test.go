package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestToldWatch(t *testing.T) {
	w := newToldWatch()
	lines := []string{
		`{"event":"listening","address":"127.0.0.1:1","certificate":"CN=x","psk":false}`,
		`{"event":"peer_verified","peer":"192.0.2.1:7"}`,
		`{"event":"handshake","ok":true,"peer":"192.0.2.1:7","ciphersuite":"TLS_X","psk_identity":"alice"}`,
		`{"event":"datagram","peer":"192.0.2.1:7","size":5,"text":"hello"}`,
		`{"event":"datagram","peer":"192.0.2.1:7","size":-5,"text":""}`,
		`{"event":"peer_verified","peer":"192.0.2.1:8"}`,
		`{"event":"handshake","ok":false,"peer":"192.0.2.1:8"}`,
		`{"event":"peer_verified","peer":"192.0.2.1:9"}`,
		`{"event":"closed","peer":"192.0.2.1:9","clean":true,"reason":"x"}`,
		`{"event":"jwt_listening","address":"a","groups":["REDS"],"states":7}`,
		`{"event":"jwt_request","peer":"192.0.2.1:7","group":"REDS","registration":1,"number":0,"step":"restarted"}`,
		`{"event":"jwt_request","peer":"192.0.2.1:7","group":"REDS","registration":1,"number":1,"step":"advanced"}`,
		`{"event":"jwt_request","peer":"192.0.2.1:7","group":"REDS","refusal":"signature"}`,
		`{"event":"new kind","of":"event"}`, `no event`, `{`, ``, `{"event":"datagram","size":"five"}`,
	}
	for _, line := range lines {
		w.take(line)
	}
	if n := w.hub.Last(); n != uint64(len(lines)-1) { // all but the empty one
		t.Errorf("%d events of %d lines", n, len(lines))
	}
	s := w.source()
	peers := s.Peers()
	if len(peers) != 1 || peers[0].Identity != "alice" || peers[0].BytesIn != 5 || peers[0].MessagesIn != 1 || peers[0].State != peerConnected {
		t.Errorf("%+v", peers)
	}
	if c := s.Counters(); c.Datagrams != 4 || c.Handshakes != 1 || c.Requests != 3 || c.Peers != 1 {
		t.Errorf("%+v", c)
	}
	r := s.Groups()
	if len(r.Groups) != 1 || r.Groups[0].Last != 1 || !r.Groups[0].Members[0].Reached.Has(0) || !r.Groups[0].Members[0].Reached.Has(1) {
		t.Errorf("%+v", r)
	}
}

func FuzzToldWatch(f *testing.F) {
	for _, line := range []string{
		`{"event":"handshake","ok":true,"peer":"192.0.2.1:7","ciphersuite":"TLS_X","flags":["A"]}`,
		`{"event":"jwt_request","group":"G","registration":-1,"number":-1,"step":"advanced"}`,
		`{"event":"jwt_listening","groups":["G"],"states":7}`, `{"event":"trace","kind":"flight","messages":["x"]}`, `{"event":"error"}`, `x`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		w := newToldWatch()
		w.take(`{"event":"jwt_listening","groups":["G"],"states":7}`)
		w.take(line)
		w.take(line)
		s := w.source()
		_ = s.Counters()
		if n := len(s.Peers()); n > 1 {
			t.Errorf("%d peers of one line", n)
		}
		_ = s.Groups()
	})
}

// gdtls console shows what comes in on standard input, and stays when no more comes.
func TestConsoleWatch(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	stdin := `{"event":"warning","message":"look at this"}` + "\n"
	code := make(chan int, 1)
	go func() {
		defer writer.Close()
		code <- run(ctx, []string{"console", "--json"}, strings.NewReader(stdin), writer, io.Discard)
	}()
	line := make([]byte, 1000)
	n, err := reader.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	opened := parseEvent(t, string(line[:n]))
	_, ticket, _ := strings.Cut(text(opened["login"]), "#ticket=")
	if status := newPage(t, text(opened["url"])).post("/login/once", fmt.Sprintf(`{"ticket":%q}`, ticket), nil); status != http.StatusOK {
		t.Errorf("the link: %d", status)
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
}
