package conn_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gdtls/conn"
	"gdtls/datagram"
)

// TestConnectionModel drives two connected ends through random calls and compares
// each result with a model of what a connection is: the post-conditions (G019, G025,
// G035, G037) and the rules of claims (G187-G190, G192). Time is the bubble's, so
// that a call that waits too long, or for ever, is seen.
func TestConnectionModel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// A T in a bubble has no deadline, which rapid would ask for.
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) {
			a, b := datagram.NewPipe()
			p := (&pair{newClient(t, a), newServer(t, b)}).usesPSK()
			m := &connectionModel{T: rt}
			for i, c := range p.both() {
				m.ends[i] = &modelEnd{DtlsConnection: c, name: []string{"client", "server"}[i]}
			}
			for range rapid.IntRange(1, 40).Draw(rt, "steps") {
				m.step()
			}
			for _, end := range m.ends {
				m.shutdown(end, true, true, false)
			}
			synctest.Wait()
		})
	})
}

// modelEnd is a connection, and what it should be like.
type modelEnd struct {
	*conn.DtlsConnection
	name        string
	established bool
	failure     error // of the handshake, that stays
	readClosed  bool
	writeClosed bool
	coming      []string // sent by the peer and not received yet
	ended       bool     // the peer's close_notify comes after that
}

type connectionModel struct {
	*rapid.T
	ends [2]*modelEnd
	sent int
}

func (m *connectionModel) peerOf(end *modelEnd) *modelEnd {
	if end == m.ends[0] {
		return m.ends[1]
	}
	return m.ends[0]
}

// step makes a random call on a random end.
func (m *connectionModel) step() {
	end := rapid.SampledFrom(m.ends[:]).Draw(m.T, "end")
	cancelled := rapid.IntRange(0, 9).Draw(m.T, "cancelled") == 0
	steps := map[string]func(){
		"send":      func() { m.send(end, cancelled) },
		"receive":   func() { m.receive(end, cancelled) },
		"check":     func() { m.check(end) },
		"wait":      func() { m.wait(end, cancelled) },
		"handshake": func() { m.handshake(end, cancelled) },
		"meet":      func() { m.meet() },
		"blocked":   func() { m.blocked(end) },
		"shutdown": func() {
			// Closing is rare, or little else would happen.
			if rapid.IntRange(0, 3).Draw(m.T, "really") == 0 {
				m.shutdown(end, rapid.Bool().Draw(m.T, "read"), rapid.Bool().Draw(m.T, "write"), cancelled)
			}
		},
	}
	// Meeting comes often, since most steps need it once.
	names := []string{"send", "receive", "check", "wait", "handshake", "meet", "meet", "blocked", "shutdown", "send", "receive"}
	steps[rapid.SampledFrom(names).Draw(m.T, "step")]()
}

// contextFor gives a context, done or not.
func contextFor(cancelled bool) context.Context {
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	if !cancelled {
		return background
	}
	return ctx
}

func (m *connectionModel) timeout() time.Duration {
	return rapid.SampledFrom([]time.Duration{-1, 0, time.Millisecond}).Draw(m.T, "timeout")
}

// obstacle is what stands against a read, a write or a handshake whatever else is the
// case, in Gio's order (G188); nil: nothing.
func (end *modelEnd) obstacle(cancelled, closed bool) error {
	switch {
	case cancelled:
		return datagram.ErrCancelled
	case closed:
		return datagram.ErrClosed
	}
	return end.failure
}

// expect compares an error with the one that it should be, by its code.
func (m *connectionModel) expect(what string, end *modelEnd, got, want error) {
	m.Helper()
	if want == nil && got != nil || want != nil && (ioCode(got) != ioCode(want) || end.failure != nil && want == end.failure && got != want) {
		m.Fatalf("%s of the %s: %v, want %v", what, end.name, got, want)
	}
}

// postConditions are those that every implementation has to keep (G019, G025).
func (m *connectionModel) postConditions(n, most int, timeout time.Duration, err error) {
	m.Helper()
	code := ioCode(err)
	switch {
	case n < 0 || n > most || err != nil && n != 0,
		code == datagram.CodeWouldBlock && timeout != 0,
		code == datagram.CodeTimedOut && timeout <= 0:
		m.Fatalf("%d of %d messages with timeout %v and error %v", n, most, timeout, err)
	}
}

func (m *connectionModel) send(end *modelEnd, cancelled bool) {
	out := make([]datagram.OutputMessage, rapid.IntRange(1, 4).Draw(m.T, "messages"))
	var texts []string
	for i := range out {
		m.sent++
		texts = append(texts, fmt.Sprint("message ", m.sent)[:rapid.IntRange(0, 9).Draw(m.T, "length")])
		out[i] = message(texts[i])
	}
	obstacle := end.obstacle(cancelled, end.writeClosed)
	if obstacle == nil && !end.established {
		return // see meet
	}
	timeout := m.timeout()
	n, err := end.SendMessages(contextFor(cancelled), out, 0, timeout)
	m.postConditions(n, len(out), timeout, err)
	m.expect("send", end, err, obstacle)
	if err != nil {
		return
	}
	if n != len(out) {
		m.Fatalf("sent %d of %d", n, len(out))
	}
	for i := range out {
		if out[i].BytesSent != len(texts[i]) {
			m.Fatalf("message of %d bytes: sent %d", len(texts[i]), out[i].BytesSent)
		}
	}
	peer := m.peerOf(end)
	peer.coming = append(peer.coming, texts...)
}

func (m *connectionModel) receive(end *modelEnd, cancelled bool) {
	in := room(rapid.IntRange(1, 5).Draw(m.T, "messages"), 20)
	timeout := m.timeout()
	want := end.obstacle(cancelled, end.readClosed)
	count := 0
	switch {
	case want != nil:
	case !end.established:
		return
	default:
		count = min(len(in), len(end.coming))
		switch {
		case timeout < 0 && count < len(in) && !end.ended:
			return // would wait for ever
		case count > 0 || end.ended:
		case timeout == 0:
			want = datagram.ErrWouldBlock
		default:
			want = datagram.ErrTimedOut
		}
	}
	begin := time.Now()
	n, err := end.ReceiveMessages(contextFor(cancelled), in, 0, timeout)
	m.postConditions(n, len(in), timeout, err)
	m.expect("receive", end, err, want)
	if n != count || !slices.Equal(texts(in[:n]), end.coming[:count]) {
		m.Fatalf("%s received %q, want %q", end.name, texts(in[:n]), end.coming[:count])
	}
	if took := time.Since(begin); took > max(timeout, 0) {
		m.Fatalf("receive took %v with timeout %v", took, timeout)
	}
	end.coming = end.coming[count:]
}

// condition is what ConditionCheck should give.
func (end *modelEnd) condition(asked datagram.IOCondition) datagram.IOCondition {
	if end.readClosed && end.writeClosed {
		return datagram.Hup
	}
	var result datagram.IOCondition
	if !end.readClosed && (!end.established || len(end.coming) > 0 || end.ended) {
		result |= datagram.In
	}
	if !end.writeClosed {
		result |= datagram.Out
	}
	return result & asked
}

func (m *connectionModel) asked() datagram.IOCondition {
	return rapid.SampledFrom([]datagram.IOCondition{0, datagram.In, datagram.Out, datagram.In | datagram.Out}).Draw(m.T, "condition")
}

func (m *connectionModel) check(end *modelEnd) {
	asked := m.asked()
	got := end.ConditionCheck(asked)
	const in, out, hup = datagram.In, datagram.Out, datagram.Hup
	if got&^(asked|datagram.Err|hup) != 0 || got&hup != 0 && got&(in|out) != 0 { // G035
		m.Fatalf("asked for %v, got %v", asked, got)
	}
	if want := end.condition(asked); got != want {
		m.Fatalf("asked the %s for %v: %v, want %v", end.name, asked, got, want)
	}
}

func (m *connectionModel) wait(end *modelEnd, cancelled bool) {
	asked := m.asked()
	timeout := m.timeout()
	var want error
	switch {
	case cancelled:
		want = datagram.ErrCancelled
	case end.condition(asked) != 0:
	case timeout < 0:
		return
	default:
		want = datagram.ErrTimedOut
	}
	begin := time.Now()
	err := end.ConditionWait(contextFor(cancelled), asked, timeout) // G037
	m.expect("wait", end, err, want)
	if took := time.Since(begin); took > max(timeout, 0) {
		m.Fatalf("wait took %v with timeout %v", took, timeout)
	}
}

// handshake is one that needs no peer, or has none.
func (m *connectionModel) handshake(end *modelEnd, cancelled bool) {
	want := end.obstacle(cancelled, end.readClosed || end.writeClosed)
	if want != nil || end.established {
		m.expect("handshake", end, end.Handshake(contextFor(cancelled)), want)
		return
	}
	if rapid.IntRange(0, 4).Draw(m.T, "alone") > 0 {
		return
	}
	// Alone, and cancelled meanwhile: what sent a hello has failed for good (G189).
	ctx, cancel := context.WithTimeout(background, time.Second)
	defer cancel()
	err := end.Handshake(ctx)
	m.expect("handshake alone", end, err, datagram.ErrCancelled)
	if end == m.ends[0] {
		end.failure = err
	}
}

// meet makes the handshake of both ends, begun in one way or another.
func (m *connectionModel) meet() {
	for _, end := range m.ends {
		if end.established || end.failure != nil || end.readClosed || end.writeClosed {
			return
		}
	}
	errs := make(chan error, 2)
	how := rapid.SampledFrom([]string{"handshake", "polling"}).Draw(m.T, "how")
	for _, end := range m.ends {
		if how == "polling" { // begins the handshake in the background (G192)
			_, _, err := receiveOne(end, 0)
			m.expect("poll", end, err, datagram.ErrWouldBlock)
			errs <- nil
			continue
		}
		go func() { errs <- end.Handshake(background) }()
	}
	for _, end := range m.ends {
		if err := <-errs; err != nil {
			m.Fatal("handshake: ", err)
		}
		end.established = true
	}
	synctest.Wait() // until the background has done what can be done
	for _, end := range m.ends {
		if end.CiphersuiteName() == "" {
			m.Fatalf("handshake of the %s is not complete", end.name)
		}
	}
}

// blocked has a reader wait, and things happen meanwhile.
func (m *connectionModel) blocked(end *modelEnd) {
	if !end.established || end.readClosed || end.ended || len(end.coming) > 0 {
		return
	}
	type outcome struct {
		text string
		n    int
		err  error
	}
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	done := make(chan outcome, 1)
	go func() {
		in := room(1, 20)
		n, err := end.ReceiveMessages(ctx, in, 0, -1)
		done <- outcome{text(&in[0]), n, err}
	}()
	synctest.Wait()

	// A second reader waits for the first, within its own limits; writing goes on (G187, G190).
	_, _, err := receiveOne(end, 0)
	m.expect("second receive", end, err, datagram.ErrWouldBlock)
	_, _, err = receiveOne(end, time.Millisecond)
	m.expect("second receive", end, err, datagram.ErrTimedOut)
	m.send(end, false)

	peer := m.peerOf(end)
	var want outcome
	ways := []string{"cancel", "shutdown", "close"}
	if !peer.writeClosed && peer.established {
		ways = append(ways, "message", "message", "end of the peer")
	}
	switch rapid.SampledFrom(ways).Draw(m.T, "ended by") {
	case "cancel":
		cancel()
		want.err = datagram.ErrCancelled
	case "shutdown":
		m.shutdown(end, true, false, false)
		want.err = datagram.ErrClosed
	case "close":
		m.shutdown(end, true, true, false)
		want.err = datagram.ErrClosed
	case "message":
		m.send(peer, false)
		want.text, want.n = end.coming[0], 1
		end.coming = end.coming[1:]
	case "end of the peer":
		m.shutdown(peer, false, true, false)
	}
	synctest.Wait()
	select {
	case got := <-done:
		m.expect("blocked receive", end, got.err, want.err)
		if got.n != want.n || got.text != want.text {
			m.Fatalf("blocked receive gave %d, %q; want %d, %q", got.n, got.text, want.n, want.text)
		}
	default:
		m.Fatal("the reader is still blocked")
	}
}

func (m *connectionModel) shutdown(end *modelEnd, read, write, cancelled bool) {
	var want error
	if cancelled && (read || write) {
		want = datagram.ErrCancelled
	}
	m.expect("shutdown", end, end.Shutdown(contextFor(cancelled), read, write), want)
	if want != nil {
		return
	}
	end.readClosed = end.readClosed || read
	if write && !end.writeClosed {
		end.writeClosed = true
		if end.established {
			m.peerOf(end).ended = true
		}
	}
}
