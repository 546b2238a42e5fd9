package conn

import "context"

// Names of the operations that an [AsyncResult] can be of.
const (
	operationHandshake = "HandshakeFinish"
	operationShutdown  = "ShutdownFinish"
	operationClose     = "CloseFinish"
)

// HandshakeAsync is [DtlsConnection.Handshake] without waiting
// (g_dtls_connection_handshake_async, G075). The callback may be nil.
func (c *DtlsConnection) HandshakeAsync(ctx context.Context, ioPriority int, callback AsyncReadyCallback) *AsyncResult {
	return c.async(ctx, operationHandshake, ioPriority, callback, func() error { return c.Handshake(ctx) })
}

// HandshakeFinish gives the outcome of HandshakeAsync
// (g_dtls_connection_handshake_finish).
func (c *DtlsConnection) HandshakeFinish(result *AsyncResult) error {
	return c.finish(result, operationHandshake)
}

// ShutdownAsync is [DtlsConnection.Shutdown] without waiting
// (g_dtls_connection_shutdown_async, G078). It shuts down what it is told to, where
// Gio's function always shuts down both sides (G079).
func (c *DtlsConnection) ShutdownAsync(ctx context.Context, read, write bool, ioPriority int, callback AsyncReadyCallback) *AsyncResult {
	return c.async(ctx, operationShutdown, ioPriority, callback, func() error { return c.Shutdown(ctx, read, write) })
}

// ShutdownFinish gives the outcome of ShutdownAsync
// (g_dtls_connection_shutdown_finish).
func (c *DtlsConnection) ShutdownFinish(result *AsyncResult) error {
	return c.finish(result, operationShutdown)
}

// CloseAsync is [DtlsConnection.Close] without waiting
// (g_dtls_connection_close_async, G083).
func (c *DtlsConnection) CloseAsync(ctx context.Context, ioPriority int, callback AsyncReadyCallback) *AsyncResult {
	return c.async(ctx, operationClose, ioPriority, callback, func() error { return c.Close(ctx) })
}

// CloseFinish gives the outcome of CloseAsync (g_dtls_connection_close_finish).
func (c *DtlsConnection) CloseFinish(result *AsyncResult) error {
	return c.finish(result, operationClose)
}

func (c *DtlsConnection) async(ctx context.Context, operation string, ioPriority int, callback AsyncReadyCallback, work func() error) *AsyncResult {
	return startAsync(ctx, c, operation, ioPriority, callback, func() (struct{}, error) { return struct{}{}, work() })
}

// finish waits for a call, which from a signal handler of the handshake would be for
// ever (G191).
func (c *DtlsConnection) finish(r *AsyncResult, operation string) error {
	if r == nil || r.source != any(c) {
		return errForeignResult(operation)
	}
	select {
	case <-r.done:
	default:
		if c.claims.inHandler() {
			return errInHandler
		}
	}
	_, err := finishAsync[struct{}](r, operation)
	return err
}

// inHandler tells whether the calling goroutine runs a signal handler of the handshake.
func (c *claims) inHandler() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.emitting != 0 && c.emitting == goroutineID()
}
