package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"balsa.example/clerk"
	"balsa.example/kv"
)

// Clients of the etcd API get and put the same keys as the others, so that one history has both.
// Beside each of them are a watcher of these keys and a holder of leases.

// leaseKey is the prefix of the keys that hang on the leases of a client.
func (l *load) leaseKey(client int) string { return fmt.Sprintf("e%d-l%d", l.epoch, client) }

// fence is a put of a key of no client, which tells where in the order of all revisions it is.
func (l *load) fence(ctx context.Context, ck *clerk.Clerk, key string) (revision uint64, err error) {
	got, err := l.history.Put(ctx, len(l.clerks), ck, key, key, 0)
	if err != nil {
		return 0, fmt.Errorf("put %q, between epochs: %w", key, err)
	}
	return got.ModRevision, nil
}

// beginEtcd starts the clients of the etcd API for an epoch.
func (l *load) beginEtcd() error {
	ctx, cancel := context.WithTimeout(l.ctx, operationTimeout)
	defer cancel()
	base, err := l.fence(ctx, l.clerks[0], l.key(l.o.keys)+"-begin")
	if err != nil {
		return err
	}
	r := &etcdRecord{
		span: kv.Span{From: fmt.Sprintf("e%d-k", l.epoch), To: fmt.Sprintf("e%d-m", l.epoch)},
		base: base, start: time.Now(), leases: make(map[string]*etcdLease),
	}
	l.record = r
	watching, stop := context.WithCancel(l.ctx)
	r.cancel = stop
	for i := range l.o.etcdClients {
		client := len(l.clerks) + 1 + i
		rng := func(what uint64) *rand.Rand {
			return rand.New(rand.NewPCG(uint64(client), uint64(l.epoch)<<8+what))
		}
		l.running.Go(func() {
			ck := &etcdClient{servers: &l.etcd}
			l.client(client, ck)
			ck.close()
		})
		holder := &etcdHolder{l: l, client: &etcdClient{servers: &l.etcd}, record: r, rng: rng(1)}
		l.running.Go(func() { holder.run(l.leaseKey(client)) })
		r.watch(watching, &etcdClient{servers: &l.etcd}, rng(2), l.key(i))
	}
	return nil
}

// endEtcd ends the epoch of the etcd API: its watchers must have been told of everything.
func (l *load) endEtcd(ctx context.Context, ck *clerk.Clerk) {
	defer l.record.watching.Wait()
	defer l.record.cancel()
	last, err := l.fence(ctx, ck, l.key(l.o.keys)+"-end")
	if err == nil {
		err = l.record.finish(l.ctx, ck, last)
	}
	if err != nil {
		l.record.failed(err)
	}
}
