package conn_test

import (
	"context"
	"errors"
	"testing"

	"gdtls/conn"
	"gdtls/datagram"
)

// asker is an interaction of functions.
type asker struct {
	conn.UnhandledInteraction
	password    func(context.Context, *conn.TlsPassword) (conn.TlsInteractionResult, error)
	certificate func(context.Context, *conn.DtlsConnection, conn.TlsCertificateRequestFlags) (conn.TlsInteractionResult, error)
}

func (a asker) AskPassword(ctx context.Context, p *conn.TlsPassword) (conn.TlsInteractionResult, error) {
	if a.password == nil {
		return a.UnhandledInteraction.AskPassword(ctx, p)
	}
	return a.password(ctx, p)
}

func (a asker) RequestCertificate(ctx context.Context, c *conn.DtlsConnection, flags conn.TlsCertificateRequestFlags) (conn.TlsInteractionResult, error) {
	if a.certificate == nil {
		return a.UnhandledInteraction.RequestCertificate(ctx, c, flags)
	}
	return a.certificate(ctx, c, flags)
}

// What becomes of each answer, asked directly and asynchronously (G152-G158).
func TestInteraction(t *testing.T) {
	cause := errors.New("no idea")
	cancelled, cancel := context.WithCancel(background)
	cancel()
	declined := datagram.NewError(datagram.CodeCancelled, "declined")
	for name, test := range map[string]struct {
		ctx        context.Context
		unhandled  bool
		result     conn.TlsInteractionResult
		err        error
		want       conn.TlsInteractionResult
		wantsCause error
	}{
		"handled":                 {background, false, conn.InteractionHandled, nil, conn.InteractionHandled, nil},
		"unhandled":               {background, true, 0, nil, conn.InteractionUnhandled, nil},
		"failed":                  {background, false, conn.InteractionFailed, cause, conn.InteractionFailed, cause},
		"failed without a reason": {background, false, conn.InteractionFailed, nil, conn.InteractionFailed, datagram.ErrFailed},
		"no such answer":          {background, false, 9, nil, conn.InteractionFailed, datagram.ErrFailed},
		"handled with an error":   {background, false, conn.InteractionHandled, cause, conn.InteractionHandled, nil},
		"declined by the person":  {background, false, conn.InteractionFailed, declined, conn.InteractionFailed, datagram.ErrCancelled},
		"cancelled by the caller": {cancelled, false, conn.InteractionHandled, nil, conn.InteractionFailed, datagram.ErrCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			password := conn.NewTlsPassword(0, "a key")
			client := newPair(t).client.DtlsConnection
			a := asker{}
			if !test.unhandled {
				a.password = func(_ context.Context, p *conn.TlsPassword) (conn.TlsInteractionResult, error) {
					if p != password {
						t.Error("another password")
					}
					return test.result, test.err
				}
				a.certificate = func(_ context.Context, c *conn.DtlsConnection, flags conn.TlsCertificateRequestFlags) (conn.TlsInteractionResult, error) {
					if c != client || flags != 5 { // passed on, unlike Gio's (G159)
						t.Error("another connection, or other flags")
					}
					return test.result, test.err
				}
			}
			check := func(how string) func(conn.TlsInteractionResult, error) {
				return func(result conn.TlsInteractionResult, err error) {
					t.Helper()
					if result != test.want || !errors.Is(err, test.wantsCause) || (err == nil) != (test.wantsCause == nil) {
						t.Errorf("%s: %v, %v", how, result, err)
					}
				}
			}
			check("password")(conn.InvokeAskPassword(test.ctx, a, password))
			check("certificate")(conn.InvokeRequestCertificate(test.ctx, a, client, 5))
			asked := conn.AskPasswordAsync(test.ctx, a, password, 0, nil)
			check("password, async")(conn.AskPasswordFinish(asked))
			requested := conn.RequestCertificateAsync(test.ctx, a, client, 5, 0, nil)
			check("certificate, async")(conn.RequestCertificateFinish(requested))
			if result, err := conn.AskPasswordFinish(requested); result != conn.InteractionFailed || !errors.Is(err, datagram.ErrInvalidArgument) {
				t.Errorf("result of another call: %v, %v", result, err)
			}
			if result, err := conn.RequestCertificateFinish(asked); result != conn.InteractionFailed || !errors.Is(err, datagram.ErrInvalidArgument) {
				t.Errorf("result of another call: %v, %v", result, err)
			}
		})
	}
	for _, call := range []func() (conn.TlsInteractionResult, error){
		func() (conn.TlsInteractionResult, error) { return conn.InvokeAskPassword(background, nil, nil) },
		func() (conn.TlsInteractionResult, error) {
			return conn.InvokeRequestCertificate(background, nil, nil, 0)
		},
	} {
		if result, err := call(); result != conn.InteractionUnhandled || err != nil {
			t.Errorf("no interaction: %v, %v", result, err)
		}
	}
}

// The scenarios client-auth-request-cert, -fail and -none (G217): a client that has no
// certificate asks its interaction (G052, G065, G157, G198).
func TestInteractionForCertificate(t *testing.T) {
	declined := errors.New("the person does not want to")
	give := func(certificate *conn.TlsCertificate, result conn.TlsInteractionResult, err error) conn.TlsInteraction {
		return asker{certificate: func(_ context.Context, c *conn.DtlsConnection, _ conn.TlsCertificateRequestFlags) (conn.TlsInteractionResult, error) {
			c.SetCertificate(certificate)
			wantIO(t, c.Handshake(background), datagram.CodeFailed) // G191
			return result, err
		}}
	}
	keyless := testCA().Leaf(t).PublicCertificate(t)
	const requested, required = conn.AuthenticationRequested, conn.AuthenticationRequired
	for name, test := range map[string]struct {
		interaction conn.TlsInteraction
		mode        conn.TlsAuthenticationMode
		shown       bool
		client      func(error) bool // nil: no error
	}{
		"gives one":                     {give(clientCert(), conn.InteractionHandled, nil), required, true, nil},
		"gives one, only requested":     {give(clientCert(), conn.InteractionHandled, nil), requested, true, nil},
		"fails":                         {give(nil, conn.InteractionFailed, declined), required, false, func(err error) bool { return err == declined }},
		"fails, only requested":         {give(nil, conn.InteractionFailed, declined), requested, false, nil},
		"does not handle it":            {asker{}, required, false, isRequired},
		"does not, only requested":      {asker{}, requested, false, nil},
		"gives one without key":         {give(keyless, conn.InteractionHandled, nil), required, false, isRequired},
		"says handled and gives none":   {give(nil, conn.InteractionHandled, nil), required, false, isRequired},
		"is not asked, nobody wants it": {give(clientCert(), conn.InteractionHandled, nil), conn.AuthenticationNone, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.server.SetAuthenticationMode(test.mode)
			p.server.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool { return true })
			p.client.SetInteraction(test.interaction)
			if p.client.Interaction() == nil {
				t.Error("interaction is not set")
			}
			client, server := p.handshake(t)
			if test.client == nil && (client != nil || server != nil) || test.client != nil && !test.client(client) {
				t.Errorf("client %v, server %v", client, server)
			}
			if shown := p.server.PeerCertificate(); (shown != nil) != test.shown || test.shown && !shown.IsSame(clientCert()) {
				t.Errorf("server was shown %v", shown)
			}
		})
	}
}

func isRequired(err error) bool { return errors.Is(err, conn.ErrCertificateRequired) }

// A certificate that was set is shown without asking.
func TestInteractionIsNotNeeded(t *testing.T) {
	p := newPair(t)
	p.server.SetAuthenticationMode(conn.AuthenticationRequired)
	p.server.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool { return true })
	p.client.SetCertificate(clientCert())
	p.client.SetInteraction(asker{certificate: func(context.Context, *conn.DtlsConnection, conn.TlsCertificateRequestFlags) (conn.TlsInteractionResult, error) {
		t.Error("the interaction was asked")
		return conn.InteractionUnhandled, nil
	}})
	mustHandshake(t, p)
}

// A person who thinks does not keep a handshake from being cancelled.
func TestInteractionCancelled(t *testing.T) {
	p := newPair(t)
	p.server.SetAuthenticationMode(conn.AuthenticationRequired)
	ctx, cancel := context.WithCancel(background)
	p.client.SetInteraction(asker{certificate: func(asked context.Context, _ *conn.DtlsConnection, _ conn.TlsCertificateRequestFlags) (conn.TlsInteractionResult, error) {
		cancel()
		<-asked.Done()
		return conn.InteractionFailed, asked.Err()
	}})
	server := p.server.HandshakeAsync(background, 0, nil)
	wantIO(t, p.client.Handshake(ctx), datagram.CodeCancelled)
	if err := p.server.HandshakeFinish(server); err == nil {
		t.Error("server's handshake succeeded")
	}
}

// The database of a connection is given its interaction (G136).
func TestInteractionForDatabase(t *testing.T) {
	p := newPair(t)
	want := &asker{}
	given := make(chan conn.TlsInteraction, 1)
	p.client.SetDatabase(curious{given})
	p.client.SetInteraction(want)
	mustHandshake(t, p)
	if got := <-given; got != conn.TlsInteraction(want) {
		t.Errorf("database was given %v", got)
	}
}

type curious struct{ given chan conn.TlsInteraction }

func (d curious) VerifyChain(_ context.Context, _ *conn.TlsCertificate, _ string, _ conn.SocketConnectable, interaction conn.TlsInteraction, _ conn.TlsDatabaseVerifyFlags) (conn.TlsCertificateFlags, error) {
	d.given <- interaction
	return 0, nil
}
