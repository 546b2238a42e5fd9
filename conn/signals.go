package conn

import (
	"slices"
	"sync"
)

// SignalHandlerID names a connected handler for Disconnect. It is never 0.
type SignalHandlerID uint64

// AcceptCertificateHandler judges a peer's certificate (the signal
// accept-certificate, G085): errors tells what verification found, chain is the
// peer's certificate with its issuers. True accepts it.
type AcceptCertificateHandler func(c *DtlsConnection, chain *TlsCertificate, errors TlsCertificateFlags) bool

// PskRequiredHandler supplies a pre-shared key: it sets the key of the
// authenticator, and on a client the identity. A handler that sets no key leaves
// the decision to the next one.
type PskRequiredHandler func(c *DtlsConnection, authenticator *PreSharedKeyAuthenticator)

// NotifyHandler is told that a property has changed.
type NotifyHandler func(c *DtlsConnection, property string)

// Names of the properties that change by themselves, for ConnectNotify.
const (
	PropertyPeerCertificate       = "peer-certificate"
	PropertyPeerCertificateErrors = "peer-certificate-errors"
	PropertyNegotiatedProtocol    = "negotiated-protocol"
	PropertyProtocolVersion       = "protocol-version"
	PropertyCiphersuiteName       = "ciphersuite-name"
	PropertyAcceptedCAs           = "accepted-cas" // clients only
)

// signals holds the handlers of a connection, in the order they were connected.
type signals struct {
	mu     sync.Mutex
	last   SignalHandlerID
	accept []handler[AcceptCertificateHandler]
	psk    []handler[PskRequiredHandler]
	notify []handler[propertyHandler]
}

type handler[F any] struct {
	id   SignalHandlerID
	call F
}

type propertyHandler struct {
	property string // empty: any
	call     NotifyHandler
}

func connect[F any](s *signals, list *[]handler[F], call F) SignalHandlerID {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	// A new slice each time: an emission may be going through the old one.
	*list = append(slices.Clip(*list), handler[F]{s.last, call})
	return s.last
}

func disconnect[F any](list *[]handler[F], id SignalHandlerID) {
	*list = slices.DeleteFunc(slices.Clone(*list), func(h handler[F]) bool { return h.id == id })
}

func snapshot[F any](s *signals, list *[]handler[F]) []handler[F] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *list
}

// ConnectAcceptCertificate connects a handler to the signal accept-certificate
// (G085-G089). On a client it is raised when the certificate is not acceptable
// under the validation flags; on a server whenever the client shows one, and only
// an accepting handler makes it acceptable. The first handler that returns true
// accepts and ends the emission. They should accept or refuse, not weigh single flags:
// not every problem is always found.
//
// Handlers run one after another on a goroutine of their own, and may take their time,
// such as to ask somebody: the handshake waits for them, and meanwhile hears the peer.
// After HandshakePatience, or when the peer gives up or the context of the handshake is
// done, the handshake fails without them. They must not call blocking methods of the
// connection, which fail (G191).
func (c *DtlsConnection) ConnectAcceptCertificate(call AcceptCertificateHandler) SignalHandlerID {
	return connect(&c.signals, &c.signals.accept, call)
}

// EmitAcceptCertificate raises accept-certificate and tells whether a handler
// accepted (g_dtls_connection_emit_accept_certificate, G084).
func (c *DtlsConnection) EmitAcceptCertificate(chain *TlsCertificate, errors TlsCertificateFlags) bool {
	for _, h := range snapshot(&c.signals, &c.signals.accept) {
		if h.call(c, chain, errors) {
			return true
		}
	}
	return false
}

// ConnectPskRequired connects a handler that supplies pre-shared keys (as Qt's
// pskRequired). A connection without one neither offers nor accepts PSK cipher
// suites. Handlers may take their time, as those of accept-certificate.
func (c *DtlsConnection) ConnectPskRequired(call PskRequiredHandler) SignalHandlerID {
	return connect(&c.signals, &c.signals.psk, call)
}

func (c *DtlsConnection) emitPskRequired(a *PreSharedKeyAuthenticator) {
	for _, h := range snapshot(&c.signals, &c.signals.psk) {
		if h.call(c, a); len(a.key) > 0 {
			return
		}
	}
}

// ConnectNotify connects a handler to changes of a property, or of all if the
// name is empty (the signal notify). Handlers run on the goroutine of the
// handshake.
func (c *DtlsConnection) ConnectNotify(property string, call NotifyHandler) SignalHandlerID {
	return connect(&c.signals, &c.signals.notify, propertyHandler{property, call})
}

// Notify tells the handlers of ConnectNotify that properties have changed. It
// serves the packages clientconn and serverconn.
func (c *DtlsConnection) Notify(properties ...string) {
	handlers := snapshot(&c.signals, &c.signals.notify)
	for _, property := range properties {
		for _, h := range handlers {
			if h.call.property == "" || h.call.property == property {
				h.call.call(c, property)
			}
		}
	}
}

// Disconnect removes a handler. One that is running is not waited for.
func (c *DtlsConnection) Disconnect(id SignalHandlerID) {
	s := &c.signals
	s.mu.Lock()
	defer s.mu.Unlock()
	disconnect(&s.accept, id)
	disconnect(&s.psk, id)
	disconnect(&s.notify, id)
}

// emitting marks the calling goroutine as one that runs handlers during the
// handshake; the result ends that.
func (c *DtlsConnection) emitting() (end func()) {
	cl := &c.claims
	cl.mu.Lock()
	cl.emitting = goroutineID()
	cl.mu.Unlock()
	return func() {
		cl.mu.Lock()
		defer cl.mu.Unlock()
		cl.emitting = 0
		cl.wakeWaiting()
	}
}
