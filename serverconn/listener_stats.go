package serverconn

import "sync/atomic"

// ListenerStats counts what a listener has done, and tells what it holds.
type ListenerStats struct {
	Peers       int // addresses with a connection or a handshake
	Established int // of the associations with them, those whose handshake is done
	Waiting     int // of these, those that Accept has not given yet

	Datagrams    uint64 // received
	Unknown      uint64 // of these, dropped: not DTLS, not a hello, or from nobody known
	Dropped      uint64 // of these, dropped: the peer's queue was full or closed
	Limited      uint64 // of these, hellos dropped since their address sent too many
	Hellos       uint64 // hellos without the right cookie, answered by a HelloVerifyRequest
	Unanswered   uint64 // answers to hellos that the base did not take
	Verified     uint64 // hellos with the right cookie, or a ticket that did for one, repeated ones included
	Unauthorized uint64 // of these, refused by a handler of ConnectAuthorize
	Refused      uint64 // of these, refused since a limit was reached or the listener is closed
	Failed       uint64 // handshakes that did not lead to a connection that somebody could accept
	Handshakes   uint64 // handshakes that succeeded
	Restarted    uint64 // of these, in place of an older association of the address
	Accepted     uint64 // connections given by Accept
	Unsent       uint64 // replies of a Handler that did not leave: too long, or the base did not take them
	IdleClosed   uint64 // connections closed since they were idle
	QueuedBytes  int64  // memory that the receive queues of all peers take now
}

type listenerCounters struct {
	datagrams, unknown, dropped, limited, hellos, unanswered, verified, unauthorized, refused,
	failed, established, restarted, accepted, unsent, idle atomic.Uint64
}

// Stats counts so far. The numbers are taken one after another.
func (l *DtlsListener) Stats() ListenerStats {
	l.mu.Lock()
	established := l.established
	l.mu.Unlock()
	c := &l.counters
	return ListenerStats{
		Peers:        int(l.table.addresses.Load()),
		Established:  established,
		Waiting:      len(l.backlog),
		Datagrams:    c.datagrams.Load(),
		Unknown:      c.unknown.Load(),
		Dropped:      c.dropped.Load(),
		Limited:      c.limited.Load(),
		Hellos:       c.hellos.Load(),
		Unanswered:   c.unanswered.Load(),
		Verified:     c.verified.Load(),
		Unauthorized: c.unauthorized.Load(),
		Refused:      c.refused.Load(),
		Failed:       c.failed.Load(),
		Handshakes:   c.established.Load(),
		Restarted:    c.restarted.Load(),
		Accepted:     c.accepted.Load(),
		Unsent:       c.unsent.Load(),
		IdleClosed:   c.idle.Load(),
		QueuedBytes:  l.limits.used.Load(),
	}
}
