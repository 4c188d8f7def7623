package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/backup"
	"balsa.example/internal/doctor"
	"balsa.example/vfs"
)

// dialTime is how long doctor waits for a connection to an address.
const dialTime = 2 * time.Second

// examine gathers the facts.
func (p *program) examine(ctx context.Context, e *examination) (*doctor.Facts, error) {
	facts := &doctor.Facts{}
	if !e.local {
		if err := p.examineCluster(ctx, e, facts); err != nil {
			return nil, err
		}
	}
	if e.dataDir != "" {
		facts.Machine = p.examineMachine(ctx, e.dataDir)
	}
	if e.backupDir != "" {
		facts.Backups = examineBackups(e.backupDir)
	}
	facts.Now = time.Now()
	return facts, ctx.Err()
}

func examineBackups(dir string) *doctor.Backups {
	b := &doctor.Backups{Dir: dir}
	d, err := backup.Open(vfs.OS, dir)
	if errors.Is(err, backup.ErrNoBackup) {
		return b
	}
	if b.Err = err; err != nil {
		return b
	}
	b.Err = errors.Join(d.Damage()...)
	for _, point := range d.Points() {
		if point.Taken.After(b.Newest) {
			b.Newest = point.Taken
		}
	}
	return b
}

// examineCluster asks all servers twice.
func (p *program) examineCluster(ctx context.Context, e *examination, facts *doctor.Facts) error {
	n := &e.connection
	ck, err := n.connect(p)
	if err != nil {
		return err
	}
	defer ck.Close()
	s := newSurveyor(ck, n)
	first := byID(n.ask(ctx, s))
	select {
	case <-time.After(e.sample):
	case <-ctx.Done():
		return ctx.Err()
	}
	times := timeCalls(s)
	answers := n.ask(ctx, s)
	names := s.names(answers)
	for _, a := range answers {
		at := times.of(a.Endpoint)
		server := doctor.Server{
			Endpoint: a.Endpoint, Name: names.byAddress[hostPort(a.Endpoint)], Err: whySilent(a), Second: a.Status, First: first[a.Status.GetNodeId()],
			Asked: at.middle, RoundTrip: at.took,
		}
		if a.Status != nil {
			server.Name = a.Status.Name
		}
		facts.Servers = append(facts.Servers, server)
	}
	slices.SortStableFunc(facts.Servers, func(a, b doctor.Server) int { return strings.Compare(a.Name, b.Name) })
	members, err := n.members(ctx, ck)
	if err == nil {
		facts.Members, facts.FromLeader = members.All, members.FromLeader
	}
	n.examineAddresses(ctx, facts)
	return ctx.Err()
}

// silenceError is why a server did not answer, in words for people.
type silenceError struct {
	error
	text string
}

func (s *silenceError) Error() string { return s.text }
func (s *silenceError) Unwrap() error { return s.error }

func whySilent(a clerk.ServerStatus) error {
	if a.Err == nil {
		return nil
	}
	return &silenceError{a.Err, strings.TrimPrefix(oneLine(a.Err), "status of "+a.Endpoint+": ")}
}

func (n *connection) ask(ctx context.Context, s *surveyor) []clerk.ServerStatus {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	return s.ask(ctx)
}

// members are who the leader says are members or, without one, some server.
func (n *connection) members(ctx context.Context, ck *clerk.Clerk) (clerk.Members, error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	patience, done := context.WithTimeout(ctx, n.timeout/2)
	defer done()
	all, err := ck.Members(patience, false)
	if err != nil {
		all, err = ck.Members(ctx, true)
	}
	return all, err
}

// callTimes are when servers were called, by address.
type callTimes struct {
	mu  sync.Mutex
	all map[string]callTime
}

type callTime struct {
	middle time.Time
	took   time.Duration
}

// timeCalls notes when a surveyor calls servers from now on.
func timeCalls(s *surveyor) *callTimes {
	t := &callTimes{all: make(map[string]callTime)}
	call := s.status
	s.status = func(ctx context.Context, endpoint string) (*api.StatusReply, error) {
		began := time.Now()
		reply, err := call(ctx, endpoint)
		took := time.Since(began)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.all[hostPort(endpoint)] = callTime{began.Add(took / 2), took}
		return reply, err
	}
	return t
}

func (t *callTimes) of(endpoint string) callTime {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[hostPort(endpoint)]
}

// examineAddresses connects to servers: by TLS, to see their certificates, and to members that do not answer, to
// see whether their ports are open.
func (n *connection) examineAddresses(ctx context.Context, facts *doctor.Facts) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var dials sync.WaitGroup
	answers := make(map[uint64]bool)
	var shown []*doctor.Certificate
	var tried []int // whose they are
	for i, s := range facts.Servers {
		answers[s.Second.GetNodeId()] = s.Second != nil
		if n.speaksTLS(s.Endpoint) {
			c := &doctor.Certificate{Endpoint: s.Endpoint}
			shown, tried = append(shown, c), append(tried, i)
			dials.Go(func() { n.seeCertificate(ctx, c) })
		}
	}
	var ports []*doctor.Port
	for _, m := range facts.Members {
		if answers[m.ID] || m.Witness && m.Active {
			continue
		}
		for _, u := range append(m.PeerURLs, m.ClientURLs...) {
			if _, _, err := net.SplitHostPort(hostPort(u)); err != nil || strings.HasPrefix(u, "unix") {
				continue
			}
			port := &doctor.Port{Of: m.Name, Address: hostPort(u)}
			ports = append(ports, port)
			dials.Go(func() {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", port.Address)
				if port.Err = err; err == nil {
					conn.Close()
				}
			})
		}
	}
	dials.Wait()
	for i, c := range shown {
		if c.Err == nil || facts.Servers[tried[i]].Second != nil { // else it was said already that it does not answer
			facts.Certificates = append(facts.Certificates, *c)
		}
	}
	for _, port := range ports {
		facts.Ports = append(facts.Ports, *port)
	}
}

// speaksTLS tells whether a server is called by TLS.
func (n *connection) speaksTLS(endpoint string) bool {
	if u, err := url.Parse(endpoint); err == nil && strings.Contains(endpoint, "://") {
		return u.Scheme == "https"
	}
	return n.caCert != "" || n.cert != ""
}

// seeCertificate looks at what a server shows. Whether to trust it is the Clerk's business.
func (n *connection) seeCertificate(ctx context.Context, c *doctor.Certificate) {
	cfg := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	if n.cert != "" {
		own, err := tls.LoadX509KeyPair(n.cert, n.key)
		if err != nil {
			c.Err = err
			return
		}
		cfg.Certificates = []tls.Certificate{own}
	}
	address := hostPort(c.Endpoint)
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		c.Err = err
		return
	}
	cfg.ServerName = host
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", address)
	if err != nil {
		c.Err = err
		return
	}
	defer conn.Close()
	chain := conn.(*tls.Conn).ConnectionState().PeerCertificates
	for i, cert := range chain {
		if i == 0 || cert.NotAfter.Before(c.Expires) {
			c.Expires = cert.NotAfter
		}
	}
	c.Named = chain[0].VerifyHostname(host)
	c.Names = append(c.Names, chain[0].DNSNames...)
	for _, ip := range chain[0].IPAddresses {
		c.Names = append(c.Names, ip.String())
	}
}
