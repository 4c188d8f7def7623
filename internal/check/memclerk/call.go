// Package memclerk lets Clerks talk to servers over a network in memory.
package memclerk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
)

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
