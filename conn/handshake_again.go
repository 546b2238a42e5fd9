package conn

import (
	"time"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// again is what a driver knows of the handshakes that it has begun anew. Until the
// Finished nothing is authenticated, so what fails before may have been damaged or
// forged on its way, and a second handshake gets through. A failure that comes time
// and again is real.
type again struct {
	count    int            // handshakes that were begun anew
	failures map[string]int // what they failed of, how often
	random   [32]byte       // server: of the hello that is served
	listener bool           // server: there is one, which sees to hellos by itself
	accepted *TlsCertificate
	refused  bool      // the peer's certificate was: that is no damage
	alert    []byte    // the last one sent
	repeated time.Time // when it was sent again
}

// Bounds of beginning anew.
const (
	mostAgain      = 16
	mostAgainAlike = 2 // for the same reason
	alertPause     = 250 * time.Millisecond
)

// beginAgain begins another handshake if the one that has failed may have been
// damaged: a client with a new hello, a server by waiting for one.
func (d *driver) beginAgain() bool {
	a, m := &d.again, d.machine
	if m == nil || a.listener || d.asking() || !m.MayBeDamage() || a.refused || a.count >= mostAgain || d.ctx.Err() != nil {
		return false
	}
	why := m.Err().Error()
	if a.failures[why] >= mostAgainAlike {
		return false
	}
	if a.failures == nil {
		a.failures = make(map[string]int)
	}
	a.failures[why]++
	a.count++
	d.dismiss()
	d.machine = nil
	if d.c.role.IsServer() {
		return true
	}
	d.config.Resume = nil
	var err error
	d.machine, err = handshake.NewClient(d.config, time.Now())
	return err == nil
}

// serve answers a hello whose cookie was right.
func (d *driver) serve(hello *handshake.VerifiedHello, now time.Time) {
	d.again.random = hello.Hello.Random
	d.machine = handshake.NewServer(d.config, hello, now)
}

// peerBeginsAgain tells whether a ClientHello is for another handshake than the one
// that goes on, and answers it. It takes over once its cookie is right.
func (d *driver) peerBeginsAgain(bytes []byte, from datagram.Address, now time.Time) bool {
	if !d.c.role.IsServer() || d.again.listener || d.asking() || !handshake.IsClientHello(bytes) {
		return false
	}
	verified, reply := d.verifyHello(bytes, from, now)
	switch {
	case verified != nil && verified.Hello.Random != d.again.random && d.again.count < mostAgain:
		d.again.count++
		d.dismiss()
		d.serve(verified, now)
		return true
	case len(reply) > 0 && !handshake.HasRandom(bytes, &d.again.random): // else it is a repetition
		d.c.sendRecord(reply)
	}
	return false
}

// verifyHello looks for a hello with a cookie, or a ticket that does for one, in what
// an unknown peer sent, or gives the reply that asks for a cookie.
func (d *driver) verifyHello(bytes []byte, from datagram.Address, now time.Time) (verified *handshake.VerifiedHello, reply []byte) {
	var room [2][64]byte // enough for an IP address and port
	name, host := from.AppendTo(room[0][:0]), from.AppendHostTo(room[1][:0])
	if sessions := d.config.Sessions; sessions != nil {
		verified = sessions.VerifyHello(bytes, host, now)
	}
	if verified == nil {
		if verified, reply = cookies().VerifyHello(bytes, name, nil, now); verified != nil {
			verified.SetHost(host)
		}
	}
	return verified, reply
}

// repeatAlert tells a client that goes on with a failed handshake once more that it
// has failed.
func (d *driver) repeatAlert(now time.Time) {
	a := &d.again
	if len(a.alert) > 0 && now.Sub(a.repeated) >= alertPause {
		a.repeated = now
		d.c.sendRecord(a.alert)
	}
}
