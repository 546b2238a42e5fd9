package conn_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

const testData = "You win. This is a test." // 24 bytes

// The scenarios of glib-networking's tls/tests/dtls-connection.c under their names
// (G216). A client that validates nothing writes first; the server answers the
// first datagram with a message of 24 bytes from one vector, which the client reads
// into two; both close. "basic" servers are driven by a source, as in a main loop,
// "threaded" ones by a goroutine of their own; the client polls.
func TestUpstreamScenarios(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"blocking": -1, "timeout": time.Hour, "nonblocking": 0} {
		t.Run("basic/"+name, func(t *testing.T) {
			s := newScenario(t, datagram.Impairment{}, datagram.Impairment{})
			source := s.server.CreateSource(background, datagram.In)
			defer source.Destroy()
			source.Attach(func(datagram.DatagramBased, datagram.IOCondition) bool {
				err := s.answer(timeout)
				if ioCode(err) == datagram.CodeWouldBlock {
					time.Sleep(time.Millisecond)
					return datagram.SourceContinue
				}
				s.served <- err
				return datagram.SourceRemove
			})
			s.client(t)
		})
		t.Run("threaded/"+name, func(t *testing.T) {
			s := newScenario(t, datagram.Impairment{}, datagram.Impairment{})
			go s.serve(timeout)
			s.client(t)
		})
	}
	t.Run("timeouts/read", func(t *testing.T) {
		s := newScenario(t, datagram.Impairment{}, datagram.Impairment{})
		go func() { // takes the first message, and is silent
			_, _, err := receiveOne(s.server, -1)
			s.served <- err
		}()
		send(t, s.clientConn, "x")
		if err := <-s.served; err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, _, err := receiveOne(s.clientConn, 500*time.Millisecond)
		wantIO(t, err, datagram.CodeTimedOut)
		if took := time.Since(start); took < 500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if err := s.clientConn.Close(background); err != nil {
			t.Error(err)
		}
	})
	first := datagram.Impairment{Send: datagram.Profile{DropFirst: 1}}
	for name, impaired := range map[string][2]datagram.Impairment{"client": {first, {}}, "server": {{}, first}} {
		t.Run("lossy/"+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newScenario(t, impaired[0], impaired[1])
				go s.serve(-1)
				s.client(t)
			})
		})
	}
}

type scenario struct {
	clientConn *clientconn.DtlsClientConnection
	server     *serverconn.DtlsServerConnection
	served     chan error
}

func newScenario(t *testing.T, client, server datagram.Impairment) *scenario {
	a, b := datagram.NewPipe()
	p := newPairOver(t, datagram.NewImpaired(a, client), datagram.NewImpaired(b, server))
	p.client.SetValidationFlags(0)
	return &scenario{p.client, p.server, make(chan error, 1)}
}

// answer receives a datagram and answers it.
func (s *scenario) answer(timeout time.Duration) error {
	if _, _, err := receiveOne(s.server, timeout); err != nil {
		return err
	}
	out := []datagram.OutputMessage{message(testData)}
	n, err := s.server.SendMessages(background, out, 0, timeout)
	if err == nil && (n != 1 || out[0].BytesSent != len(testData)) {
		err = fmt.Errorf("sent %d messages, %d bytes", n, out[0].BytesSent)
	}
	return err
}

func (s *scenario) serve(timeout time.Duration) {
	for {
		err := s.answer(timeout)
		if ioCode(err) != datagram.CodeWouldBlock {
			s.served <- err
			return
		}
		_ = s.server.ConditionWait(background, datagram.In, time.Second)
	}
}

// client polls: it writes, reads the answer into two vectors, and closes.
func (s *scenario) client(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	poll := func(condition datagram.IOCondition, call func() (int, error)) {
		t.Helper()
		for {
			n, err := call()
			if err == nil && n == 1 {
				return
			}
			if ioCode(err) != datagram.CodeWouldBlock {
				t.Fatalf("%d, %v", n, err)
			}
			if err := s.clientConn.ConditionWait(ctx, condition, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := []datagram.OutputMessage{message("anything")}
	poll(datagram.Out, func() (int, error) { return s.clientConn.SendMessages(background, out, 0, 0) })
	in := []datagram.InputMessage{{Vectors: [][]byte{make([]byte, len(testData)/2), make([]byte, len(testData)/2)}}}
	poll(datagram.In, func() (int, error) { return s.clientConn.ReceiveMessages(background, in, 0, 0) })
	if in[0].BytesReceived != len(testData) || text(&in[0]) != testData {
		t.Errorf("received %q", text(&in[0]))
	}
	if err := <-s.served; err != nil {
		t.Errorf("server: %v", err)
	}
	for _, err := range []error{s.clientConn.Close(background), s.server.Close(background)} {
		if err != nil {
			t.Error(err)
		}
	}
}
