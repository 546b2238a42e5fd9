package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK     = 0 // what was asked for happened
	exitFailed = 1
	exitUsage  = 2 // the command line was wrong
)

// grammar is the command line.
type grammar struct {
	JSON     bool   `name:"json" help:"Print events for programs: one JSON object a line."`
	LogLevel string `enum:"debug,info,warn,error" default:"warn" placeholder:"LEVEL" help:"What is logged on standard error: debug, info, warn (the default) or error."`

	Demo    demoCommand    `cmd:"" help:"Show DTLS conversations and walks of the JWT protocol on this machine."`
	Serve   serveCommand   `cmd:"" help:"Serve DTLS to any number of peers."`
	Connect connectCommand `cmd:"" help:"Connect to a DTLS server, send to it and print what it answers."`
	Console consoleCommand `cmd:"" help:"Show in a page what a program tells of itself, and say who may log in there."`
	JWT     jwtCommand     `cmd:"" name:"jwt" help:"Serve and speak the JWT state-machine protocol."`
	Cert    certCommand    `cmd:"" help:"Make, show and verify certificates."`
	Bench   benchCommand   `cmd:"" help:"Measure speed and memory beside others."`
}

// environment is what a command works with.
type environment struct {
	ctx context.Context // ends by Ctrl-C
	in  *lines
	// terminal is standard input if a person types there; nil otherwise.
	terminal *os.File
	out      *output
	log      *slog.Logger
}

// run is the program: it reads the command line, runs the command and gives the
// exit code. When ctx ends, the command ends cleanly.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	var g grammar
	type exited int
	defer func() { // kong ends the process for --help
		if e := recover(); e != nil {
			status, ok := e.(exited)
			if !ok {
				panic(e)
			}
			code = int(status)
		}
	}()
	parser, err := kong.New(&g,
		kong.Name("gdtls"),
		kong.Description("DTLS 1.2 with the objects of Gio, on the command line."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		panic(err) // the grammar itself is wrong
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		out := newOutput(stdout, stderr, slices.Contains(args, "--json"))
		out.fail(usageError{explainParse(err)})
		return exitUsage
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(g.LogLevel)) // the grammar allows only right ones
	env := &environment{
		ctx: ctx,
		in:  newLines(stdin),
		out: newOutput(stdout, stderr, g.JSON),
		log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
	}
	if file, ok := stdin.(*os.File); ok && env.in.person {
		env.terminal = file
	}
	err = parsed.Run(env)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		env.out.fail(err)
		return exitUsage
	case !errors.Is(err, errReported):
		env.out.fail(err)
	}
	return exitFailed
}

// errReported is the error of a command that has told what was wrong.
var errReported = errors.New("reported")

// usageError is a wrong command line.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// explainParse makes a sentence of what kong says, and adds where help is.
func explainParse(err error) string {
	command := "gdtls"
	var failure *kong.ParseError
	if errors.As(err, &failure) && failure.Context != nil && failure.Context.Selected() != nil {
		command = failure.Context.Selected().FullPath()
	}
	return fmt.Sprintf("%v (%s --help tells more)", err, command)
}
