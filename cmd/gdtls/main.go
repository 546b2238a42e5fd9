// Command gdtls talks DTLS from the command line: a server for many peers, a
// client, a demonstration of both, certificates for trying them, and measurements.
//
//	gdtls demo [--once] [--data DIR]
//	gdtls serve --listen ADDR:PORT
//	gdtls connect ADDR:PORT
//	gdtls jwt serve|walk|keygen|status|history|export|secret
//	gdtls console [account add|remove|list]
//	gdtls cert new|show|verify
//	gdtls bench throughput|handshake|idle|jwt
//
// Every command prints for people, or with --json one JSON object a line for
// programs. It exits with 0 only if what was asked for happened, with 2 if the
// command line was wrong, and with 1 otherwise.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
