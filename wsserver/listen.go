package wsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// listening is what a server has while it listens. It is not changed.
type listening struct {
	listener *LimitedListener
	http     *http.Server
	done     chan struct{} // closed when nothing is accepted any more
}

// Listen listens at a TCP address, such as "127.0.0.1:8080"; port 0 takes a free one.
// Every path is served.
func (s *WebSocketServer) Listen(ctx context.Context, address string) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		err = fmt.Errorf("wsserver: cannot listen: %w", err)
		s.fail(err)
		return err
	}
	if err := s.ListenOn(l); err != nil {
		_ = l.Close()
		return err
	}
	return nil
}

// ListenOn takes connections from a listener, which Close closes. The listener must not
// speak TLS itself: Config.TLS is for that.
func (s *WebSocketServer) ListenOn(l net.Listener) error {
	if t := s.config.TLS; t != nil && len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		return errors.New("wsserver: TLS has no certificate: set one in Config.TLS")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening != nil {
		return errors.New("wsserver: server is listening already: close it first")
	}
	now := &listening{
		listener: LimitListener(l, s.config.Limits),
		http:     NewHTTPServer(s, s.config.Logger),
		done:     make(chan struct{}),
	}
	now.http.TLSConfig = s.config.TLS.Clone()
	if s.closed {
		s.closed = false
		s.closing = make(chan struct{})
	}
	s.listening = now
	go s.serve(now)
	return nil
}

// serve serves until the listener is closed, by Close or since it has failed.
func (s *WebSocketServer) serve(now *listening) {
	var err error
	if now.http.TLSConfig != nil {
		err = now.http.ServeTLS(now.listener, "", "")
	} else {
		err = now.http.Serve(now.listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		s.fail(fmt.Errorf("wsserver: cannot go on listening: %w", err))
		_ = now.listener.Close()
	}
	s.mu.Lock()
	s.listening = nil
	s.mu.Unlock()
	for call := range s.signals.closed.Calls() {
		call()
	}
	close(now.done)
}

// shutdown stops listening, and waits for requests that are being answered, at most
// until ctx ends.
func (l *listening) shutdown(ctx context.Context) {
	if l.http.Shutdown(ctx) != nil {
		_ = l.http.Close()
	}
	<-l.done
}

// IsListening tells whether the server takes connections by itself.
func (s *WebSocketServer) IsListening() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening != nil
}

// ServerAddress is where the server listens, nil if it does not.
func (s *WebSocketServer) ServerAddress() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening == nil {
		return nil
	}
	return s.listening.listener.Addr()
}
