// Package clerktest runs Clerks against one server in memory, over a network that can lose
// requests and replies. It is the single server of Lab 2, without Raft.
package clerktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/check/memnet"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/raft"
)

// server is the id of the only server.
const server raft.NodeID = 1

// Service is a store that Clerks reach over a memnet.Network. It is for tests in the
// virtual time of testing/synctest.
type Service struct {
	Net *memnet.Network

	mu      sync.Mutex
	handler translate.Handler // of a nodetest.Node, which replies at once
	puts    map[string]int
}

// New starts a Service whose network follows from seed. Close ends it.
func New(seed uint64) *Service {
	s := &Service{Net: memnet.New(seed), puts: make(map[string]int)}
	s.handler, _ = nodetest.New()
	s.Net.Node(server).Start(nil) // no replica will send to it
	return s
}

// Close ends the network.
func (s *Service) Close() { s.Net.Close() }

// Clerk returns the Clerk of a client. The client's name determines its jitter too.
func (s *Service) Clerk(client string) *clerk.Clerk {
	ck, err := clerk.New([]string{"server:1"},
		clerk.WithCaller(&caller{s, client}), clerk.WithRand(newJitter(client)))
	if err != nil {
		panic(err) // the endpoint is well formed
	}
	return ck
}

// Puts returns how many times value was installed under any key.
func (s *Service) Puts(value string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts[value]
}

// Execute executes a request, as a leader does.
func (s *Service) Execute(req *api.Request) (reply *api.Reply) {
	req = req.Copy()
	req.Key = bytes.Clone(req.Key) // the store keeps it
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler.Handle(req, func(r *api.Reply) { reply = r })
	if reply.Code == api.Reply_OK && req.Kind == api.Request_PUT {
		s.puts[string(req.Value)]++
	}
	return reply
}

// caller connects one client to the service.
type caller struct {
	service *Service
	client  string
}

// Call implements clerk.Caller.
func (c *caller) Call(ctx context.Context, _ string, req *api.Request, timeout time.Duration) (clerk.Answer, error) {
	return Call(ctx, c.service.Net, c.client, server, timeout,
		func(context.Context) (*api.Reply, error) { return c.service.Execute(req), nil })
}

// Node implements clerk.Caller.
func (c *caller) Node(string) uint64 { return uint64(server) }

// Close implements clerk.Caller.
func (c *caller) Close() error { return nil }

// Call is clerk.Caller's Call over a network in memory. handle is the server with the id to. A
// request goes on after its caller has given up, and may be executed late.
func Call(ctx context.Context, net *memnet.Network, client string, to raft.NodeID, timeout time.Duration,
	handle func(context.Context) (*api.Reply, error)) (clerk.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	type result struct {
		reply *api.Reply
		err   error
	}
	done := make(chan result, 1)
	pending := new(pendingReply)
	go func() {
		reply, err := memnet.Call(context.WithoutCancel(ctx), net, client, to, handle)
		done <- result{reply, err}
		if err == nil {
			pending.come(reply)
		}
	}()
	select {
	case r := <-done:
		if errors.Is(r.err, memnet.ErrUnreachable) {
			return clerk.Answer{}, fmt.Errorf("%w: %w", clerk.ErrNotSent, r.err)
		}
		return clerk.Answer{Reply: r.reply}, r.err
	case <-ctx.Done():
		return clerk.Answer{Pending: pending}, ctx.Err()
	}
}

// pendingReply implements clerk.PendingReply.
type pendingReply struct {
	mu    sync.Mutex
	reply *api.Reply
	take  func(*api.Reply)
}

func (p *pendingReply) come(r *api.Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reply = r
	if p.take != nil {
		p.take(r)
	}
}

// Then implements clerk.PendingReply.
func (p *pendingReply) Then(take func(*api.Reply)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take = take
	if p.reply != nil {
		take(p.reply)
	}
}

// Stop implements clerk.PendingReply.
func (p *pendingReply) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take = nil
}
