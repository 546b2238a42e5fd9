package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/jwtproto"
)

// What JWT requests can be signed with, and how they can come.
var (
	JWTAlgs       = []string{"RS256", "ES256"}
	JWTTransports = []string{"udp", "dtls"}
)

const (
	jwtGroups = 4  // each a client of its own
	jwtWindow = 16 // requests of each that are under way
	// jwtReply is about how many bytes of a reply are signed.
	jwtReply = 460
	// jwtPatience is how long a client waits before it takes an answer for lost.
	jwtPatience = time.Second
)

// JWTPlan says what is measured. Every combination is.
type JWTPlan struct {
	Algs, Transports []string
	Stores           []JWTStore
	Duration         time.Duration // for each combination
	Rounds           int           // in which it is divided, and in which the stores take turns
}

// JWTStore is where a server keeps its state.
type JWTStore struct {
	Name string
	Open func(context.Context) (jwtproto.Store, error)
}

// JWT is how fast requests are answered in one combination: walks of several groups
// through the states, with many requests under way. Server and clients share the
// machine; the clients have signed before, and do not verify.
type JWT struct {
	Alg       string  `json:"alg"`
	Transport string  `json:"transport"`
	Store     string  `json:"store"`
	PerSecond float64 `json:"per_s"` // requests that were acknowledged: the median of the rounds
	// P50 and P99 are how long an answer takes with jwtGroups times jwtWindow requests
	// under way, in microseconds: half of them, or all but one in a hundred, take less.
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	// Bound is how many signatures the machine checks a second on all processors if it
	// does nothing else but make an HMAC for each.
	Bound float64 `json:"bound_per_s"`
}

// JWT measures and reports one combination after the other, those of all stores together.
func (b *Bench) JWT(ctx context.Context, plan JWTPlan, report func(JWT)) error {
	done, all := 0, len(plan.Algs)*len(plan.Transports)*plan.Rounds
	for _, alg := range plan.Algs {
		for _, transport := range plan.Transports {
			results, err := b.measureJWT(ctx, alg, transport, plan, func() {
				b.observer.Step(float64(done)/float64(all), alg+" over "+transport)
				done++
			})
			if err != nil {
				return fmt.Errorf("%s over %s: %w", alg, transport, err)
			}
			for _, result := range results {
				report(result)
			}
		}
	}
	return nil
}

// measureJWT has the bound and the servers, one for each store, take turns.
func (b *Bench) measureJWT(ctx context.Context, alg, transport string, plan JWTPlan, step func()) ([]JWT, error) {
	lab, err := newJWTLab(alg)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(lab.dir)
	turn := plan.Duration / time.Duration(plan.Rounds)
	lab.bound(turn / 2) // tells how many requests a round uses
	var servers []*jwtServed
	for _, store := range plan.Stores {
		served, err := b.serveJWT(ctx, lab, transport, store)
		if err != nil {
			return nil, err
		}
		defer served.close()
		if err := served.round(ctx, lab, turn/4); err != nil {
			return nil, err
		}
		served.rates, served.took = nil, nil // pools and caches were filled
		servers = append(servers, served)
	}
	var bounds []float64
	for range plan.Rounds {
		if err := ended(ctx); err != nil {
			return nil, err
		}
		step()
		bounds = append(bounds, lab.bound(turn/2))
		for _, served := range servers {
			if err := served.round(ctx, lab, turn); err != nil {
				return nil, err
			}
		}
	}
	var results []JWT
	for i, served := range servers {
		slices.Sort(served.took)
		us := func(share float64) float64 {
			return round(float64(served.took[int(share*float64(len(served.took)-1))])/1e3, 1)
		}
		results = append(results, JWT{
			Alg: alg, Transport: transport, Store: plan.Stores[i].Name, PerSecond: round(median(served.rates), 1),
			P50: us(0.5), P99: us(0.99), Bound: round(median(bounds), 1),
		})
	}
	return results, nil
}

// jwtLab is a lab folder and those who speak for its groups.
type jwtLab struct {
	dir     string
	lab     *jwtproto.Lab
	members []*jwtMember
	checks  float64 // a second, as bound last measured them
}

func newJWTLab(alg string) (l *jwtLab, err error) {
	l = new(jwtLab)
	if l.dir, err = os.MkdirTemp("", "gdtls-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(l.dir)
		}
	}()
	var groups []jwtproto.NewGroup
	for i := range jwtGroups {
		groups = append(groups, jwtproto.NewGroup{Name: fmt.Sprintf("GROUP%d", i), Members: []int64{1}, RSA: alg == "RS256"})
	}
	if err := jwtproto.CreateLab(l.dir, groups); err != nil {
		return nil, err
	}
	if l.lab, _, err = jwtproto.OpenLab(l.dir); err != nil {
		return nil, err
	}
	for _, g := range groups {
		data, err := os.ReadFile(filepath.Join(l.dir, jwtproto.ClientsFolder, strings.ToLower(g.Name)+".pem"))
		if err != nil {
			return nil, err
		}
		key, err := jwtproto.ParsePrivateKey(data)
		if err != nil {
			return nil, err
		}
		member, err := newJWTMember(g.Name, key)
		if err != nil {
			return nil, err
		}
		l.members = append(l.members, member)
	}
	return l, nil
}

// bound measures how many signatures all processors check a second, and keeps it.
func (l *jwtLab) bound(d time.Duration) float64 {
	digest := sha256.Sum256([]byte("what was signed"))
	signature, err := l.members[0].key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		panic(err) // a key that was just made can sign
	}
	check := func() bool { return false }
	switch key := l.members[0].key.Public().(type) {
	case *rsa.PublicKey:
		check = func() bool { return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil }
	case *ecdsa.PublicKey:
		check = func() bool { return ecdsa.VerifyASN1(key, digest[:], signature) }
	}
	secret, reply := make([]byte, 64), make([]byte, jwtReply)
	var checked atomic.Int64
	var working sync.WaitGroup
	begun := time.Now()
	for range runtime.GOMAXPROCS(0) {
		working.Go(func() {
			n := int64(0)
			for ; time.Since(begun) < d; n++ {
				if !check() {
					panic("a good signature is wrong")
				}
				mac := hmac.New(sha256.New, secret)
				mac.Write(reply)
				mac.Sum(nil)
			}
			checked.Add(n)
		})
	}
	working.Wait()
	l.checks = float64(checked.Load()) / time.Since(begun).Seconds()
	return l.checks
}

// jwtServed is a server at work, with an object to it for each group.
type jwtServed struct {
	server *jwtproto.Server
	over   []datagram.DatagramBased
	undo   []func()

	rates []float64       // acknowledgements a second, of each round
	took  []time.Duration // of each answer
}

func (s *jwtServed) close() {
	for _, undo := range slices.Backward(s.undo) {
		undo()
	}
}

func (b *Bench) serveJWT(ctx context.Context, lab *jwtLab, transport string, kept JWTStore) (s *jwtServed, err error) {
	s = new(jwtServed)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	store, err := kept.Open(ctx)
	if err != nil {
		return s, err
	}
	s.undo = append(s.undo, func() { _ = store.Close() }) // what was kept is of no use
	// The budget is far away, but kept.
	s.server, err = jwtproto.NewServer(jwtproto.Config{Lab: lab.lab, Store: store, Certificate: b.server, ChecksPerSecond: 100e6})
	if err != nil {
		return s, err
	}
	s.undo = append(s.undo, s.server.Close)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return s, err
	}
	base := datagram.New(packets)
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = s.server.Serve(serving, base, jwtproto.Both) // its end shows in lost answers
	}()
	s.undo = append(s.undo, func() {
		stop()
		<-stopped
		base.Close()
	})
	for range lab.members {
		socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(base.LocalAddress().AddrPort()))
		if err != nil {
			return s, err
		}
		client := datagram.New(socket)
		s.undo = append(s.undo, func() { client.Close() })
		if transport == "udp" {
			s.over = append(s.over, client)
			continue
		}
		c, err := clientconn.NewDtlsClientConnection(client, conn.ParseIdentity(serverName))
		if err != nil {
			return s, err
		}
		c.SetDatabase(b.database)
		within, cancel := context.WithTimeout(ctx, handshakePatience)
		err = c.Handshake(within)
		cancel()
		if err != nil {
			return s, err
		}
		s.undo = append(s.undo, func() { c.Close(context.WithoutCancel(ctx)) })
		s.over = append(s.over, c)
	}
	return s, nil
}

// round has all groups walk for a while, and keeps how fast it was.
func (s *jwtServed) round(ctx context.Context, lab *jwtLab, d time.Duration) error {
	// No server checks more signatures than the machine; a little more, since groups are
	// not served evenly.
	most := max(jwtproto.DefaultStates, int(1.2*lab.checks*d.Seconds()/float64(len(lab.members))))
	loads := make([]*jwtLoad, len(lab.members))
	var signing errgroup.Group
	for i, member := range lab.members {
		signing.Go(func() error {
			requests, err := member.requests(most)
			loads[i] = &jwtLoad{over: s.over[i], jwtRequests: requests}
			return err
		})
	}
	if err := signing.Wait(); err != nil {
		return err
	}
	before := s.server.Stats()
	begun := time.Now()
	var walking sync.WaitGroup
	for _, load := range loads {
		walking.Go(func() { load.run(ctx, begun.Add(d)) })
	}
	walking.Wait()
	seconds := time.Since(begun).Seconds()
	answers := 0
	for _, load := range loads {
		if load.err != nil {
			return load.err
		}
		answers += len(load.took)
		s.took = append(s.took, load.took...)
	}
	after := s.server.Stats()
	if refused := after.Refused - before.Refused; refused > 0 || answers == 0 {
		return fmt.Errorf("%d requests were refused, and %d answered", refused, answers)
	}
	s.rates = append(s.rates, float64(answers)/seconds)
	return nil
}

// jwtLoad is a group that walks again and again, with a window of requests under way.
// Answers come in the order of the requests.
type jwtLoad struct {
	over datagram.DatagramBased
	jwtRequests
	took []time.Duration
	err  error
}

func (l *jwtLoad) run(ctx context.Context, until time.Time) {
	var in [jwtWindow]datagram.InputMessage
	for i := range in {
		in[i].Vectors = [][]byte{make([]byte, 1500)}
	}
	var out [jwtWindow]datagram.OutputMessage
	var sent [jwtWindow]time.Time // when, by the request's number modulo the window
	next, answered := 0, 0
	for {
		now := time.Now()
		n := 0
		if now.Before(until) {
			for ; next-answered < jwtWindow && (l.again || next < len(l.tokens)); n++ {
				i := next % len(l.tokens)
				out[n].Vectors = l.tokens[i : i+1]
				sent[next%jwtWindow] = now
				next++
			}
		}
		if n > 0 {
			if _, err := l.over.SendMessages(ctx, out[:n], datagram.MsgNone, jwtPatience); err != nil {
				l.err = err
				return
			}
		}
		if next == answered {
			return
		}
		got, err := l.over.ReceiveMessages(ctx, in[:], datagram.MsgWaitForOne, jwtPatience)
		if err != nil {
			l.err = fmt.Errorf("%d of %d requests were not answered: %w", next-answered, next, err)
			return
		}
		now = time.Now()
		for range got {
			l.took = append(l.took, now.Sub(sent[answered%jwtWindow]))
			answered++
		}
	}
}
