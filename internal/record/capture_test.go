package record

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// recordCaptures lets s_client and s_server talk through a relay, once for each
// suite, and writes what the relay saw together with the client's key log.
func recordCaptures(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl program in the path to record with: ", err)
	}
	version, err := exec.Command("openssl", "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := captures{Program: strings.TrimSpace(string(version))}
	identity := writeIdentity(t)
	for _, suite := range opensslSuites {
		all.Conversations = append(all.Conversations, capture(t, identity, suite.name))
	}
	text, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(capturesFile), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(capturesFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeIdentity makes a key and a self-signed certificate and returns the name
// of a PEM file with both.
func writeIdentity(t *testing.T) string {
	t.Helper()
	key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err2 := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	private, err3 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})...)
	name := filepath.Join(t.TempDir(), "identity.pem")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// capture records one conversation: handshake, a text each way, close_notify.
func capture(t *testing.T, identity, suite string) conversation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	free, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	address := free.LocalAddr().String()
	free.Close()

	// CCM_8 is below OpenSSL's default security level.
	ciphers := suite + ":@SECLEVEL=0"
	keylog := filepath.Join(t.TempDir(), "keys")
	server := startProgram(ctx, t, "s_server", "-dtls1_2", "-accept", address, "-cert", identity, "-key", identity, "-cipher", ciphers)
	server.waitFor(ctx, t, "ACCEPT")
	relay := startRelay(ctx, t, address)
	client := startProgram(ctx, t, "s_client", "-dtls1_2", "-connect", relay.address(), "-cipher", ciphers, "-keylogfile", keylog)

	io.WriteString(client.stdin, clientText)
	io.WriteString(server.stdin, serverText)
	server.waitFor(ctx, t, strings.TrimSpace(clientText))
	client.waitFor(ctx, t, strings.TrimSpace(serverText))
	client.stdin.Close() // the client says close_notify and ends
	relay.waitForAlerts(ctx, t)

	c := relay.conversation(t)
	c.Suite = suite
	text, err := os.ReadFile(keylog)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == "CLIENT_RANDOM" && words[1] == hex.EncodeToString(c.ClientRandom) {
			c.MasterSecret = unhex(t, words[2])
		}
	}
	if c.MasterSecret == nil {
		t.Fatalf("%s: no master secret in the key log:\n%s", suite, text)
	}
	return c
}

// program is a running openssl command.
type program struct {
	name  string
	stdin io.WriteCloser
	lines chan string
}

// startProgram runs an openssl command that is killed when ctx or the test ends.
func startProgram(ctx context.Context, t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	command := exec.CommandContext(ctx, "openssl", args...)
	stdin, err1 := command.StdinPipe()
	stdout, err2 := command.StdoutPipe()
	command.Stderr = command.Stdout
	if err := errors.Join(err1, err2, command.Start()); err != nil {
		t.Fatal(err)
	}
	p := &program{name: args[0], stdin: stdin, lines: make(chan string, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		command.Wait()
	})
	return p
}

// waitFor waits for a line with this text.
func (p *program) waitFor(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	var before []string
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("%s ended before it said %q:\n%s", p.name, text, strings.Join(before, "\n"))
			}
			if strings.Contains(line, text) {
				return
			}
			before = append(before, line)
		case <-ctx.Done():
			t.Fatalf("%s did not say %q:\n%s", p.name, text, strings.Join(before, "\n"))
		}
	}
}

// relay passes datagrams between a client and a server and keeps them.
type relay struct {
	front, back *net.UDPConn
	alerts      chan struct{} // one for each protected alert

	mu             sync.Mutex
	client, server [][]byte // guarded by mu
}

func startRelay(ctx context.Context, t *testing.T, server string) *relay {
	t.Helper()
	front, err1 := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	back, err2 := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(server)))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	r := &relay{front: front, back: back, alerts: make(chan struct{}, 100)}
	peer := make(chan netip.AddrPort, 1)
	var running sync.WaitGroup
	running.Go(func() {
		buffer := make([]byte, 1<<16)
		known := false
		for {
			n, from, err := front.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			if !known {
				peer <- from
				known = true
			}
			r.keep(&r.client, buffer[:n])
			back.Write(buffer[:n])
		}
	})
	running.Go(func() {
		var to netip.AddrPort
		select {
		case to = <-peer:
		case <-ctx.Done():
			return
		}
		buffer := make([]byte, 1<<16)
		for {
			n, err := back.Read(buffer)
			if err != nil {
				return
			}
			r.keep(&r.server, buffer[:n])
			front.WriteToUDPAddrPort(buffer[:n], to)
		}
	})
	t.Cleanup(func() {
		front.Close()
		back.Close()
		running.Wait()
	})
	return r
}

func (r *relay) address() string { return r.front.LocalAddr().String() }

// keep splits a datagram into its records and keeps them.
func (r *relay) keep(list *[][]byte, datagram []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for rest := bytes.Clone(datagram); ; {
		rec, after, ok := Next(rest)
		if !ok {
			return
		}
		*list = append(*list, rec.Raw)
		if rec.Epoch > 0 && rec.Type == TypeAlert {
			r.alerts <- struct{}{}
		}
		rest = after
	}
}

// waitForAlerts waits until both sides have said close_notify.
func (r *relay) waitForAlerts(ctx context.Context, t *testing.T) {
	t.Helper()
	for range 2 {
		select {
		case <-r.alerts:
		case <-ctx.Done():
			t.Fatal("no close_notify")
		}
	}
}

// conversation sorts what was kept: the hellos' randoms, and the protected
// records.
func (r *relay) conversation(t *testing.T) (c conversation) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	sort := func(list [][]byte, hello byte) (random hexBytes, records []hexBytes) {
		for _, raw := range list {
			rec, _, _ := Next(raw)
			fragment := rec.Fragment()
			switch {
			case rec.Epoch > 0:
				records = append(records, raw)
			case rec.Type == TypeHandshake && len(fragment) > 46 && fragment[0] == hello:
				// Behind the message's header of 12 bytes and the version.
				random = fragment[14:46]
			}
		}
		if random == nil || len(records) < 3 {
			t.Fatal(fmt.Errorf("incomplete conversation: %x", list))
		}
		return random, records
	}
	c.ClientRandom, c.Client = sort(r.client, 1)
	c.ServerRandom, c.Server = sort(r.server, 2)
	return c
}
