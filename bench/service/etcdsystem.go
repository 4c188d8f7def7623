package service

import (
	"context"
	"fmt"
	"math"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"balsa.example/internal/loadgen"
)

// etcdSystem is a client of etcd as a loadgen.Store.
type etcdSystem struct{ *clientv3.Client }

var _ loadgen.Store = etcdSystem{}

func (s etcdSystem) Put(ctx context.Context, key string, value []byte) error {
	_, err := s.Client.Put(ctx, key, string(value))
	return err
}

func (s etcdSystem) Get(ctx context.Context, key string) error {
	_, err := s.Client.Get(ctx, key)
	return err
}

func (s etcdSystem) Txn(ctx context.Context, key string, value []byte) error {
	r, err := s.Client.Txn(ctx).If(clientv3.Compare(clientv3.Version(key), ">", 0)).Then(clientv3.OpPut(key, string(value))).Commit()
	if err == nil && !r.Succeeded {
		err = fmt.Errorf("transaction on %s: there is no such key", key)
	}
	return err
}

func (s etcdSystem) Update(ctx context.Context, key string, value []byte) error {
	_, err := concurrency.NewSTM(s.Client, func(stm concurrency.STM) error {
		stm.Get(key)
		stm.Put(key, string(value))
		return nil
	}, concurrency.WithAbortContext(ctx))
	return err
}

func (s etcdSystem) Range(ctx context.Context, first, last string) error {
	_, err := s.Client.Get(ctx, first, clientv3.WithRange(last+"\x00"))
	return err
}

func (s etcdSystem) Grant(ctx context.Context, ttl time.Duration) (int64, error) {
	r, err := s.Client.Grant(ctx, int64(math.Ceil(ttl.Seconds())))
	if err != nil {
		return 0, err
	}
	return int64(r.ID), nil
}

// KeepAlive asks once: Client.KeepAlive would do so in its own rhythm.
func (s etcdSystem) KeepAlive(ctx context.Context, id int64) error {
	_, err := s.KeepAliveOnce(ctx, clientv3.LeaseID(id))
	return err
}

func (s etcdSystem) Revoke(ctx context.Context, id int64) error {
	_, err := s.Client.Revoke(ctx, clientv3.LeaseID(id))
	return err
}

// Watch shares one stream with all watchers of the client.
func (s etcdSystem) Watch(ctx context.Context, prefix string, deliver func(value []byte)) error {
	for r := range s.Client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithFilterDelete()) {
		if err := r.Err(); err != nil {
			return err
		}
		for _, e := range r.Events {
			deliver(e.Kv.Value)
		}
	}
	return ctx.Err()
}
