package handshake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
)

// told renders an event as one line.
func told(e Event) string {
	switch e.Kind {
	case EventFlight:
		s := "sent " + strings.Join(e.Messages, " ")
		if e.Repetition > 0 {
			s = fmt.Sprintf("repeated %d: %s", e.Repetition, strings.Join(e.Messages, " "))
		}
		if e.Timeout > 0 {
			s += fmt.Sprintf(", again in %v", e.Timeout)
		}
		return s
	case EventMessage:
		return "got " + strings.Join(e.Messages, " ")
	case EventAlert:
		return fmt.Sprintf("alert %s, fatal %v, received %v", AlertName(e.Alert), e.Fatal, e.Received)
	case EventQuestion:
		return "asks for " + e.Question.String()
	case EventAnswer:
		return "was given " + e.Question.String()
	case EventDone:
		return fmt.Sprintf("done, resumed %v", e.Resumed)
	case EventFailed:
		return "failed: " + e.Err.Error()
	}
	return "?"
}

// observedBy makes a configuration write down what happens.
func observedBy(cfg *Config, lines *[]string) *Config {
	cfg.Observe = func(e Event) {
		*lines = append(*lines, fmt.Sprintf("%v %s", e.Time.Sub(puppetStart), told(e)))
	}
	return cfg
}

func wantLines(t *testing.T, who string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", who, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestObserve follows a handshake in which the server's first flight is lost once,
// one that resumes its session, and one that fails.
func TestObserve(t *testing.T) {
	var client, server []string
	r := newResumption(t)
	observedBy(&r.client, &client)
	observedBy(&r.server, &server)
	r.link.tamper = func(fromClient bool, n int, d []byte) []byte {
		if !fromClient && n == 1 {
			return nil
		}
		return d
	}
	saved := r.first(t)
	hello, keys := "ClientHello, again in 1s", "ClientKeyExchange ChangeCipherSpec Finished, again in 1s"
	flight := "ServerHello Certificate ServerKeyExchange ServerHelloDone, again in "
	wantLines(t, "client", client, []string{
		"0s sent " + hello, "0s got HelloVerifyRequest", "0s sent " + hello,
		"1s repeated 1: ClientHello, again in 2s",
		"1s got ServerHello", "1s got Certificate", "1s got ServerKeyExchange", "1s got ServerHelloDone",
		"1s asks for verdict on the peer's certificate", "1s was given verdict on the peer's certificate",
		"1s sent " + keys, "1s got NewSessionTicket", "1s got Finished", "1s done, resumed false",
	})
	wantLines(t, "server", server, []string{
		"0s sent " + flight + "1s", "1s repeated 1: " + flight + "1s",
		"1s got ClientKeyExchange", "1s got Finished", "1s sent NewSessionTicket ChangeCipherSpec Finished", "1s done, resumed false",
	})

	client, server, r.link.tamper = nil, nil, nil
	r.again(t, saved, true)
	wantLines(t, "client", client, []string{
		"0s sent " + hello, "0s got HelloVerifyRequest", "0s sent " + hello, "0s got ServerHello", "0s got Finished",
		"0s sent ChangeCipherSpec Finished", "0s done, resumed true",
	})
	wantLines(t, "server", server, []string{
		"0s sent ServerHello ChangeCipherSpec Finished, again in 1s", "0s got Finished", "0s done, resumed true",
	})

	client, server = nil, nil
	r.answers.refuseServer = NewError(KindBadCertificate, alert.UnknownCA, "unknown")
	r.play(t, nil)
	if n := len(client); n < 3 || client[n-3] != "0s was given verdict on the peer's certificate" ||
		client[n-2] != "0s alert unknown_ca, fatal true, received false" || client[n-1] != "0s failed: unknown" {
		t.Errorf("client: %q", client)
	}
	if n := len(server); n < 2 || server[n-2] != "0s alert unknown_ca, fatal true, received true" || server[n-1] != "0s failed: peer sent fatal TLS alert: unknown_ca" {
		t.Errorf("server: %q", server)
	}
}

// TestObservedSizes asserts what a flight's event counts.
func TestObservedSizes(t *testing.T) {
	cfg := &Config{}
	var got Event
	cfg.Observe = func(e Event) { got = e }
	m, err := NewClient(cfg, puppetStart)
	if err != nil {
		t.Fatal(err)
	}
	if out := m.Output(); got.Datagrams != len(out) || got.Bytes != len(out[0]) {
		t.Errorf("%d datagrams of %d bytes, want %d of %d", got.Datagrams, got.Bytes, len(out), len(out[0]))
	}
	m.Expire(puppetStart.Add(time.Second))
	if got.Repetition != 1 || got.Datagrams != 1 || got.Timeout != 2*time.Second {
		t.Errorf("repetition: %+v", got)
	}
}
