//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/datagram"
	"gdtls/jwtproto"
)

// node is a server in a process of its own.
type node struct {
	process *exec.Cmd
	address datagram.Address
	told    sync.WaitGroup
	log     bytes.Buffer
}

// startNode starts a server at a port, 0 for a free one, and waits until it listens.
func startNode(t *testing.T, dir, store string, port int) *node {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{process: exec.Command(program, "--json", "jwt", "serve", "127.0.0.1", strconv.Itoa(port), dir, "--store", store, "--no-logs", "--transport", "udp", "--checks-per-second=-1")}
	n.process.Stderr = &n.log
	out, err := n.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		if e := parseEvent(t, scanner.Text()); e.name() == "jwt_listening" {
			address, err := net.ResolveUDPAddr("udp", fmt.Sprint(e["address"]))
			if err != nil {
				t.Fatal(err)
			}
			n.address = datagram.AddressFromNet(address)
			n.told.Go(func() { _, _ = io.Copy(io.Discard, out) })
			return n
		}
	}
	n.kill()
	t.Fatalf("a server ended: %s", &n.log)
	return nil
}

// kill ends the process as the loss of its machine would.
func (n *node) kill() {
	_ = n.process.Process.Kill() // it may have ended
	n.told.Wait()
	_ = n.process.Wait()
}

// spread sends each datagram to a server that is chosen at random, and some to another
// one, too. It keeps all acknowledgements.
type spread struct {
	datagram.DatagramBased
	servers []datagram.Address

	mu     sync.Mutex
	random *rand.Rand
	told   map[string]int // next_number by id_request
	count  *atomic.Int64  // of acknowledgements, of all
	wrong  error
}

// newSpread makes one with a socket of its own.
func newSpread(t *testing.T, servers []datagram.Address, seed uint64, count *atomic.Int64) *spread {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := datagram.New(packets)
	t.Cleanup(func() { base.Close() })
	return &spread{DatagramBased: base, servers: servers, random: rand.New(rand.NewPCG(1, seed)), told: map[string]int{}, count: count}
}

// clientOf is the first of the three members of a group of a lab folder.
func clientOf(t *testing.T, dir, group string, secret []byte) *jwtproto.Client {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, jwtproto.ClientsFolder, strings.ToLower(group)+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwtproto.ParsePrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	return &jwtproto.Client{Group: group, Registration: 1, Members: 3, Key: key, Secret: secret}
}

func (s *spread) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	s.mu.Lock()
	var twice []datagram.OutputMessage
	for i := range messages {
		order := s.random.Perm(len(s.servers))
		messages[i].Address = s.servers[order[0]]
		if s.random.IntN(3) == 0 {
			again := messages[i]
			again.Address = s.servers[order[1]]
			twice = append(twice, again)
		}
	}
	s.mu.Unlock()
	if len(twice) > 0 {
		if _, err := s.DatagramBased.SendMessages(ctx, twice, flags, timeout); err != nil {
			return 0, err
		}
	}
	return s.DatagramBased.SendMessages(ctx, messages, flags, timeout)
}

func (s *spread) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	n, err := s.DatagramBased.ReceiveMessages(ctx, messages, flags, timeout)
	for i := range messages[:n] {
		s.keep(messages[i].Vectors[0][:messages[i].BytesReceived])
	}
	return n, err
}

// keep compares an acknowledgement with earlier ones of the same request.
func (s *spread) keep(token []byte) {
	var claims struct {
		ID   string `json:"id_request"`
		Next *int   `json:"next_number"`
	}
	parts := strings.Split(string(token), ".")
	if len(parts) != 3 {
		return
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Next == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, ok := s.told[claims.ID]; ok && before != *claims.Next {
		s.wrong = fmt.Errorf("request %s was acknowledged with %d and with %d", claims.ID, before, *claims.Next)
	}
	s.told[claims.ID] = *claims.Next
	s.count.Add(1)
}
