package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"balsa.example/internal/loadgen"
)

// Etcd is a cluster of etcd, or of balsa, asked through clientv3.
type Etcd struct {
	*processes
	client *clientv3.Client
}

// OpenEtcd starts a cluster and waits until it answers. It uses etcd's defaults, except that the
// database may grow beyond 2 GiB, which a long run needs.
func OpenEtcd(ctx context.Context, program, dir string) (*Etcd, error) {
	return openEtcd(ctx, program, dir, func(m *member, all []*member) []string {
		return append(commonFlags(m, all), "--log-level", "error", "--quota-backend-bytes", "8589934592")
	})
}

// OpenBalsaAsEtcd starts a cluster of balsa whose clients are etcd's, and waits until it answers.
func OpenBalsaAsEtcd(ctx context.Context, program, dir string) (*Etcd, error) {
	return openEtcd(ctx, program, dir, func(m *member, all []*member) []string {
		return slices.Concat([]string{"serve", "--log-level", "warn"}, commonFlags(m, all))
	})
}

func openEtcd(ctx context.Context, program, dir string, arguments func(m *member, all []*member) []string) (*Etcd, error) {
	p, err := launch(program, dir, make([]string, members), arguments)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	leader, err := findEtcdLeader(ctx, p.endpoints())
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{leader}})
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return &Etcd{p, c}, nil
}

// findEtcdLeader waits until a server says that it leads.
func findEtcdLeader(ctx context.Context, endpoints []string) (string, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return "", err
	}
	defer c.Close()
	for {
		for _, endpoint := range endpoints {
			s, err := c.Status(ctx, endpoint)
			if err == nil && s.Leader == s.Header.MemberId {
				return endpoint, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for etcd: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Systems returns one client, which talks to the leader. That is best for etcd: more clients, or one
// that takes turns among the servers, cost processor time.
func (e *Etcd) Systems(int) ([]loadgen.System, error) {
	return []loadgen.System{etcdSystem{e.client}}, nil
}

// Close ends client and servers.
func (e *Etcd) Close() error {
	e.client.Close()
	return e.stop()
}
