package conn

import (
	"time"

	"gdtls/internal/handshake"
)

// resumption is what a driver knows of sessions that are resumed.
type resumption struct {
	cache *SessionCache // client: nil if no session is kept
	key   sessionKey
	chain *TlsCertificate // the peer's, judged again; nil without one
	flags TlsCertificateFlags
}

// offerSession makes a client offer a session that it has with this server, if
// today it would be content with the server as it was then.
func (d *driver) offerSession(own []*TlsCertificate) {
	c := d.c
	cache := c.role.SessionCache()
	key := newSessionKey(c.role.Identity(), own)
	if cache == nil || key == (sessionKey{}) {
		return
	}
	d.resumption.cache, d.resumption.key = cache, key
	d.config.Resumable = true
	saved := cache.get(key, time.Now())
	if saved == nil {
		return
	}
	if saved.Suite.PSK() && !d.sameKey(saved) || !saved.Suite.PSK() && !d.acceptableAgain(saved) {
		cache.put(key, nil)
		return
	}
	d.config.Resume = saved
}

// sameKey asks the handlers of psk-required whether they still know the key.
func (d *driver) sameKey(saved *handshake.SavedSession) bool {
	if !d.config.PSK {
		return false
	}
	a := &PreSharedKeyAuthenticator{hint: saved.PSKHint}
	end := d.c.emitting()
	defer end()
	d.c.emitPskRequired(a)
	return string(a.identity) == string(saved.PSKIdentity) && saved.SameKey(a.key)
}

// acceptableAgain verifies the peer's chain of a saved session once more (G196).
// Handlers are not asked: on a client, what only they accepted needs a full
// handshake, since another connection's handlers may have been more lenient; on a
// server, nothing may be wrong that was not when its handlers accepted the client.
func (d *driver) acceptableAgain(saved *handshake.SavedSession) bool {
	c := d.c
	chain, err := newPeerCertificate(saved.PeerChain)
	if err != nil {
		return false
	}
	flags, err := c.verifyPeer(d.ctx, chain)
	return err == nil && d.stillAcceptable(saved, chain, flags)
}

// stillAcceptable judges what verification has found of the chain today.
func (d *driver) stillAcceptable(saved *handshake.SavedSession, chain *TlsCertificate, flags TlsCertificateFlags) bool {
	d.resumption.chain, d.resumption.flags = chain, flags
	if d.c.role.IsServer() {
		return flags&^TlsCertificateFlags(saved.PeerErrors) == 0
	}
	return d.c.role.Acceptable(flags)
}

// keepSession keeps what a client's handshake brought, and forgets a session with
// which it failed.
func (d *driver) keepSession() {
	r, m := &d.resumption, d.machine
	switch {
	case r.cache == nil:
	case m.Done() && (m.Session().Saved != nil || m.Offered()):
		r.cache.put(r.key, m.Session().Saved)
	case m.Err() != nil && m.Offered():
		r.cache.put(r.key, nil)
	}
}

// forgetSession makes sure that the session is not resumed any more: a client does not
// offer it, a server drops what it has stored. A server's tickets are out of its hands.
func (c *DtlsConnection) forgetSession() {
	c.session().stored.Forget()
	cache := c.role.SessionCache()
	if cache == nil {
		return
	}
	c.mu.Lock()
	own := c.settings.certificates()
	c.mu.Unlock()
	if key := newSessionKey(c.role.Identity(), own); key != (sessionKey{}) {
		cache.put(key, nil)
	}
}

// notifyResumed fills in what a full handshake finds on its way, after the handshake
// as the real Gio does (G196).
func (d *driver) notifyResumed() {
	c, r := d.c, &d.resumption
	if d.machine == nil || !d.machine.Session().Resumed || r.chain == nil {
		return
	}
	c.mu.Lock()
	c.negotiated.peerCertificate, c.negotiated.errors = r.chain, r.flags
	c.mu.Unlock()
	c.Notify(PropertyPeerCertificate, PropertyPeerCertificateErrors)
}
