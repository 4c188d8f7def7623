package service

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"balsa/internal/loadgen"
)

// maxEtcdClients bounds the clients, each with its own connections. More callers than
// that share them.
const maxEtcdClients = 8

// Etcd is a cluster of etcd, asked through clientv3.
type Etcd struct {
	*processes
	clients []*clientv3.Client
}

// OpenEtcd starts a cluster and waits until it answers. Etcd's defaults stand, but
// that its database may grow beyond 2 GiB, which a long run needs.
func OpenEtcd(ctx context.Context, program, dir string) (*Etcd, error) {
	p, err := launch(program, dir, func(m *member, all []*member) []string {
		return append(commonFlags(m, all), "--log-level", "error", "--quota-backend-bytes", "8589934592")
	})
	if err != nil {
		return nil, err
	}
	e := &Etcd{processes: p}
	systems, err := e.Systems(1)
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for err = systems[0].Get(ctx, "ready"); err != nil && ctx.Err() == nil; {
		err = systems[0].Get(ctx, "ready")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wait for etcd: %w", err), e.Close())
	}
	return e, nil
}

// Systems returns as many clients as serve so many callers best.
func (e *Etcd) Systems(callers int) (systems []loadgen.System, err error) {
	for len(e.clients) < min(callers, maxEtcdClients) {
		c, err := clientv3.New(clientv3.Config{Endpoints: e.endpoints()})
		if err != nil {
			return nil, err
		}
		e.clients = append(e.clients, c)
	}
	for _, c := range e.clients[:min(callers, maxEtcdClients)] {
		systems = append(systems, etcdSystem{c})
	}
	return systems, nil
}

// Close ends clients and servers.
func (e *Etcd) Close() error {
	for _, c := range e.clients {
		c.Close()
	}
	return e.stop()
}

type etcdSystem struct{ *clientv3.Client }

func (s etcdSystem) Put(ctx context.Context, key string, value []byte) error {
	_, err := s.Client.Put(ctx, key, string(value))
	return err
}

func (s etcdSystem) Get(ctx context.Context, key string) error {
	_, err := s.Client.Get(ctx, key)
	return err
}
