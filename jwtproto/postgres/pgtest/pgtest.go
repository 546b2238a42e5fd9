//go:build unix

// Package pgtest runs a PostgreSQL server for tests, from the programs that are installed.
//
// A package with such tests has
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// The server starts with the first test that asks for a database, and ends with Main, or
// with the process however that ends.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// role is the superuser, who needs no password.
	role = "gdtls"
	// patience is how long the server has to start or stop.
	patience = 30 * time.Second
)

// A Server is a PostgreSQL server in a temporary folder, at a port of the loopback
// interface. Safe for concurrent use.
type Server struct {
	// Constant.
	bin    string // the folder of its programs
	folder string
	port   int
	as     *syscall.Credential // nil: as who runs the tests

	databases atomic.Int64 // that were made

	mu      sync.Mutex
	process *exec.Cmd      // guarded by mu; nil: stopped
	life    io.WriteCloser // guarded by mu; see guard
}

// Main runs the tests of a package and ends the server that they share. It gives the exit
// code.
func Main(m *testing.M) int {
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		shared.server.Close()
	}
	return code
}

// shared is the server of all tests of a package.
var shared struct {
	mu     sync.Mutex
	server *Server
	err    error
}

// Shared gives the server that the tests of a package share, running. Without PostgreSQL
// the test is skipped.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = newServer()
	}
	switch {
	case errors.Is(shared.err, exec.ErrNotFound):
		t.Skip("needs PostgreSQL: ", shared.err)
	case shared.err != nil:
		t.Fatal(shared.err)
	}
	if err := shared.server.Start(); err != nil {
		t.Fatal(err)
	}
	return shared.server
}

// Database makes a database in the shared server, which goes with it, and gives its
// address.
func Database(t testing.TB) string {
	t.Helper()
	s := Shared(t)
	name := fmt.Sprint("test", s.databases.Add(1))
	if err := s.execute("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return s.URL(name)
}

// URL is the address of a database.
func (s *Server) URL(database string) string {
	address := url.URL{Scheme: "postgres", User: url.User(role), Host: s.Address(), Path: database}
	return address.String()
}

// Address is where the server listens.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// execute runs a statement by the superuser.
func (s *Server) execute(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, statement)
	return err
}

// newServer makes the folder of a server.
func newServer() (s *Server, err error) {
	s = &Server{}
	if s.bin, err = programs(); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 { // which PostgreSQL refuses to run as
		if s.as, err = unprivileged(); err != nil {
			return nil, err
		}
	}
	if s.folder, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return nil, err
	}
	if s.as != nil {
		if err := os.Chown(s.folder, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return nil, err
		}
	}
	made, err := s.command(filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username", role, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync").CombinedOutput()
	if err != nil {
		os.RemoveAll(s.folder)
		return nil, fmt.Errorf("pgtest: initdb: %w\n%s", err, made)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free now
	if err != nil {
		return nil, err
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	return s, listener.Close()
}

// programs finds the folder of the newest PostgreSQL's programs.
func programs() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // fails for other patterns only
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	if len(found) == 0 {
		return "", fmt.Errorf("postgres is not in the path, nor in /usr/lib/postgresql: %w", exec.ErrNotFound)
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// unprivileged finds a user for the server.
func unprivileged() (*syscall.Credential, error) {
	var err error
	for _, name := range []string{"postgres", "nobody"} {
		var found *user.User
		if found, err = user.Lookup(name); err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("pgtest: PostgreSQL does not run as root, and there is no other user: %w", err)
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// command is one of the server's user, in a group of processes of its own.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = s.folder
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	return c
}

// guard runs a server until it reads a line, or until its standard input ends, which it
// does at the latest when the process of the tests does. Then the folder is removed, too.
const guard = `"$@" & server=$!
read -r stop
kill -QUIT $server
wait $server
[ "$stop" ] || rm -rf "$PWD"`

// Start starts the server unless it runs, and waits until it takes connections.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	process := s.command("/bin/sh", "-c", guard, "sh", filepath.Join(s.bin, "postgres"), "-D", s.data(),
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(s.port), "-c", "unix_socket_directories="+s.folder,
		"-c", "shared_buffers=32MB", "-c", "max_connections=100", "-c", "fsync=off") // the machine does not crash
	process.Stdout, process.Stderr = log, log
	life, err := process.StdinPipe()
	if err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return err
	}
	s.process, s.life = process, life
	deadline := time.Now().Add(patience)
	for {
		err := s.execute("")
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			_ = s.stop("stop\n")
			told, _ := os.ReadFile(log.Name())
			return fmt.Errorf("pgtest: the server does not start: %w\n%s", err, told)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Stop stops the server at once, as a crash would, if it runs: who is connected loses the
// connection, and what is committed is there again after Start.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop("stop\n")
}

// stop stops the server, with the last word for guard. The caller holds mu.
func (s *Server) stop(word string) error {
	if s.process == nil {
		return nil
	}
	process := s.process
	s.process = nil
	_, _ = io.WriteString(s.life, word) // it stops also if that fails
	s.life.Close()
	ended := make(chan struct{})
	go func() {
		_ = process.Wait() // that it was killed is no error
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-time.After(patience):
		_ = syscall.Kill(-process.Process.Pid, syscall.SIGKILL)
		<-ended
		return errors.New("pgtest: the server did not stop, and was killed")
	}
}

// Close stops the server and removes its folder.
func (s *Server) Close() {
	_ = s.Stop()
	os.RemoveAll(s.folder)
}
