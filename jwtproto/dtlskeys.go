package jwtproto

import (
	"slices"
	"sync"

	"gdtls/serverconn"
)

// dtlsKeys gives the listeners of a server the keys that its Lab has.
type dtlsKeys struct {
	lab *Lab

	mu               sync.Mutex
	listeners        map[*serverconn.DtlsListener]*serverconn.Sessions // guarded by mu
	cookies, tickets [][secretSize]byte                                // guarded by mu; what they have; none: random ones
}

// add gives a listener the keys, now and whenever they change, until remove.
func (d *dtlsKeys) add(l *serverconn.DtlsListener, sessions *serverconn.Sessions) {
	d.mu.Lock()
	defer d.mu.Unlock()
	put(&d.listeners, l, sessions)
	if len(d.cookies) > 0 {
		l.SetCookieKeys(d.cookies...)
	}
	if len(d.tickets) > 0 {
		sessions.SetTicketKeys(d.tickets...)
	}
}

func (d *dtlsKeys) remove(l *serverconn.DtlsListener) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.listeners, l)
}

// update takes the keys from the Lab. Listeners are told of changes only, since random
// keys would be made anew otherwise.
func (d *dtlsKeys) update() {
	now := d.lab.current.Load()
	d.mu.Lock()
	defer d.mu.Unlock()
	cookies, tickets := !slices.Equal(now.cookies, d.cookies), !slices.Equal(now.tickets, d.tickets)
	d.cookies, d.tickets = now.cookies, now.tickets
	for l, sessions := range d.listeners {
		if cookies {
			l.SetCookieKeys(now.cookies...)
		}
		if tickets {
			sessions.SetTicketKeys(now.tickets...)
		}
	}
}
