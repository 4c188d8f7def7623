package service

import (
	"context"
	"errors"
	"fmt"

	"balsa/clerk"
	"balsa/internal/loadgen"
)

// Balsa is a cluster of "balsa serve", asked through Clerks.
type Balsa struct {
	*processes
	clerk *clerk.Clerk
}

// OpenBalsa starts a cluster and waits until it answers.
func OpenBalsa(ctx context.Context, program, dir string) (*Balsa, error) {
	p, err := launch(program, dir, func(m *member, all []*member) []string {
		return append([]string{"serve", "--log-level", "warn"}, commonFlags(m, all)...)
	})
	if err != nil {
		return nil, err
	}
	ck, err := clerk.New(p.endpoints())
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	b := &Balsa{p, ck}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := (clerkSystem{ck}).Get(ctx, "ready"); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for balsa: %w", err), b.Close())
	}
	return b, nil
}

// Systems returns one Clerk: its connection to the leader batches what many callers ask
// at the same time.
func (b *Balsa) Systems(int) ([]loadgen.System, error) {
	return []loadgen.System{clerkSystem{b.clerk}}, nil
}

// Close ends clients and servers.
func (b *Balsa) Close() error {
	b.clerk.Close()
	return b.stop()
}

type clerkSystem struct{ *clerk.Clerk }

func (s clerkSystem) Put(ctx context.Context, key string, value []byte) error {
	_, err := s.Set(ctx, key, value)
	return err
}

func (s clerkSystem) Get(ctx context.Context, key string) error {
	_, err := s.Clerk.Get(ctx, key)
	if errors.Is(err, clerk.ErrNoKey) {
		return nil
	}
	return err
}
