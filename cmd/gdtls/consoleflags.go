package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"gdtls/cmd/gdtls/internal/console"
)

// checkModes tells whether the modes of files say who may read them.
const checkModes = runtime.GOOS != "windows"

// consoleFlags open a console.
type consoleFlags struct {
	Console      string `placeholder:"ADDR:PORT" group:"Console: a page that shows what happens" help:"Show the console here, by HTTP; port 0 takes a free one."`
	Accounts     string `placeholder:"FILE" group:"Console: a page that shows what happens" help:"Who may log in, as gdtls console account add writes it. (default: a one-time link is printed)"`
	TLSCert      string `name:"tls-cert" placeholder:"FILE" group:"Console: a page that shows what happens" help:"PEM file with the certificate for HTTPS, and after it those of its issuers."`
	TLSKey       string `name:"tls-key" placeholder:"FILE" group:"Console: a page that shows what happens" help:"PEM file with its private key. (default: the file of --tls-cert)"`
	ConsolePlain bool   `group:"Console: a page that shows what happens" help:"Allow plain HTTP beyond this machine: whoever is on the way can read passwords."`
}

// openConsole is a console that is served.
type openConsole struct {
	*console.Console
	accounts bool // who has one can log in
	opened   consoleOpened
	follow   func() // ends what follows a store of logins; nil: nothing does
	stop     context.CancelFunc
	served   sync.WaitGroup
}

// check tells what contradicts itself.
func (f *consoleFlags) check() error {
	switch {
	case f.Console == "" && (f.Accounts != "" || f.TLSCert != "" || f.TLSKey != "" || f.ConsolePlain):
		return usagef("--accounts, --tls-cert, --tls-key and --console-plain are for --console, which says where the console is")
	case f.TLSKey != "" && f.TLSCert == "":
		return usagef("--tls-key needs --tls-cert")
	}
	return nil
}

// open opens a console that shows what w sees, if w is not nil; otherwise the result is
// nil. out is where it tells links that log in. folder is where its accounts are if there is no flag for that; empty: nowhere.
func (f *consoleFlags) open(env *environment, out *output, title, folder string, w *watch) (*openConsole, error) {
	if w == nil {
		return nil, nil
	}
	return f.openWith(env, out, console.Config{Title: title, Source: w.source(), Events: w.hub}, folder)
}

// openWith is open for a console that is told already what it shows, and perhaps who may
// log in if no file says so.
func (f *consoleFlags) openWith(env *environment, out *output, config console.Config, folder string) (*openConsole, error) {
	config.Plain, config.Logger = f.ConsolePlain, env.log
	c := &openConsole{}
	config.NewLink = func(link string) { out.emit(consoleOpened{URL: c.opened.URL, Login: link}) }
	if f.TLSCert != "" {
		key := f.TLSKey
		if key == "" {
			key = f.TLSCert
		}
		pair, err := tls.LoadX509KeyPair(f.TLSCert, key)
		if err != nil {
			return nil, fmt.Errorf("certificate of the console: %w", err)
		}
		config.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	path := f.Accounts
	if path == "" && folder != "" {
		if beside := filepath.Join(folder, accountsFile); exists(beside) {
			path = beside
		}
	}
	if path != "" {
		known, err := openAccounts(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w (gdtls console account add NAME --accounts %s makes it)", err, path)
		} else if err != nil {
			return nil, err
		}
		config.Accounts, config.Keys, config.Revocations = known, nil, nil
	}
	c.accounts = config.Accounts != nil
	var err error
	if c.Console, err = console.Listen(env.ctx, f.Console, config); errors.Is(err, console.ErrPlain) {
		return nil, usagef("--console %s can be reached from other machines, and %v: give --tls-cert and --tls-key, or --console-plain if something else protects the way", f.Console, err)
	} else if err != nil {
		return nil, fmt.Errorf("cannot open the console: %w", err)
	}
	c.opened.URL = c.URL()
	if !c.accounts {
		if c.opened.Login, err = c.LoginURL(); err != nil {
			return nil, err
		}
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(env.ctx))
	c.stop = stop
	c.served.Go(func() {
		if err := c.Serve(ctx); err != nil {
			env.log.Error("the console cannot go on", "error", err)
		}
	})
	return c, nil
}

// tell tells where the console is.
func (c *openConsole) tell(out *output) {
	if c != nil {
		out.emit(c.opened)
	}
}

// close ends the console; its viewers are told.
func (c *openConsole) close() {
	if c == nil {
		return
	}
	if c.follow != nil {
		c.follow()
	}
	c.stop()
	c.served.Wait()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// consoleOpened: the console can be reached.
type consoleOpened struct {
	URL string `json:"url"`
	// Login is a link that logs in, once, within ten minutes; empty if there are accounts.
	Login string `json:"login,omitempty"`
}

func (consoleOpened) name() string { return "console" }

// text is for people.
func (e consoleOpened) text() string {
	if e.Login == "" {
		return "the console is at " + e.URL
	}
	return "the console is at " + e.URL + "; this link logs in, once: " + e.Login
}
