package console

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

const (
	maxShownPeers = 200 // in one frame
	maxFilter     = 100 // bytes
	// maxLists bounds how many different lists are made of one state of the peers.
	maxLists = 64
)

// peerQuery is which peers a viewer wants to see.
type peerQuery struct {
	Filter string // part of address, identity, cipher suite, protocol, server or state
	Sort   string // "since" (the newest first), "bytes", "losses" (most first) or "address"
	Limit  int
}

// normal makes a query a possible one.
func (q peerQuery) normal() peerQuery {
	q.Filter = strings.ToLower(strings.TrimSpace(q.Filter))
	q.Filter = strings.ToValidUTF8(q.Filter[:min(len(q.Filter), maxFilter)], "")
	switch q.Sort {
	case "address", "bytes", "losses":
	default:
		q.Sort = "since"
	}
	if q.Limit <= 0 || q.Limit > maxShownPeers {
		q.Limit = maxShownPeers
	}
	return q
}

// peerList is all peers at one moment. Lists for viewers are made when they are wanted,
// each once. Safe for concurrent use.
type peerList struct {
	peers []Peer

	mu    sync.Mutex
	lists map[peerQuery][]byte
}

func newPeerList(peers []Peer) *peerList {
	return &peerList{peers: peers, lists: map[peerQuery][]byte{}}
}

type peersFrame struct {
	Type    string      `json:"type"`
	Total   int         `json:"total"`
	Matched int         `json:"matched"`
	Peers   []peerFrame `json:"peers"`
}

type peerFrame struct {
	ID          uint64 `json:"id"`
	Server      string `json:"server,omitempty"`
	Address     string `json:"address"`
	State       string `json:"state"`
	Cipher      string `json:"cipher,omitempty"`
	ALPN        string `json:"alpn,omitempty"`
	Identity    string `json:"identity,omitempty"`
	Since       int64  `json:"since"` // ms since 1970
	Resumed     bool   `json:"resumed,omitempty"`
	MessagesIn  uint64 `json:"messages_in"`
	MessagesOut uint64 `json:"messages_out"`
	BytesIn     uint64 `json:"bytes_in"`
	BytesOut    uint64 `json:"bytes_out"`
	Missing     uint64 `json:"missing"`
	Discarded   uint64 `json:"discarded"`
}

// frame gives the list for a normal query; nil if too many different ones are wanted at
// once, and the viewer has to wait for the next.
func (l *peerList) frame(q peerQuery) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.lists[q]; f != nil {
		return f
	}
	if len(l.lists) >= maxLists {
		return nil
	}
	matched := l.match(q.Filter)
	slices.SortFunc(matched, func(a, b *Peer) int {
		return cmp.Or(order(q.Sort, a, b), cmp.Compare(b.ID, a.ID))
	})
	out := peersFrame{Type: "peers", Total: len(l.peers), Matched: len(matched), Peers: []peerFrame{}}
	for _, p := range matched[:min(len(matched), q.Limit)] {
		out.Peers = append(out.Peers, peerFrame{
			ID: p.ID, Server: p.Server, Address: p.Address, State: p.State, Cipher: p.Cipher, ALPN: p.ALPN,
			Identity: cut(p.Identity, maxPeer), Since: p.Since.UnixMilli(), Resumed: p.Resumed,
			MessagesIn: p.MessagesIn, MessagesOut: p.MessagesOut, BytesIn: p.BytesIn, BytesOut: p.BytesOut,
			Missing: p.Missing, Discarded: p.Discarded,
		})
	}
	f := mustEncode(out)
	l.lists[q] = f
	return f
}

func (l *peerList) match(filter string) []*Peer {
	var matched []*Peer
	for i := range l.peers {
		if p := &l.peers[i]; p.matches(filter) {
			matched = append(matched, p)
		}
	}
	return matched
}

// matches tells whether one of a peer's words has the filter in it, which is in lower
// case.
func (p *Peer) matches(filter string) bool {
	if filter == "" {
		return true
	}
	for _, word := range [...]string{p.Address, p.Identity, p.Cipher, p.ALPN, p.Server, p.State} {
		if strings.Contains(strings.ToLower(word), filter) {
			return true
		}
	}
	return false
}

func order(by string, a, b *Peer) int {
	switch by {
	case "address":
		return cmp.Compare(a.Address, b.Address)
	case "bytes":
		return cmp.Compare(b.BytesIn+b.BytesOut, a.BytesIn+a.BytesOut)
	case "losses":
		return cmp.Compare(b.Missing+b.Discarded, a.Missing+a.Discarded)
	}
	return b.Since.Compare(a.Since)
}
