package main

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"gdtls/cmd/gdtls/internal/console"
	"gdtls/jwtproto"
)

// maxToldPeers is how many peers a toldWatch remembers.
const maxToldPeers = 10_000

// toldWatch gathers for a console what a program tells of itself, line by line.
type toldWatch struct {
	hub    *console.Hub
	walks  atomic.Pointer[console.Walks] // nil before a JWT server was told of
	counts struct{ datagrams, handshakes, requests atomic.Uint64 }

	mu    sync.Mutex
	last  uint64                   // number of the newest peer
	peers map[string]*console.Peer // by address
}

func newToldWatch() *toldWatch {
	return &toldWatch{hub: console.NewHub(0, 0), peers: map[string]*console.Peer{}}
}

// source is where the console gets what is not an event.
func (w *toldWatch) source() console.Source {
	return console.Source{
		Counters: func() console.Counters {
			w.mu.Lock()
			connected := len(w.peers)
			w.mu.Unlock()
			return console.Counters{
				Datagrams: w.counts.datagrams.Load(), Handshakes: w.counts.handshakes.Load(), Requests: w.counts.requests.Load(), Peers: connected,
			}
		},
		Peers: w.list,
		Groups: func() console.Rainbow {
			if walks := w.walks.Load(); walks != nil {
				return walks.Rainbow()
			}
			return console.Rainbow{}
		},
	}
}

// list gives the peers.
func (w *toldWatch) list() []console.Peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]console.Peer, 0, len(w.peers))
	for _, p := range w.peers {
		all = append(all, *p)
	}
	return all
}

// readers read the events that a toldWatch understands, by their names.
var readers = map[string]func([]byte) event{
	listening{}.name():     readAs[listening],
	peerVerified{}.name():  readAs[peerVerified],
	handshakeDone{}.name(): readAs[handshakeDone],
	received{}.name():      readReceived,
	closed{}.name():        readAs[closed],
	failed{}.name():        readAs[failed],
	warning{}.name():       readAs[warning],
	trace{}.name():         readAs[trace],
	jwtListening{}.name():  readJWTListening,
	jwtRequest{}.name():    readRequest,
	jwtRemote{}.name():     readRemote,
}

// readAs reads an event of a type; nil if it is not one.
func readAs[T event](data []byte) event {
	var e T
	if json.Unmarshal(data, &e) != nil {
		return nil
	}
	return e
}

// readReceived reads a message of a possible size.
func readReceived(data []byte) event {
	if e, ok := readAs[received](data).(received); ok && e.Size >= 0 {
		return e
	}
	return nil
}

// readJWTListening reads of a server with a possible number of states.
func readJWTListening(data []byte) event {
	if e, ok := readAs[jwtListening](data).(jwtListening); ok && e.States >= jwtproto.MinStates && e.States <= jwtproto.MaxStates {
		return e
	}
	return nil
}

// readRequest reads a request with a possible number.
func readRequest(data []byte) event {
	if e, ok := readAs[jwtRequest](data).(jwtRequest); ok && e.Number >= 0 && e.Number < jwtproto.MaxStates {
		return e
	}
	return nil
}

// readRemote is readRequest for those that other servers had.
func readRemote(data []byte) event {
	if e, ok := readAs[jwtRemote](data).(jwtRemote); ok && e.Number >= 0 && e.Number < jwtproto.MaxStates {
		return e
	}
	return nil
}

// take takes a line. What is not an event is shown as it is.
func (w *toldWatch) take(text string) {
	var head struct {
		Event string `json:"event"`
	}
	var e event
	if json.Unmarshal([]byte(text), &head) == nil && readers[head.Event] != nil {
		e = readers[head.Event]([]byte(text))
	}
	if e == nil {
		if text == "" {
			return
		}
		out := console.Event{Level: console.Info, Kind: head.Event, Text: clean(text)}
		if head.Event != "" {
			out.Fields = json.RawMessage(text)
		}
		w.hub.Publish(out)
		return
	}
	w.note(e)
	publish(w.hub, e)
}

// note counts what an event tells.
func (w *toldWatch) note(e event) {
	switch e := e.(type) {
	case peerVerified:
		w.peer(e.Peer, func(p *console.Peer) {})
	case handshakeDone:
		if !e.OK {
			w.forget(e.Peer)
			return
		}
		w.counts.handshakes.Add(1)
		w.peer(e.Peer, func(p *console.Peer) { connected(p, e) })
	case received:
		w.counts.datagrams.Add(1)
		w.peer(e.Peer, func(p *console.Peer) {
			p.MessagesIn++
			p.BytesIn += uint64(e.Size)
		})
	case closed:
		w.forget(e.Peer)
	case jwtListening:
		walks := console.NewWalks(e.States)
		for _, group := range e.Groups {
			walks.Expect(group, nil)
		}
		w.walks.Store(walks)
	case jwtRequest:
		w.counts.datagrams.Add(1)
		w.counts.requests.Add(1)
		w.step(e.Group, e.Registration, e.Number, e.Step)
	case jwtRemote:
		w.step(e.Group, e.Registration, e.Number, e.Step)
	}
}

// step notes what was acknowledged to a group.
func (w *toldWatch) step(group string, registration int64, number int, step string) {
	if walks := w.walks.Load(); walks != nil && (step == jwtproto.Advanced.String() || step == jwtproto.Restarted.String()) {
		walks.Advanced(group, registration, number)
	}
}

// peer changes what is known of a peer.
func (w *toldWatch) peer(address string, change func(*console.Peer)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.peers[address]
	if p == nil {
		if len(w.peers) >= maxToldPeers {
			return
		}
		w.last++
		p = &console.Peer{ID: w.last, Address: clean(address), State: peerShakes, Since: time.Now()}
		w.peers[address] = p
	}
	change(p)
}

func (w *toldWatch) forget(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.peers, address)
}
