package browser

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// theme makes the browser one of a person who likes light or dark pages.
func (p *page) theme(name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: name},
		{Name: "prefers-reduced-motion", Value: "reduce"}, // so that nothing is caught half-way
	}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// screenshot keeps what the page looks like in the folder of GDTLS_SCREENSHOTS.
func (p *page) screenshot(name string) {
	p.t.Helper()
	folder := os.Getenv("GDTLS_SCREENSHOTS")
	if folder == "" {
		folder = p.t.TempDir()
	}
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644)); err != nil {
		p.t.Fatal(err)
	}
}

// finding is a rule of axe that a page violates.
type finding struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// axeScript is what npm ci gets.
var axeScript = filepath.Join("node_modules", "axe-core", "axe.min.js")

// TestAxe tells whether the other tests can look for what axe knows.
func TestAxe(t *testing.T) {
	if _, err := os.Stat(axeScript); err != nil {
		t.Skip("needs axe-core: npm ci in internal/browser gets it")
	}
}

// axe looks for what people with disabilities could not use. What is serious or critical
// fails the test, the rest is told. Without axe-core it does nothing, of which TestAxe
// tells.
func (p *page) axe(what string) {
	p.t.Helper()
	script, err := os.ReadFile(axeScript)
	if err != nil {
		return
	}
	p.do(chromedp.Evaluate[chromedp.Void](string(script)))
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatal(err)
	}
	var findings []finding
	if err := json.Unmarshal([]byte(text), &findings); err != nil {
		p.t.Fatal(err)
	}
	for _, f := range findings {
		var where []string
		for _, n := range f.Nodes {
			where = append(where, n.HTML+"\n"+n.Summary)
		}
		text := what + ": " + f.Impact + ": " + f.ID + ": " + f.Help + "\n" + strings.Join(where, "\n")
		if f.Impact == "serious" || f.Impact == "critical" {
			p.t.Error(text)
		} else {
			p.t.Log(text)
		}
	}
}

// The console of a demonstration, as people see it: the link that is printed logs in,
// once; both themes and a phone look as they should, and can be used by all.
func TestLooks(t *testing.T) {
	s := start(t, "demo")
	login := s.wait("console", nil).text("login")
	p := open(t, login)
	p.live()
	s.wait("demo", nil)
	p.until("a group has walked", `document.querySelector(".member.full")`)
	p.until("the log has the peers' messages", `document.querySelectorAll('#log-lines li[data-level="message"]').length > 3`)
	p.until("the charts are drawn", `document.querySelector(".chart path.line")?.getAttribute("d")`)
	if got := eval[string](p, `location.pathname + location.hash`); got != "/" {
		t.Errorf("the page is at %s", got)
	}
	for _, theme := range []string{"light", "dark"} {
		p.theme(theme)
		p.do(chromedp.EmulateViewport(1440, 1000))
		p.screenshot("console-" + theme)
		p.axe(theme)
		p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile))
		if eval[bool](p, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("%s: the page is wider than a phone", theme)
		}
		p.screenshot("phone-" + theme)
		p.axe("phone, " + theme)
	}

	again := open(t, login)
	again.until("the link is not good twice", `document.getElementById("problem")?.textContent.includes("has been used")`)
	again.screenshot("login-link")
	again.axe("login by link")
	again.do(chromedp.Click("#link"))
	link := s.wait("console", func(e event) bool { return e.text("login") != login }).text("login")
	again.do(chromedp.Navigate("about:blank"), chromedp.Navigate(link))
	again.live()
	again = open(t, login)
	again.do(chromedp.Navigate(login[:strings.Index(login, "login")]))
	again.until("a page without login leads to it", `location.pathname === "/login"`)
}

// The button for the theme overrules what the browser is told, and is remembered.
func TestThemes(t *testing.T) {
	s := start(t, "serve", "--listen", "127.0.0.1:0", "--psk", "1a2b3c4d", "--console", "127.0.0.1:0")
	p := open(t, s.wait("console", nil).text("login"))
	p.live()
	p.theme("light")
	ground := func() string { return eval[string](p, `getComputedStyle(document.body).backgroundColor`) }
	light := ground()
	p.do(chromedp.Click("#theme"), chromedp.Click("#theme")) // light, dark
	if ground() == light {
		t.Error("the page is not dark")
	}
	p.do(chromedp.Reload())
	p.live()
	if ground() == light || eval[string](p, `document.getElementById("theme").textContent`) != "Theme: dark" {
		t.Error("the theme is forgotten")
	}
	p.do(chromedp.Click("#theme")) // auto
	if ground() != light {
		t.Error("the page is not what the browser is told")
	}
}
