package clerk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"balsa.example/api"
)

// Admin is an interface that a Caller may implement too. The Clerk's own does.
type Admin interface {
	Status(ctx context.Context, address string) (*api.StatusReply, error)
	TransferLeadership(ctx context.Context, address string, target uint64) (*api.TransferLeadershipReply, error)
	LogLevel(ctx context.Context, address, level string) (*api.LogLevelReply, error)
}

var errNoAdmin = errors.New("not offered by this Caller")

// ServerStatus is the status that one server reports, or the error of asking for it.
type ServerStatus struct {
	Endpoint string
	Status   *api.StatusReply
	Err      error
}

// Status asks the server at endpoint for its status.
func (c *Clerk) Status(ctx context.Context, endpoint string) (*api.StatusReply, error) {
	address, admin, err := c.admin(endpoint)
	if err != nil {
		return nil, err
	}
	reply, err := admin.Status(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", endpoint, err)
	}
	return reply, nil
}

// StatusAll asks every server that the Clerk knows, all at once, and returns when each has
// answered or failed, in the order of New's endpoints.
func (c *Clerk) StatusAll(ctx context.Context) []ServerStatus {
	var all []ServerStatus
	for _, address := range c.addresses() {
		all = append(all, ServerStatus{Endpoint: address})
	}
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i].Status, all[i].Err = c.Status(ctx, all[i].Endpoint) })
	}
	wg.Wait()
	return all
}

// addresses are those of the servers that are asked.
func (c *Clerk) addresses() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked()
}

// asked is addresses. Caller holds mu.
func (c *Clerk) asked() (all []string) {
	for i := range c.route.Len() {
		if c.route.asked(i) {
			all = append(all, c.route.Server(i))
		}
	}
	return all
}

// TransferLeadership makes the leader, which must be the server at endpoint, transfer
// leadership to the member target, or to a member of its choice if target is 0. It returns
// when that member leads.
func (c *Clerk) TransferLeadership(ctx context.Context, endpoint string, target uint64) (*api.TransferLeadershipReply, error) {
	address, admin, err := c.admin(endpoint)
	if err != nil {
		return nil, err
	}
	reply, err := admin.TransferLeadership(ctx, address, target)
	if err != nil {
		return nil, fmt.Errorf("transfer leadership from %s: %w", endpoint, err)
	}
	return reply, nil
}

// LogLevel changes at what level the server at endpoint logs, to debug, info, warn or error, and tells
// what it was. With an empty level it only tells. The level stays until it is changed again or the
// server ends.
func (c *Clerk) LogLevel(ctx context.Context, endpoint, level string) (*api.LogLevelReply, error) {
	address, admin, err := c.admin(endpoint)
	if err != nil {
		return nil, err
	}
	reply, err := admin.LogLevel(ctx, address, level)
	if err != nil {
		return nil, fmt.Errorf("log level of %s: %w", endpoint, err)
	}
	return reply, nil
}

func (c *Clerk) admin(endpoint string) (address string, admin Admin, err error) {
	admin, ok := c.caller.(Admin)
	if !ok {
		return "", nil, errNoAdmin
	}
	address, s, err := parseEndpoint(endpoint)
	if err != nil {
		return "", nil, err
	}
	c.mu.Lock()
	secure := c.route.Secure()
	c.mu.Unlock()
	if s != anyScheme && (s == tlsScheme) != secure {
		return "", nil, fmt.Errorf("endpoint %q: this Clerk's TLS is %t", endpoint, secure)
	}
	return address, admin, nil
}

// Status implements Admin.
func (n *network) Status(ctx context.Context, address string) (*api.StatusReply, error) {
	l, err := n.link(address)
	if err != nil {
		return nil, err
	}
	return unary(ctx, l, func(ctx context.Context, kv api.KVClient) (*api.StatusReply, error) {
		return kv.Status(ctx, &api.StatusRequest{})
	})
}

// TransferLeadership implements Admin.
func (n *network) TransferLeadership(ctx context.Context, address string, target uint64) (*api.TransferLeadershipReply, error) {
	l, err := n.link(address)
	if err != nil {
		return nil, err
	}
	about, err := n.Status(ctx, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	err = n.sameCluster(about.Name, about.ClusterId)
	n.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return unary(ctx, l, func(ctx context.Context, kv api.KVClient) (*api.TransferLeadershipReply, error) {
		return kv.TransferLeadership(ctx, &api.TransferLeadershipRequest{TargetId: target})
	})
}

// LogLevel implements Admin.
func (n *network) LogLevel(ctx context.Context, address, level string) (*api.LogLevelReply, error) {
	l, err := n.link(address)
	if err != nil {
		return nil, err
	}
	return unary(ctx, l, func(ctx context.Context, kv api.KVClient) (*api.LogLevelReply, error) {
		return kv.LogLevel(ctx, &api.LogLevelRequest{Level: level})
	})
}
