package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"golang.org/x/term"

	"gdtls/cmd/gdtls/internal/console"
	"gdtls/wsserver"
)

// consoleCommand is "gdtls console".
type consoleCommand struct {
	Watch   consoleWatch   `cmd:"" default:"withargs" help:"Show events that come in on standard input, as of gdtls serve --json. (the default)"`
	Account accountCommand `cmd:"" help:"Say who may log in."`
}

// consoleWatch is "gdtls console watch": a console for a program that has none of its own.
type consoleWatch struct{ consoleFlags }

// Help tells how it is used.
func (*consoleWatch) Help() string {
	return "gdtls serve --json | gdtls console. The servers and the demonstration show more by a console of their own (--console): counters of each peer, and a button that closes it."
}

// Run shows events until Ctrl-C, also when no more come.
func (c *consoleWatch) Run(env *environment) error {
	if c.Console == "" {
		c.Console = "127.0.0.1:0"
	}
	if err := c.check(); err != nil {
		return err
	}
	told := newToldWatch()
	view, err := c.openWith(env, env.out, console.Config{Title: "gdtls console", Source: told.source(), Events: told.hub}, "")
	if err != nil {
		return err
	}
	defer view.close()
	view.tell(env.out)
	for {
		line, err := env.in.line(env.ctx)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("cannot read events from standard input: %w", err)
		}
		if err != nil {
			break
		}
		told.take(line)
	}
	if env.ctx.Err() == nil {
		told.hub.Publish(console.Event{Level: console.Warning, Kind: "end", Text: "no more events will come: the program that tells them has ended"})
		<-env.ctx.Done()
	}
	return nil
}

// accountCommand is "gdtls console account".
type accountCommand struct {
	Add    accountAdd    `cmd:"" help:"Add an account, or change its password, which is read from standard input."`
	Remove accountRemove `cmd:"" help:"Take an account away."`
	List   accountList   `cmd:"" help:"Show the names."`
}

// accountsFlags say where the accounts are.
type accountsFlags struct {
	Accounts string `default:"console.toml" placeholder:"FILE" help:"File with the accounts. (default: ${default}; in the lab folder, gdtls jwt serve finds it by itself)"`
	Store    string `placeholder:"STORE" help:"Keep them in this store of gdtls jwt serve, and not in a file."`
}

// use opens the file or the store for as long as f runs. A file may be missing.
func (a *accountsFlags) use(env *environment, f func(keeper accountKeeper, where string) error) (err error) {
	if a.Store == "" {
		known, err := openAccounts(a.Accounts)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return f(known, a.Accounts)
	}
	address, err := parseStore(a.Store)
	if err != nil {
		return err
	}
	store, err := address.open(env.ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	keeper, ok := store.(accountKeeper)
	if !ok {
		return usagef("the store %s has no accounts; --store names one that has", address)
	}
	return f(keeper, address.String())
}

type (
	accountAdd struct {
		Name string `arg:"" help:"Name to log in by."`
		accountsFlags
	}
	accountRemove struct {
		Name string `arg:"" help:"Name to log in by."`
		accountsFlags
	}
	accountList struct{ accountsFlags }
)

// Run adds the account.
func (a *accountAdd) Run(env *environment) error {
	password, err := newPassword(env, a.Name)
	if err != nil {
		return err
	}
	hash, err := wsserver.HashPassword(password)
	if err != nil {
		return err
	}
	if err := wsserver.CheckAccount(a.Name, hash); err != nil {
		return err
	}
	return a.use(env, func(keeper accountKeeper, where string) error {
		change := "password changed"
		switch old, err := keeper.PasswordHash(env.ctx, a.Name); {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		case old == "":
			change = "added"
		}
		if err := keeper.SetPasswordHash(env.ctx, a.Name, hash); err != nil {
			return err
		}
		env.out.emit(accountChanged{Name: a.Name, Where: where, Change: change})
		return nil
	})
}

// Run takes the account away.
func (a *accountRemove) Run(env *environment) error {
	return a.use(env, func(keeper accountKeeper, where string) error {
		switch there, err := keeper.RemoveAccount(env.ctx, a.Name); {
		case err != nil:
			return err
		case !there:
			return fmt.Errorf("%s has no account %q", where, a.Name)
		}
		env.out.emit(accountChanged{Name: a.Name, Where: where, Change: "removed"})
		return nil
	})
}

// Run lists the names.
func (a *accountList) Run(env *environment) error {
	return a.use(env, func(keeper accountKeeper, _ string) error {
		names, err := keeper.Accounts(env.ctx)
		if err != nil {
			return err
		}
		env.out.emit(accountNames{append([]string{}, names...)})
		return nil
	})
}

// newPassword reads a password: from a person twice, without showing it; from a program a
// line.
func newPassword(env *environment, name string) (string, error) {
	if !env.in.person || env.terminal == nil {
		password, err := env.in.line(env.ctx)
		if errors.Is(err, io.EOF) {
			return "", usagef("the password is wanted as a line of standard input")
		}
		return strings.TrimSuffix(password, "\r"), err
	}
	var typed [2]string
	for i, question := range []string{"Password of " + clean(name) + ": ", "Once more: "} {
		env.out.print(question)
		text, err := term.ReadPassword(int(env.terminal.Fd()))
		env.out.print("\n")
		if err != nil {
			return "", err
		}
		typed[i] = string(text)
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two passwords differ")
	}
	return typed[0], nil
}

// accountChanged: the accounts of a console were changed.
type accountChanged struct {
	Name   string `json:"name"`
	Where  string `json:"where"`  // file or store
	Change string `json:"change"` // "added", "password changed" or "removed"
}

// accountNames: who may log in at a console.
type accountNames struct {
	Names []string `json:"names"`
}

func (accountChanged) name() string { return "account" }
func (accountNames) name() string   { return "accounts" }
