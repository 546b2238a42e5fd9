// Pion3 is a peer with the Conn of github.com/pion/dtls/v3: a client or a server that
// the tests of gdtls play with. It is spoken to as testdata/peer.h tells.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

// patience bounds a handshake.
const patience = 15 * time.Second

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println("pion", version())
		return
	}
	p, err := newPeer(os.Args[1:])
	if err == nil {
		go p.readInput()
		if p.server {
			err = p.serve()
		} else {
			err = p.connect()
		}
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == "github.com/pion/dtls/v3" {
				return dependency.Version
			}
		}
	}
	return "v3"
}

// peer is one side of one connection after another.
type peer struct {
	*options
	input chan string // lines, with their ends
}

// readInput ends the program with its input.
func (p *peer) readInput() {
	for in := bufio.NewReader(os.Stdin); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			os.Exit(0)
		}
		p.input <- line
	}
}

func (p *peer) serve() error {
	listener, err := dtls.ListenWithOptions("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, p.serverOptions()...)
	if err != nil {
		return err
	}
	fmt.Println("listening", listener.Addr().(*net.UDPAddr).Port)
	for {
		c, err := listener.Accept()
		if err != nil {
			return err
		}
		p.converse(c.(*dtls.Conn))
	}
}

func (p *peer) connect() error {
	for again := true; again; {
		c, err := dtls.DialWithOptions("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p.port}, p.clientOptions()...)
		if err != nil {
			return err
		}
		again = p.converse(c)
	}
	return nil
}

// converse plays one connection. It tells whether another one is asked for.
func (p *peer) converse(c *dtls.Conn) (again bool) {
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	err := c.HandshakeContext(ctx)
	cancel()
	if err != nil {
		explain(err)
		return false
	}
	state, _ := c.ConnectionState()
	p.report(&state)
	fmt.Println("established")
	ended := make(chan error, 1)
	go func() { ended <- receive(c) }()
	for {
		select {
		case err := <-ended:
			if !errors.Is(err, io.EOF) {
				explain(err)
			} else {
				fmt.Println("closed")
			}
			return false
		case line := <-p.input:
			if line == "close\n" || line == "resume\n" {
				return line == "resume\n"
			}
			if _, err := io.WriteString(c, line); err != nil {
				fmt.Println("failed:", err)
			}
		}
	}
}

func receive(c *dtls.Conn) error {
	buffer := make([]byte, 1<<14)
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return err
		}
		fmt.Printf("received %s", buffer[:n])
	}
}

// explain tells which alert has ended a connection: pion has it in its text only.
func explain(err error) {
	for d := range 256 {
		a := alert.Alert{Level: alert.Fatal, Description: alert.Description(d)}
		if strings.HasSuffix(err.Error(), a.String()) {
			fmt.Println("alert", d)
		}
	}
	fmt.Println("failed:", err)
}
