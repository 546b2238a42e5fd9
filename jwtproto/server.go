package jwtproto

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gdtls/datagram"
)

const (
	// maxQueued is how many requests may wait in a server, maxLane how many of them for
	// one group. Further ones are dropped and counted; the clients repeat them.
	maxQueued = 4096
	maxLane   = 256
	// turn is how many requests of a group are checked before it is another's turn.
	turn = 8
)

// Server answers the requests of the groups of a Lab. Signatures are checked by a fixed
// number of workers; the requests of one group are acknowledged in the order in which they
// came, those of different groups side by side. Safe for concurrent use. Close ends its
// workers.
type Server struct {
	// Constant.
	config  Config
	machine Machine
	checks  *budget
	replies *budget
	workers errgroup.Group

	// Between the stages. done ends them all.
	ready  chan *lane
	moves  chan move
	outbox chan reply
	done   chan struct{}
	close  sync.Once

	counters struct {
		requests, acknowledged, refused, overBudget, overflowed, unstored, unsent, spoiled atomic.Uint64
	}
	refusals refusals
	keys     dtlsKeys
	forget   func() // the Lab tells no more of changes

	queued atomic.Int64 // jobs in all lanes, and moves
	mu     sync.Mutex   // guards lanes
	lanes  map[string]*lane
}

// Stats counts what a Server has done.
type Stats struct {
	Requests     uint64 // datagrams that came as requests, whatever they were
	Acknowledged uint64
	Refused      uint64 // answered with an error reply
	OverBudget   uint64 // not answered, since the host had used up its budget
	Overflowed   uint64 // not answered, since too many requests waited
	Unstored     uint64 // not answered, since the Store could not keep what follows
	Unsent       uint64 // replies that the transport did not take
	Spoiled      uint64 // replies that were subject to Faults
}

// NewServer makes a Server and starts its workers. If its Store has secrets they are read
// before, for which the Store has five seconds.
func NewServer(config Config) (*Server, error) {
	config, machine, err := config.normal()
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:  config,
		machine: machine,
		checks:  newBudget(config.ChecksPerSecond, 2*config.ChecksPerSecond),
		replies: newBudget(config.RepliesPerSecond, 2*config.RepliesPerSecond),
		ready:   make(chan *lane, maxQueued),
		moves:   make(chan move, maxQueued),
		outbox:  make(chan reply, maxQueued),
		done:    make(chan struct{}),
		lanes:   map[string]*lane{},
		keys:    dtlsKeys{lab: config.Lab},
	}
	s.forget = config.Lab.subscribe(s.keys.update)
	s.keys.update()
	if err := s.startSecrets(); err != nil {
		s.forget()
		return nil, err
	}
	for range config.Workers {
		s.workers.Go(s.work)
	}
	s.workers.Go(s.commit)
	s.workers.Go(s.send)
	return s, nil
}

// Close ends the workers. Requests that still wait are not answered: call it after
// Serve has returned.
func (s *Server) Close() {
	s.close.Do(func() {
		close(s.done)
		s.forget()
	})
	_ = s.workers.Wait() // they have no errors
}

// Stats counts so far. The numbers are taken one after another.
func (s *Server) Stats() Stats {
	c := &s.counters
	return Stats{
		Requests: c.requests.Load(), Acknowledged: c.acknowledged.Load(), Refused: c.refused.Load(),
		OverBudget: c.overBudget.Load(), Overflowed: c.overflowed.Load(), Unstored: c.unstored.Load(),
		Unsent: c.unsent.Load(), Spoiled: c.spoiled.Load(),
	}
}

// Store is where the server keeps the states of the groups.
func (s *Server) Store() Store { return s.config.Store }

// peer is where a request came from, and its answer goes.
type peer struct {
	outlet  *outlet
	address datagram.Address // where the answer goes; the zero Address over DTLS
	from    datagram.Address
	only    string // the group that the peer speaks for; empty: any
	dtls    bool
}

// job is a request that waits for its answer.
type job struct {
	*request // nil: it had not the form of one
	why      Refusal
	peer     peer
	lane     *lane
}

// lane is the queue of a group. It is in ready, or with a worker, while busy is true.
type lane struct {
	mu   sync.Mutex
	jobs []job
	busy bool
	open int // jobs that are not answered yet: these, and those that wait for the Store
}

// take looks at a datagram as far as it can be done without a public key, and queues it
// for the rest. token belongs to the caller again when it returns.
func (s *Server) take(token []byte, from peer) {
	s.counters.requests.Add(1)
	now := time.Now()
	s.config.Logs.request(now, from.from, token)
	directory := s.config.Lab.current.Load()
	if len(token) <= s.config.MaxRequest && isCostly(token) && !s.checks.spend(from.from, now) {
		s.counters.overBudget.Add(1)
		return
	}
	r, why := decodeRequest(token, s.config.MaxRequest)
	if why == accepted {
		why = r.find(directory.groups, from.only, now)
	}
	l := new(lane) // of its own: refusals keep no order
	if why == accepted {
		if !s.checks.spend(from.from, now) {
			s.counters.overBudget.Add(1)
			return
		}
		l = s.lane(r.group.name)
	} else if !from.dtls && len(token) < errorReplyLength && !s.replies.spend(from.from, now) {
		s.counters.overBudget.Add(1)
		return
	}
	s.queue(job{r, why, from, l})
}

// lane finds the lane of a group that is known.
func (s *Server) lane(group string) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[group]
	if l == nil {
		l = new(lane)
		s.lanes[group] = l
	}
	return l
}

// queue puts a job into its lane, and the lane before the workers.
func (s *Server) queue(j job) {
	l := j.lane
	if s.queued.Add(1) > maxQueued {
		s.queued.Add(-1)
		s.counters.overflowed.Add(1)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= maxLane {
		s.queued.Add(-1)
		s.counters.overflowed.Add(1)
		return
	}
	j.peer.outlet.pending.Add(1)
	l.jobs = append(l.jobs, j)
	l.open++
	if !l.busy {
		l.busy = true
		s.ready <- l // has room: no more lanes are busy than jobs are queued
	}
}

// work checks jobs until the server is closed. A lane goes to the end of the line after
// each turn, so that no group holds up others; what the turn brought goes to the Store
// together, and so do the answers to the client.
func (s *Server) work() error {
	moves := make([]move, 0, turn)
	for {
		select {
		case <-s.done:
			return nil
		case l := <-s.ready:
			l.mu.Lock()
			jobs := l.jobs[:min(len(l.jobs), turn)]
			l.mu.Unlock()
			for i := range jobs {
				moves = s.check(jobs[i], moves)
				runtime.Gosched() // what the Store has just kept is told soon
			}
			for i := range moves {
				s.moves <- moves[i] // has room: it takes as many as are queued
			}
			clear(moves)
			moves = moves[:0]
			l.mu.Lock()
			l.jobs = l.jobs[len(jobs):]
			if len(l.jobs) == 0 {
				l.busy, l.jobs = false, nil
			} else {
				s.ready <- l
			}
			l.mu.Unlock()
		}
	}
}

// check does what is left to check. A refusal is answered at once, and all else when the
// Store has it.
func (s *Server) check(j job, moves []move) []move {
	now := time.Now()
	if j.why == accepted {
		j.why = j.verify(s.machine, s.config.Leeway, now)
	}
	if j.why == accepted {
		return append(moves, move{j.request.move(now), j})
	}
	s.refuse(j, now)
	return moves
}

// refuse answers with an error reply.
func (s *Server) refuse(j job, now time.Time) {
	e := Event{Time: now, Peer: j.peer.from, DTLS: j.peer.dtls, Why: j.why}
	subject := noSubject
	if j.request != nil && j.group != nil {
		e.Group, subject = j.group.name, j.group.name
		e.Row.Registration = j.registration
	}
	s.counters.refused.Add(1)
	s.refusals.add(RefusalCount{e.Group, e.Row.Registration, j.why, 1, now})
	s.config.Logs.refused(now, subject, j.why)
	s.tell(e, subject, j, refusal(j.why, now))
}

// acknowledge answers what the Store has.
func (s *Server) acknowledge(j job, row Row) {
	now := time.Now()
	group := j.group.name
	s.counters.acknowledged.Add(1)
	s.config.Logs.accepted(now, group, j.token.payload, j.registration)
	if row.Step == Advanced && row.Number == s.machine.Final() {
		s.config.Logs.success(now, group)
	}
	s.tell(Event{Time: now, Peer: j.peer.from, DTLS: j.peer.dtls, Group: group, Row: row}, group, j, acknowledgement(group, row.ID, row.Next, now))
}

// tell lets everybody know about an answer, and the client last.
func (s *Server) tell(e Event, subject string, j job, a answer) {
	if s.config.Observe != nil {
		s.config.Observe(e)
	}
	token := s.config.Lab.current.Load().sealer.seal(a)
	s.config.Logs.response(e.Time, subject, token)
	s.post(reply{j.peer.outlet, j.peer.address, token})
	s.leave(j)
}

// leave ends a job, answered or not.
func (s *Server) leave(j job) {
	j.lane.mu.Lock()
	j.lane.open--
	j.lane.mu.Unlock()
	s.queued.Add(-1)
	j.peer.outlet.pending.Add(-1)
}
