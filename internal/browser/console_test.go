package browser

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	testKey      = "1a2b3c4d5e6f"
	testPassword = "correct horse"
)

// serve starts a DTLS server with a console, and opens that.
func serve(t *testing.T) (s *server, p *page, address string) {
	t.Helper()
	s = start(t, "serve", "--listen", "127.0.0.1:0", "--psk", testKey, "--console", "127.0.0.1:0")
	login := s.wait("console", nil).text("login")
	address = s.wait("listening", nil).text("address")
	p = open(t, login)
	p.live()
	return s, p, address
}

// peer connects to a server and stays there.
type peer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

func connect(t *testing.T, address, identity string) *peer {
	t.Helper()
	p := &peer{cmd: exec.Command(program, "connect", address, "--psk", testKey, "--psk-identity", identity)}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.in.Close()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

func (p *peer) say(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(p.in, text+"\n"); err != nil {
		t.Fatal(err)
	}
}

// lines is how many lines of the log fit a selector.
func lines(selector string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#log-lines li")].filter((l) => l.matches(%q)).length`, selector)
}

// Names and passwords log in, a walk turns the rainbow, and after logout nothing is seen.
func TestWalk(t *testing.T) {
	if browser == nil {
		t.Skip(missing)
	}
	lab := filepath.Join(t.TempDir(), "lab")
	gdtls(t, "", "jwt", "keygen", lab, "--group", "reds,blues")
	gdtls(t, testPassword+"\n", "console", "account", "add", "alice", "--accounts", filepath.Join(lab, "console.toml"))
	s := start(t, "jwt", "serve", "127.0.0.1", "0", lab, "--no-logs", "--console", "127.0.0.1:0")
	url := s.wait("console", nil).text("url")
	address := s.wait("jwt_listening", nil).text("address")
	p := open(t, url)
	p.until("the page asks for a login", `location.pathname === "/login"`)
	p.do(chromedp.WaitVisible("#username"))
	p.theme("light")
	p.screenshot("login")
	logIn := func(password string) {
		p.empty("#username")
		p.empty("#password")
		p.do(chromedp.SendKeys("#username", "alice"), chromedp.SendKeys("#password", password+kb.Enter))
	}
	logIn("wrong horse")
	p.until("a wrong password is told", `document.getElementById("problem").textContent.includes("not right")`)
	p.axe("login")
	logIn(testPassword)
	p.live()
	p.until("the name is shown", `document.getElementById("viewer").textContent === "alice"`)
	const on = `document.querySelectorAll('[data-group="REDS"] [data-member="2"] .on').length`
	p.until("the groups are shown", `document.querySelectorAll('[data-group="REDS"] .member').length === 3`)
	if n := eval[int](p, on); n != 0 {
		t.Errorf("%d states are reached before the walk", n)
	}
	gdtls(t, "", "jwt", "walk", address, "--dir", lab, "--group", "reds", "--registration", "2")
	p.until("the rainbow is full", on+` === 7`)
	if got := eval[string](p, `document.querySelector('[data-group="REDS"] [data-member="2"] .rainbow').getAttribute("aria-label")`); !strings.Contains(got, "7 of 7 states") {
		t.Errorf("a screen reader says %q", got)
	}
	if n := eval[int](p, `document.querySelectorAll('[data-group="BLUES"] .on').length`); n != 0 {
		t.Errorf("%d states of a group that did not walk", n)
	}
	p.do(chromedp.Reload())
	p.live()
	p.until("it is still there", on+` === 7`)
	p.until("the log has the walk", lines(`[data-level="message"]`)+` >= 7`)

	p.do(chromedp.Click("#logout"))
	p.until("after logout there is the login", `location.pathname === "/login"`)
	p.do(chromedp.Navigate(url))
	p.until("and nothing else", `location.pathname === "/login"`)
}

// The log can be filtered, paused and read in detail, by keyboard too.
func TestLog(t *testing.T) {
	_, p, address := serve(t)
	alice, bob := connect(t, address, "alice"), connect(t, address, "bob")
	alice.say(t, "first of alice")
	bob.say(t, "first of bob")
	p.until("both have said something", lines(`[data-level="message"]`)+` === 2`)
	p.do(chromedp.SendKeys("#log-text", "of alice"))
	p.until("one line is left", lines(`*`)+` === 1`)
	p.until("the note tells of it", `/^1 of \d+ events$/.test(document.getElementById("log-note").textContent)`)
	p.empty("#log-text")
	p.until("all are back", lines(`[data-level="message"]`)+` === 2`)
	p.do(chromedp.Focus(`[name="message"]`), chromedp.KeyEvent(" "))
	p.until("messages are hidden", lines(`[data-level="message"]`)+` === 0 && `+lines(`[data-level="info"]`)+` > 0`)
	p.do(chromedp.KeyEvent(" "))
	p.until("messages are shown", lines(`[data-level="message"]`)+` === 2`)
	port := eval[string](p, `[...document.querySelectorAll("#log-lines li")].find((l) => l.textContent.includes("of bob")).querySelector(".peer").textContent.split(":").at(-1)`)
	p.do(chromedp.SendKeys("#log-peer", ":"+port))
	p.until("only bob is shown", lines(`*`)+` > 0 && [...document.querySelectorAll("#log-lines .peer")].every((e) => e.textContent.endsWith(":`+port+`"))`)
	p.empty("#log-peer")
	p.until("all are back", lines(`[data-level="message"]`)+` === 2`)

	p.do(chromedp.Click("#log-pause"))
	before := eval[int](p, lines(`*`))
	alice.say(t, "said in the pause")
	p.until("the note tells of the pause", `document.getElementById("log-note").textContent.includes("paused, 1 new event")`)
	if n := eval[int](p, lines(`*`)); n != before {
		t.Errorf("%d lines in the pause, %d before", n, before)
	}
	p.do(chromedp.Click("#log-pause"))
	p.until("what was said in the pause is shown", `document.getElementById("log-lines").textContent.includes("said in the pause")`)
	p.do(chromedp.Click(`#log-lines li:last-child .more`))
	p.until("the details are shown", `document.querySelector("#log-lines li:last-child .fields").textContent.includes("said in the pause")`)
	p.do(chromedp.KeyEvent(" "))
	p.until("and hidden", `!document.querySelector("#log-lines .fields")`)
	p.until("a screen reader is told", `/new event/.test(document.getElementById("announce").textContent)`)
}

// A peer is shown with what it has sent, can be found, and is closed by a button, after a
// question.
func TestPeers(t *testing.T) {
	s, p, address := serve(t)
	alice, bob := connect(t, address, "alice"), connect(t, address, "bob")
	alice.say(t, strings.Repeat("x", 100))
	bob.say(t, "hello")
	rows := `[...document.querySelectorAll("#peers-rows tr")].map((r) => r.textContent)`
	p.until("both are connected", rows+`.filter((r) => r.includes("connected") && r.includes("GCM")).length === 2`)
	p.until("bytes are counted", rows+`.some((r) => r.includes("alice") && r.includes("100 B"))`)
	p.screenshot("peers")
	p.do(chromedp.SendKeys("#peers-filter", "ALICE"))
	p.until("one is left", rows+`.length === 1`)
	p.until("the note tells of it", `document.getElementById("peers-note").textContent === "1 of 2 peers"`)

	p.do(chromedp.Click("#peers-rows button"))
	p.until("there is a question", `document.getElementById("close-dialog").open`)
	p.axe("question")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.until("the question is gone", `!document.getElementById("close-dialog").open`)
	p.do(chromedp.Focus("#peers-rows button"), chromedp.KeyEvent(kb.Enter))
	p.until("there is a question", `document.getElementById("close-dialog").open`)
	p.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	closed := s.wait("closed", nil)
	if closed.text("reason") != "the server closed the connection" || closed["clean"] != true {
		t.Errorf("%v", closed)
	}
	p.until("nobody is left", rows+`.length === 0`)
	p.until("bob is not touched", `document.getElementById("peers-note").textContent === "0 of 1 peer"`)
	p.until("the log tells who did it", `document.getElementById("log-lines").textContent.includes("console closes the connection")`)
}

// proxy stands between a browser and a server, and can be cut.
type proxy struct {
	address string
	to      string

	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	p := &proxy{address: "127.0.0.1:0", to: to}
	p.join(t)
	t.Cleanup(p.cut)
	return p
}

// join lets connections through.
func (p *proxy) join(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.address = l, l.Addr().String()
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", p.to)
			if err != nil {
				_ = from.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, from, to)
			p.mu.Unlock()
			for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
				}()
			}
		}
	}()
}

// cut ends all connections, and lets none through any more.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

// A page that has lost its connection says so, finds the server again, and shows what it
// has missed, or how much of it.
func TestLostConnection(t *testing.T) {
	s := start(t, "serve", "--listen", "127.0.0.1:0", "--psk", testKey, "--reply", "none", "--console", "127.0.0.1:0")
	login := s.wait("console", nil).text("login")
	address := s.wait("listening", nil).text("address")
	host, rest, _ := strings.Cut(strings.TrimPrefix(login, "http://"), "/")
	between := newProxy(t, host)
	p := open(t, "http://"+between.address+"/"+rest)
	p.live()
	alice := connect(t, address, "alice")
	alice.say(t, "before")
	p.until("the page is up to date", lines(`[data-level="message"]`)+` === 1`)

	between.cut()
	p.until("the loss is shown", `document.getElementById("link").dataset.state !== "live"`)
	alice.say(t, "meanwhile")
	s.wait("datagram", func(e event) bool { return e.text("text") == "meanwhile" })
	between.join(t)
	p.live()
	p.until("it has caught up", lines(`[data-level="message"]`)+` === 2 && document.getElementById("log-lines").textContent.includes("meanwhile")`)
	if !eval[bool](p, `document.getElementById("log-dropped").hidden`) {
		t.Error("events were lost")
	}

	between.cut()
	p.until("the loss is shown", `document.getElementById("link").dataset.state !== "live"`)
	for s.count("datagram") < 11_000 { // more than the server keeps
		gdtls(t, "", "connect", address, "--psk", testKey, "--psk-identity", "flood", "--count", "4000", "--size", "20", "--interval", "0s", "--wait", "300ms")
	}
	between.join(t)
	p.live()
	p.until("the loss of events is told", `/^[\d,]+ events were lost/.test(document.getElementById("log-dropped").textContent)`)
	p.until("the end is there", `document.getElementById("log-lines").lastElementChild.textContent.includes("closed")`)
}

// A page survives the restart of a server that keeps its logins, and begins anew with what
// that one tells.
func TestRestart(t *testing.T) {
	if browser == nil {
		t.Skip(missing)
	}
	lab := filepath.Join(t.TempDir(), "lab")
	gdtls(t, "", "jwt", "keygen", lab, "--group", "reds")
	gdtls(t, testPassword+"\n", "console", "account", "add", "alice", "--store", "sqlite:"+filepath.Join(lab, "store", "gdtls.sqlite"))
	serve := func(at string) (s *server, url string) {
		s = start(t, "jwt", "serve", "127.0.0.1", "0", lab, "--no-logs", "--console", at)
		return s, s.wait("console", nil).text("url")
	}
	s, url := serve("127.0.0.1:0")
	p := open(t, url)
	p.do(chromedp.WaitVisible("#username"), chromedp.SendKeys("#username", "alice"), chromedp.SendKeys("#password", testPassword+kb.Enter))
	p.live()
	gdtls(t, "", "jwt", "walk", s.wait("jwt_listening", nil).text("address"), "--dir", lab, "--group", "reds")
	p.until("the log has the walk", lines(`[data-level="message"]`)+` === 7`)
	s.stop()
	p.until("the loss is shown", `document.getElementById("link").dataset.state !== "live"`)
	serve(strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"))
	p.live()
	p.until("the log begins anew", lines(`[data-level="message"]`)+` === 0 && `+lines(`[data-level="info"]`)+` > 0`)
	p.until("the walk is not forgotten", `document.querySelector('[data-group="REDS"] .member.full')`)
}
