package clerk

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"balsa.example/api"
)

// Clerk talks to a cluster for its user. Make one with New.
type Clerk struct {
	caller   Caller
	maxBytes int
	pace     Pace
	done     chan struct{} // closed by Close
	keeper   *keeper       // of the leases
	renewals renewals
	session  *sessions    // nil: writes have none
	tracer   trace.Tracer // nil: no spans

	mu     sync.Mutex // guards the fields below; held only while an Op decides
	route  *Route
	rand   Rand
	closed bool
}

// KV is a key as an operation found or left it.
type KV struct {
	Key   string
	Value []byte
	// Version counts the writes of the key since it was created, that one included.
	Version uint64
	// CreateRevision and ModRevision are the store's revisions that created and last
	// changed the key. Revision is the store's when the operation was executed: the
	// count of all writes.
	CreateRevision, ModRevision, Revision uint64
	// Lease is the id of the lease that the key hangs on; 0: none.
	Lease int64
	// Prev is what the key held before a write with WithPrev; nil if it was absent.
	Prev *KV
	// Incomplete tells of a write that it was executed, and that not all of its reply could be
	// had: Prev is missing, and versions and revisions that are 0 are not known.
	Incomplete bool
}

// New returns a Clerk for a cluster. The endpoints are some of its servers; the Clerk finds
// the others. An endpoint is host:port or http(s)://host:port. New makes no connection yet.
func New(endpoints []string, opts ...Option) (*Clerk, error) {
	cfg := config{
		maxBytes: DefaultMaxBytes,
		pace: Pace{
			AttemptNanos: int64(DefaultAttemptTimeout),
			WaitNanos:    int64(firstWait),
			MaxWaitNanos: int64(maxWait),
		},
	}
	for _, opt := range opts {
		opt(&cfg)
	}
	if cfg.pace.AttemptNanos <= 0 {
		return nil, fmt.Errorf("attempt timeout must be above 0")
	}
	security, err := cfg.newSecurity()
	if err != nil {
		return nil, err
	}
	route, err := NewRoute(endpoints, security != nil)
	if err != nil {
		return nil, err
	}
	if cfg.rand == nil {
		cfg.rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if cfg.caller == nil {
		if security == nil {
			security = plainOrDefault(route.Secure())
		}
		cfg.caller = newNetwork(cfg.dial, security, cfg.login)
	}
	c := &Clerk{
		caller:   cfg.caller,
		maxBytes: cfg.maxBytes,
		pace:     cfg.pace,
		done:     make(chan struct{}),
		route:    route,
		rand:     cfg.rand,
		tracer:   cfg.tracer,
	}
	if m, ok := c.caller.(MemberCaller); ok {
		m.OnMembers(c.follow)
	}
	c.keeper = newKeeper(c)
	c.renewals.clerk = c
	if cfg.sessionTTL > 0 {
		c.session = newSessions(c, cfg.sessionTTL)
	}
	return c, nil
}

// follow takes note of who the members are.
func (c *Clerk) follow(members []*api.Leader, revision uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.route.Members(members, revision)
	if n, ok := c.caller.(*network); ok {
		n.keep(c.asked())
	}
}

// closePatience is how long Close waits for the revocation of leases that were abandoned.
const closePatience = 2 * time.Second

// Close ends the operations in progress, with ErrClosed, and all connections. Before that it waits
// until the leases that were abandoned are revoked, for 2 s at most: see Lease.Abandon.
func (c *Clerk) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if !first {
		return nil
	}
	c.keeper.settle(closePatience)
	close(c.done)
	err := c.caller.Close()
	c.keeper.close()
	return err
}

// Get returns what the key holds, or ErrNoKey.
func (c *Clerk) Get(ctx context.Context, key string, opts ...ReadOption) (KV, error) {
	req := &api.Request{Kind: api.Request_GET, Key: []byte(key)}
	if len(opts) > 0 {
		q := newReading(Key(key), opts)
		if q.message.Revision != 0 {
			return c.getAt(ctx, key, q)
		}
		req.Consistency = q.consistency
	}
	r, err := c.do(ctx, req)
	if err != nil {
		return KV{}, err
	}
	return stamped(key, r.Value, r), nil
}

// Put sets the key's value if it is at version; 0 creates the key. With an option, and without
// a session, it is not sent again after a lost reply, as Set is not.
func (c *Clerk) Put(ctx context.Context, key string, value []byte, version uint64, opts ...PutOption) (KV, error) {
	return c.put(ctx, key, value, &api.Request{Version: version}, opts)
}

// Set sets the key's value whatever its version. After a lost reply it is not sent
// again and ends in ErrMaybe, so prefer Put where the version is known, or use a session.
func (c *Clerk) Set(ctx context.Context, key string, value []byte, opts ...PutOption) (KV, error) {
	return c.put(ctx, key, value, &api.Request{Unconditional: true}, opts)
}

func (c *Clerk) put(ctx context.Context, key string, value []byte, req *api.Request, opts []PutOption) (KV, error) {
	req.Kind, req.Key = api.Request_PUT, []byte(key)
	req.Value = value
	if len(value) <= c.maxBytes {
		req.Value = append([]byte(nil), value...) // it may be sent after we have returned
	}
	if len(opts) > 0 {
		more := new(api.Put)
		for _, opt := range opts {
			opt.put(more)
		}
		req.Call = &api.Request_Put{Put: more}
	}
	r, err := c.write(ctx, req)
	if err != nil {
		return KV{}, err
	}
	kv := stamped(key, value, r)
	if kv.Incomplete = r.GetIncomplete(); kv.Incomplete && kv.Version == 0 {
		kv.ModRevision, kv.Lease = r.GetDoneAt(), req.GetPut().GetLease()
		if !req.Unconditional {
			kv.Version = req.Version + 1
		}
	}
	if prev := r.GetPrev(); prev != nil {
		before := entry(prev, r.Revision)
		kv.Prev = &before
	}
	return kv, nil
}

// Delete removes the key if it is at version.
func (c *Clerk) Delete(ctx context.Context, key string, version uint64) error {
	_, err := c.write(ctx, &api.Request{
		Kind: api.Request_DELETE, Key: []byte(key), Version: version,
	})
	return err
}

// Remove removes the key whatever its version. Like Set, it is not sent again after a
// lost reply.
func (c *Clerk) Remove(ctx context.Context, key string) error {
	_, err := c.write(ctx, &api.Request{Kind: api.Request_DELETE, Key: []byte(key), Unconditional: true})
	return err
}

func stamped(key string, value []byte, r *api.Reply) KV {
	return KV{
		Key:            key,
		Value:          value,
		Version:        r.Version,
		CreateRevision: r.CreateRevision,
		ModRevision:    r.ModRevision,
		Lease:          r.KeyLease,
		Revision:       r.Revision,
	}
}
