package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gdtls/serverconn"
)

// metrics shows a server's counters to Prometheus, by HTTP.
type metrics struct {
	server   atomic.Pointer[serverconn.DtlsServer] // nil before it listens
	listener net.Listener
	http     http.Server
	done     chan struct{} // closed when the HTTP server has ended
}

// metric is one of the counters, or of what can also go down.
type metric struct {
	name, help string
	gauge      bool
	value      func(*serverconn.ListenerStats) float64
}

func count(n uint64) float64 { return float64(n) }

var serverMetrics = []metric{
	{"peers", "Addresses with a connection or a handshake.", true, func(s *serverconn.ListenerStats) float64 { return float64(s.Peers) }},
	{"established", "Connections whose handshake is complete.", true, func(s *serverconn.ListenerStats) float64 { return float64(s.Established) }},
	{"queued_bytes", "Memory that the receive queues of all peers take.", true, func(s *serverconn.ListenerStats) float64 { return float64(s.QueuedBytes) }},
	{"datagrams_total", "Datagrams received.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Datagrams) }},
	{"datagrams_unknown_total", "Datagrams dropped: not DTLS, not a hello, or from nobody known.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Unknown) }},
	{"datagrams_dropped_total", "Datagrams dropped: the peer's queue was full or closed.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Dropped) }},
	{"hellos_limited_total", "Hellos dropped since their address sent too many.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Limited) }},
	{"hellos_total", "Hellos without the right cookie, answered by a HelloVerifyRequest.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Hellos) }},
	{"hellos_unanswered_total", "Answers to hellos that the socket did not take.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Unanswered) }},
	{"hellos_verified_total", "Hellos with the right cookie, or a ticket that did for one.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Verified) }},
	{"hellos_unauthorized_total", "Verified hellos that were not authorized.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Unauthorized) }},
	{"hellos_refused_total", "Verified hellos that were refused since a limit was reached.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Refused) }},
	{"handshakes_total", "Handshakes that succeeded.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Handshakes) }},
	{"handshakes_failed_total", "Handshakes that did not lead to a connection.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Failed) }},
	{"restarts_total", "Handshakes that replaced an older connection of their address.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Restarted) }},
	{"replies_unsent_total", "Replies that did not leave.", false, func(s *serverconn.ListenerStats) float64 { return count(s.Unsent) }},
	{"idle_closed_total", "Connections closed since they were idle.", false, func(s *serverconn.ListenerStats) float64 { return count(s.IdleClosed) }},
}

// serverCollector gives the counters of one moment.
type serverCollector struct {
	metrics      *metrics
	descriptions []*prometheus.Desc
}

func newServerCollector(m *metrics) *serverCollector {
	c := &serverCollector{metrics: m}
	for _, s := range serverMetrics {
		c.descriptions = append(c.descriptions, prometheus.NewDesc("gdtls_"+s.name, s.help, nil, nil))
	}
	return c
}

func (c *serverCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descriptions {
		to <- d
	}
}

func (c *serverCollector) Collect(to chan<- prometheus.Metric) {
	server := c.metrics.server.Load()
	if server == nil {
		return
	}
	stats := server.Stats()
	for i, s := range serverMetrics {
		kind := prometheus.CounterValue
		if s.gauge {
			kind = prometheus.GaugeValue
		}
		to <- prometheus.MustNewConstMetric(c.descriptions[i], kind, s.value(&stats))
	}
}

// newMetrics listens for Prometheus.
func newMetrics(ctx context.Context, address string) (*metrics, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot show metrics: %w", err)
	}
	m := &metrics{listener: listener, done: make(chan struct{})}
	registry := prometheus.NewRegistry()
	registry.MustRegister(newServerCollector(m), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	m.http = http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(m.done)
		if err := m.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			_ = listener.Close()
		}
	}()
	return m, nil
}

// url is where the metrics are shown.
func (m *metrics) url() string { return "http://" + m.listener.Addr().String() + "/metrics" }

// watch has the metrics show the counters of a server.
func (m *metrics) watch(server *serverconn.DtlsServer) { m.server.Store(server) }

func (m *metrics) close() {
	_ = m.http.Close()
	<-m.done
}
