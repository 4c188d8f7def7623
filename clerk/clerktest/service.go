// Package clerktest runs Clerks against one server in memory, over a network that can lose
// requests and replies. It is the single server of Lab 2, without Raft, and does all that a
// server does: leases end in the virtual time of the test.
package clerktest

import (
	"bytes"
	"context"
	"sync"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/check/memclerk"
	"balsa.example/internal/check/memnet"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// server is the id of the only server.
const server raft.NodeID = 1

// Service is a store that Clerks reach over a network in memory, which is reliable at first.
// It is for tests in the virtual time of testing/synctest.
type Service struct {
	net *memnet.Network

	start   time.Time
	mu      sync.Mutex
	node    *nodetest.Node // replies at once
	handler translate.Handler
	puts    map[string]int
	clerks  []*clerk.Clerk
	told    uint64        // the revision when changed was made
	changed chan struct{} // closed when the store has changed
}

// New starts a Service whose network follows from seed. Close ends it.
func New(seed uint64) *Service {
	s := &Service{net: memnet.New(seed), start: time.Now(), puts: make(map[string]int), changed: make(chan struct{})}
	s.handler, s.node = nodetest.New()
	s.net.Node(server).Start(nil) // no replica will send to it
	return s
}

// Close closes the Clerks and ends the network.
func (s *Service) Close() {
	for _, ck := range s.clerks {
		_ = ck.Close()
	}
	s.net.Close()
}

// Reliable(false) delays requests and replies by up to 26 ms, and loses one in ten.
func (s *Service) Reliable(yes bool) { s.net.Reliable(yes) }

// LongReordering(true) delays two replies in three by 200 to 2,400 ms.
func (s *Service) LongReordering(yes bool) { s.net.LongReordering(yes) }

// Connected(client, false) cuts a client off.
func (s *Service) Connected(client string, yes bool) {
	if yes {
		s.net.ConnectClient(client, server)
	} else {
		s.net.ConnectClient(client)
	}
}

// Requests returns how many requests Clerks have sent.
func (s *Service) Requests() uint64 { return s.net.Counts().Requests }

// Clerk returns the Clerk of a client. The client's name determines its jitter too.
func (s *Service) Clerk(client string, opts ...clerk.Option) *clerk.Clerk {
	ck, err := clerk.New([]string{"server:1"},
		append([]clerk.Option{clerk.WithCaller(&caller{s, client}), clerk.WithRand(newJitter(client))}, opts...)...)
	if err != nil {
		panic(err) // the endpoint is well formed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clerks = append(s.clerks, ck)
	return ck
}

// Puts returns how many times value was installed under any key.
func (s *Service) Puts(value string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts[value]
}

// Clear forgets all keys, so that they take no memory.
func (s *Service) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler, s.node = nodetest.New()
}

// Execute executes a request, as a leader does.
func (s *Service) Execute(req *api.Request) (reply *api.Reply) {
	req = req.Copy()
	req.Key = bytes.Clone(req.Key) // the store keeps it
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	s.handler.Handle(req, func(r *api.Reply) { reply = r })
	if reply.Code == api.Reply_OK && req.Kind == api.Request_PUT && reply.DoneAt == 0 {
		s.puts[string(req.Value)]++
	}
	s.tell()
	return reply
}

// tick ends the leases whose time is up. Caller holds mu.
func (s *Service) tick() {
	s.node.Now = logtime.Stamp{Log: logtime.Time(time.Since(s.start)), Wall: time.Now().UnixNano()}
	s.node.Machine.DoOp(state.Command{More: &state.More{Kind: state.KindTick, Stamp: s.node.Now}})
	s.tell()
}

// tell wakes those that watch if there are revisions that they do not know of. Caller holds mu.
func (s *Service) tell() {
	if r := s.node.Machine.Revision(); r != s.told {
		s.told = r
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// caller connects one client to the service.
type caller struct {
	service *Service
	client  string
}

// Call implements clerk.Caller.
func (c *caller) Call(ctx context.Context, _ string, req *api.Request, timeout time.Duration) (clerk.Answer, error) {
	return memclerk.Call(ctx, c.service.net, c.client, server, timeout,
		func(context.Context) (*api.Reply, error) { return c.service.Execute(req), nil })
}

// Node implements clerk.Caller.
func (c *caller) Node(string) uint64 { return uint64(server) }

// Close implements clerk.Caller.
func (c *caller) Close() error { return nil }
