package conn

import (
	"context"

	"gdtls/datagram"
)

// TlsInteraction is what asks a person, or whatever answers in its place, for what
// only that one knows (GTlsInteraction, G152-G160). Embed [UnhandledInteraction] and
// write the methods that are to be answered. They may take their time, and end with
// ctx. They may be called from several goroutines at once.
//
// A result of FAILED comes with an error: the IOError CANCELLED if the person does
// not want to answer (G153). Errors with other results are of no account.
//
// In Gio an interaction may be synchronous, asynchronous or both, and is called in
// the main context where it was made (G154, G160). In Go one form is enough: it runs
// on the goroutine of who asks, and AskPasswordAsync and RequestCertificateAsync
// give that a goroutine of its own.
type TlsInteraction interface {
	// AskPassword fills in the password that the object describes
	// (g_tls_interaction_ask_password, G155).
	AskPassword(ctx context.Context, password *TlsPassword) (TlsInteractionResult, error)
	// RequestCertificate gives the connection a certificate by SetCertificate, for
	// a server that wants one (g_tls_interaction_request_certificate, G158). It is
	// called during the handshake, and must not call blocking methods of the
	// connection (G191).
	RequestCertificate(ctx context.Context, connection *DtlsConnection, flags TlsCertificateRequestFlags) (TlsInteractionResult, error)
}

// UnhandledInteraction answers nothing: every result is UNHANDLED (G152).
type UnhandledInteraction struct{}

var _ TlsInteraction = UnhandledInteraction{}

// AskPassword implements [TlsInteraction].
func (UnhandledInteraction) AskPassword(context.Context, *TlsPassword) (TlsInteractionResult, error) {
	return InteractionUnhandled, nil
}

// RequestCertificate implements [TlsInteraction].
func (UnhandledInteraction) RequestCertificate(context.Context, *DtlsConnection, TlsCertificateRequestFlags) (TlsInteractionResult, error) {
	return InteractionUnhandled, nil
}

// InvokeAskPassword asks an interaction, which may be nil, for a password and waits
// for the answer (g_tls_interaction_invoke_ask_password, G154). The error is nil
// unless the result is FAILED.
func InvokeAskPassword(ctx context.Context, interaction TlsInteraction, password *TlsPassword) (TlsInteractionResult, error) {
	if interaction == nil {
		return InteractionUnhandled, nil
	}
	if ctx.Err() != nil {
		return InteractionFailed, datagram.ErrorFromContext(ctx)
	}
	return consistent(interaction.AskPassword(ctx, password))
}

// InvokeRequestCertificate asks an interaction, which may be nil, for a certificate
// and waits for the answer (g_tls_interaction_invoke_request_certificate, G157).
// HANDLED means that the connection's certificate was set. The flags are passed on,
// which Gio forgets (G159). The error is nil unless the result is FAILED.
func InvokeRequestCertificate(ctx context.Context, interaction TlsInteraction, connection *DtlsConnection, flags TlsCertificateRequestFlags) (TlsInteractionResult, error) {
	if interaction == nil {
		return InteractionUnhandled, nil
	}
	if ctx.Err() != nil {
		return InteractionFailed, datagram.ErrorFromContext(ctx)
	}
	return consistent(interaction.RequestCertificate(ctx, connection, flags))
}

// consistent makes an answer one of the three that there can be.
func consistent(result TlsInteractionResult, err error) (TlsInteractionResult, error) {
	switch result {
	case InteractionHandled, InteractionUnhandled:
		return result, nil
	}
	if err == nil {
		err = datagram.NewError(datagram.CodeFailed, "interaction failed and does not say why")
	}
	return InteractionFailed, err
}

const (
	operationAskPassword        = "AskPasswordFinish"
	operationRequestCertificate = "RequestCertificateFinish"
)

// AskPasswordAsync is [InvokeAskPassword] without waiting
// (g_tls_interaction_ask_password_async, G156). The password belongs to the call
// until it ends. The result's source is the interaction.
func AskPasswordAsync(ctx context.Context, interaction TlsInteraction, password *TlsPassword, ioPriority int, callback AsyncReadyCallback) *AsyncResult {
	return startAsync(ctx, interaction, operationAskPassword, ioPriority, callback, func() (TlsInteractionResult, error) {
		return InvokeAskPassword(ctx, interaction, password)
	})
}

// AskPasswordFinish gives the outcome of AskPasswordAsync. It is FAILED, with an
// IOError INVALID_ARGUMENT, for the result of another call.
func AskPasswordFinish(result *AsyncResult) (TlsInteractionResult, error) {
	return finishInteraction(result, operationAskPassword)
}

// RequestCertificateAsync is [InvokeRequestCertificate] without waiting
// (g_tls_interaction_request_certificate_async, G158). The result's source is the
// interaction.
func RequestCertificateAsync(ctx context.Context, interaction TlsInteraction, connection *DtlsConnection, flags TlsCertificateRequestFlags, ioPriority int, callback AsyncReadyCallback) *AsyncResult {
	return startAsync(ctx, interaction, operationRequestCertificate, ioPriority, callback, func() (TlsInteractionResult, error) {
		return InvokeRequestCertificate(ctx, interaction, connection, flags)
	})
}

// RequestCertificateFinish gives the outcome of RequestCertificateAsync. It is FAILED,
// with an IOError INVALID_ARGUMENT, for the result of another call.
func RequestCertificateFinish(result *AsyncResult) (TlsInteractionResult, error) {
	return finishInteraction(result, operationRequestCertificate)
}

func finishInteraction(r *AsyncResult, operation string) (TlsInteractionResult, error) {
	if r == nil || r.operation != operation {
		return InteractionFailed, errForeignResult(operation)
	}
	return finishAsync[TlsInteractionResult](r, operation)
}

// Interaction is what the connection asks, nil for nothing (interaction, G052, G065).
func (c *DtlsConnection) Interaction() TlsInteraction {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings.rarely().interaction
}

// SetInteraction sets what the connection asks: a client for a certificate, if the
// server wants one and none with a private key is set; the database may use it, too.
// nil is nothing. If the interaction fails, the client goes on without a certificate,
// and if the server does not put up with that, the interaction's error is that of
// the handshake (G198).
func (c *DtlsConnection) SetInteraction(interaction TlsInteraction) {
	c.set(func(s *rareSettings) { s.interaction = interaction })
}
