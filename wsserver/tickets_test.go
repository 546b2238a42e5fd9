package wsserver

import (
	"strings"
	"testing"
	"time"
)

func TestTicket(t *testing.T) {
	s := newSite(t, func(c *LoginConfig) { c.Accounts = nil })
	ticket, err := s.login.NewTicket("console")
	if err != nil {
		t.Fatal(err)
	}
	if len(ticket) != 22 || !isID(ticket, 22) {
		t.Errorf("ticket %q", ticket)
	}
	for _, wrong := range []string{"", "x", ticket + "x", ticket[1:]} {
		if answer, _ := s.post(t, "/login/once", `{"ticket":"`+wrong+`"}`, nil); answer.StatusCode != 401 {
			t.Errorf("ticket %q: %v", wrong, answer.Status)
		}
	}
	answer, body := s.post(t, "/login/once", `{"ticket":"`+ticket+`"}`, nil)
	g, _ := s.granted(t, answer, body)
	if who, err := s.bearer.Verify(g.Token); err != nil || who.Name != "console" || who.Method != MethodTicket {
		t.Errorf("it lets in %+v, %v", who, err)
	}
	if answer, _ := s.post(t, "/login/once", `{"ticket":"`+ticket+`"}`, nil); answer.StatusCode != 401 {
		t.Errorf("a second time: %v", answer.Status)
	}
	if answer, _ := s.post(t, "/login", credentials("ada", adasPassword), nil); answer.StatusCode != 401 {
		t.Errorf("a password where there are no accounts: %v", answer.Status)
	}
	if _, err := s.login.NewTicket(""); err == nil {
		t.Error("a ticket for nobody")
	}
	if strings.Contains(s.log.String(), ticket) {
		t.Errorf("the log has the ticket:\n%s", s.log.String())
	}
}

func TestTickets(t *testing.T) {
	var tickets tickets
	now := time.Unix(1000, 0)
	a := tickets.add("ada", now, time.Minute)
	if name, ok := tickets.use(a, now.Add(time.Minute)); ok {
		t.Errorf("an expired one lets in %q", name)
	}
	if _, ok := tickets.use(a, now); ok {
		t.Error("what was tried late is good again")
	}
	first := tickets.add("first", now, time.Minute)
	var last string
	for range maxTickets {
		last = tickets.add("ada", now.Add(time.Second), time.Minute)
	}
	if len(tickets.owner) != maxTickets {
		t.Errorf("%d tickets", len(tickets.owner))
	}
	if _, ok := tickets.use(first, now); ok {
		t.Error("the oldest is not the one that goes")
	}
	if name, ok := tickets.use(last, now); !ok || name != "ada" {
		t.Errorf("the newest: %q, %v", name, ok)
	}
}
