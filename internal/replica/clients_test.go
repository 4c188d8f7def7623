package replica_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/check/memclerk"
	"balsa.example/raft"
)

// opTimeout is how long an operation may take, whatever the faults. It leaves time
// for them to end: no operation of a scenario may fail to complete.
const opTimeout = 60 * time.Second

// address is where clients find a server.
func address(id raft.NodeID) string { return fmt.Sprintf("server-%d:1", uint64(id)) }

// impatience is the attempt timeout of every second client. While the others wait for a
// leader that lost its majority, these find the new one, and write what the old one does
// not know of.
const impatience = 300 * time.Millisecond

// clerk returns a Clerk for the client of this number.
func (c *scenarioRun) clerk(client int) *clerk.Clerk {
	timeout := clerk.DefaultAttemptTimeout
	if client%2 == 1 {
		timeout = impatience
	}
	addresses := make([]string, len(c.ids))
	for i, id := range c.ids {
		addresses[i] = address(id)
	}
	ck, err := clerk.New(addresses,
		clerk.WithCaller(&caller{c, fmt.Sprint(client)}),
		clerk.WithAttemptTimeout(timeout),
		clerk.WithRand(rand.New(rand.NewPCG(c.seed, uint64(client)))))
	if err != nil {
		panic(err) // the addresses are well formed
	}
	return ck
}

// caller is one client's way over the network to the servers.
type caller struct {
	cluster *scenarioRun
	client  string
}

// Call implements clerk.Caller.
func (c *caller) Call(ctx context.Context, address string, req *api.Request, timeout time.Duration) (clerk.Answer, error) {
	id := raft.NodeID(c.Node(address))
	return memclerk.Call(ctx, c.cluster.net, c.client, id, timeout,
		func(ctx context.Context) (*api.Reply, error) { return c.cluster.serve(ctx, id, req) })
}

// Node implements clerk.Caller.
func (c *caller) Node(address string) (id uint64) {
	if _, err := fmt.Sscanf(address, "server-%d:1", &id); err != nil {
		panic(err)
	}
	return id
}

// Close implements clerk.Caller.
func (c *caller) Close() error { return nil }

// get and put are a Clerk's operations, recorded in the history. They must complete.

func (c *scenarioRun) get(client int, ck *clerk.Clerk, key string) clerk.KV {
	ctx, cancel := context.WithTimeout(c.ctx, opTimeout)
	defer cancel()
	kv, err := c.history.Get(ctx, client, ck, key)
	if err != nil && !errors.Is(err, clerk.ErrNoKey) && c.ctx.Err() == nil {
		c.t.Errorf("client %d: %v", client, err)
	}
	return kv
}

func (c *scenarioRun) put(client int, ck *clerk.Clerk, key, value string, version uint64) error {
	ctx, cancel := context.WithTimeout(c.ctx, opTimeout)
	defer cancel()
	_, err := c.history.Put(ctx, client, ck, key, value, version)
	if ctx.Err() != nil && c.ctx.Err() == nil {
		c.t.Errorf("client %d: %v", client, err)
	}
	return err
}

// mustPut is put where nothing can go wrong.
func (c *scenarioRun) mustPut(client int, ck *clerk.Clerk, key, value string, version uint64) {
	c.t.Helper()
	if err := c.put(client, ck, key, value, version); err != nil {
		c.t.Fatal(err)
	}
}

// client repeats until done is closed: Put at the last version seen, Get, remember.
func (c *scenarioRun) client(number, round, keys int, done <-chan struct{}) {
	ck := c.clerk(number)
	random := rand.New(rand.NewPCG(c.seed, uint64(1000*round+number)))
	versions := make([]uint64, keys)
	for i := 0; !c.over(done); i++ {
		k := random.IntN(keys)
		_ = c.put(number, ck, keyName(k), fmt.Sprint(round, "-", number, "-", i), versions[k])
		versions[k] = c.get(number, ck, keyName(k)).Version
	}
}

// reader repeats Get until done is closed. It stays with a leader that lost its
// majority as long as that answers, where others leave it because of their Puts.
func (c *scenarioRun) reader(number, keys int, done <-chan struct{}) {
	ck := c.clerk(number)
	for i := 0; !c.over(done); i++ {
		c.get(number, ck, keyName(i%keys))
	}
}

// over tells whether done is closed or the cluster is.
func (c *scenarioRun) over(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return c.ctx.Err() != nil
	}
}

func keyName(i int) string { return fmt.Sprint("k", i) }
