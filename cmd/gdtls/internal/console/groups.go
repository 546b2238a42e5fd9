package console

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"sync"
)

// States is a set of a machine's states.
type States []byte // bit n%8 of byte n/8

// Has tells whether a state is in the set.
func (s States) Has(n int) bool { return n/8 < len(s) && s[n/8]&(1<<(n%8)) != 0 }

// add adds a state to a set that has room for it.
func (s States) add(n int) { s[n/8] |= 1 << (n % 8) }

// What a Walks remembers at most.
const (
	maxGroups       = 1000
	maxGroupMembers = 10_000 // of one group
)

// Walks follows the walks of groups by the requests that were acknowledged. Safe for
// concurrent use.
type Walks struct {
	states int

	mu     sync.Mutex
	groups map[string]*walk
}

// walk is that of a group.
type walk struct {
	last, walks int
	members     map[int64]*Member
}

// NewWalks makes a Walks for a machine with so many states.
func NewWalks(states int) *Walks { return &Walks{states: states, groups: map[string]*walk{}} }

// Expect names a group and its members before they say anything, so that the page shows
// who is still missing.
func (w *Walks) Expect(group string, members []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.group(group)
	for _, registration := range members {
		if g != nil {
			w.member(g, registration)
		}
	}
}

// group finds a group or makes it; nil: there are too many. The caller holds mu.
func (w *Walks) group(name string) *walk {
	g := w.groups[name]
	if g == nil && len(w.groups) < maxGroups {
		g = &walk{last: -1, members: map[int64]*Member{}}
		w.groups[name] = g
	}
	return g
}

// member finds a member or makes it; nil: there are too many. The caller holds mu.
func (w *Walks) member(g *walk, registration int64) *Member {
	m := g.members[registration]
	if m == nil && len(g.members) < maxGroupMembers {
		m = &Member{Registration: registration, Reached: make(States, (w.states+7)/8)}
		g.members[registration] = m
	}
	return m
}

// Advanced notes that a member of a group has said a number in its turn: 0 begins the
// walk of the group anew, and the final state ends it.
func (w *Walks) Advanced(group string, registration int64, number int) {
	if number < 0 || number >= w.states {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.group(group)
	if g == nil {
		return
	}
	m := w.member(g, registration)
	if number == 0 {
		for _, each := range g.members {
			clear(each.Reached)
		}
	}
	g.last = number
	if number == w.states-1 {
		g.walks++
	}
	if m == nil {
		return
	}
	m.Reached.add(number)
	if number == w.states-1 {
		m.Walks++
	}
}

// Ended sets how many walks a group has ended, and its members, of before the Walks was
// made.
func (w *Walks) Ended(group string, walks int, members map[int64]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.group(group)
	if g == nil {
		return
	}
	g.walks = walks
	for registration, n := range members {
		if m := w.member(g, registration); m != nil {
			m.Walks = n
		}
	}
}

// Rainbow is how far the groups are, in the order of their names.
func (w *Walks) Rainbow() Rainbow {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := Rainbow{States: w.states}
	for _, name := range slices.Sorted(maps.Keys(w.groups)) {
		g := w.groups[name]
		group := Group{Name: name, Last: g.last, Walks: g.walks}
		for _, m := range g.members {
			group.Members = append(group.Members, Member{m.Registration, slices.Clone(m.Reached), m.Walks})
		}
		slices.SortFunc(group.Members, func(a, b Member) int { return cmp.Compare(a.Registration, b.Registration) })
		r.Groups = append(r.Groups, group)
	}
	return r
}

// maxShownMembers is how many members of all groups the page is told of, and
// maxGroupsFrame how many bytes they may take.
const (
	maxShownMembers = 2000
	maxGroupsFrame  = 256 << 10
)

type groupsFrame struct {
	Type   string       `json:"type"`
	States int          `json:"states"`
	Groups []groupFrame `json:"groups"`
	More   int          `json:"more"` // groups that are not told
}

type groupFrame struct {
	Name    string        `json:"name"`
	Last    int           `json:"last"`
	Walks   int           `json:"walks"`
	Members []memberFrame `json:"members"`
	More    int           `json:"more"` // members that are not told
}

type memberFrame struct {
	Registration int64  `json:"registration"`
	Reached      string `json:"reached"` // hexadecimal, bit n%8 of byte n/8
	Walks        int    `json:"walks"`
}

// frame is the rainbow as the page gets it. The members of all groups share what may be
// shown.
func (r Rainbow) frame() []byte {
	room := min(maxShownMembers, maxGroupsFrame/(2*((r.States+7)/8)+64))
	groups := r.Groups[:min(len(r.Groups), room)]
	f := groupsFrame{Type: "groups", States: r.States, Groups: []groupFrame{}, More: len(r.Groups) - len(groups)}
	for i, g := range groups {
		shown := g.Members[:min(len(g.Members), room/(len(groups)-i))] // what one does not use is left to the next
		room -= len(shown)
		out := groupFrame{Name: g.Name, Last: g.Last, Walks: g.Walks, Members: []memberFrame{}, More: len(g.Members) - len(shown)}
		for _, m := range shown {
			out.Members = append(out.Members, memberFrame{m.Registration, hex.EncodeToString(m.Reached), m.Walks})
		}
		f.Groups = append(f.Groups, out)
	}
	return mustEncode(f)
}

// mustEncode encodes what is made of strings, numbers and lists.
func mustEncode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
