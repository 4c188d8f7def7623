package access

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"balsa.example/internal/fair"
)

const (
	// maxWaiting bounds the passwords that wait to be hashed.
	maxWaiting = 256
	// maxAttempts is how often a password is checked again that is changed meanwhile.
	maxAttempts = 8
)

// hasher hashes a few passwords at a time. Each takes some 50 ms of a processor, and others need
// those. The addresses that clients connect from take turns: who guesses passwords keeps nobody else waiting.
type hasher struct {
	cost  int
	queue *fair.Queue
	// nobody is the hash that is compared with where there is no user of a name, so that the
	// answer takes as long.
	nobody func() []byte
}

func newHasher(cost int) hasher {
	cost = cmp.Or(cost, bcrypt.DefaultCost)
	return hasher{
		cost: cost,
		nobody: sync.OnceValue(func() []byte {
			hash, _ := bcrypt.GenerateFromPassword([]byte("nobody"), cost)
			return hash
		}),
		queue: fair.NewQueue(max(1, runtime.GOMAXPROCS(0)/2), maxWaiting),
	}
}

// do hashes something, when it is its turn, for a client from somewhere.
func (h *hasher) do(ctx context.Context, source string, hash func() error) error {
	err := h.queue.Enter(ctx, source)
	switch {
	case errors.Is(err, fair.ErrFull):
		return ErrBusy
	case err != nil:
		return err
	}
	defer h.queue.Leave()
	return hash()
}

// HashPassword returns what is stored of a new password, for a client from a source (package fair). The error
// may be one of bcrypt: it takes 72 bytes at most.
func (c *Control) HashPassword(ctx context.Context, source, password string) (hash []byte, err error) {
	err = c.hasher.do(ctx, source, func() (err error) {
		hash, err = bcrypt.GenerateFromPassword([]byte(password), c.hasher.cost)
		return err
	})
	return hash, err
}

// Authenticate returns a token for a user with a password, for a client from a source (package fair). The
// errors are ErrNotEnabled, ErrFailed, ErrNoPasswordUser, ErrBusy and those of Member.Read.
func (c *Control) Authenticate(ctx context.Context, source, name, password string) (token string, err error) {
	for range maxAttempts {
		if err := c.member.Read(ctx); err != nil {
			return "", err
		}
		t := c.Table()
		if !t.Enabled() {
			return "", ErrNotEnabled
		}
		u := t.User(name)
		if u != nil && u.NoPassword {
			return "", ErrNoPasswordUser
		}
		err := c.hasher.do(ctx, source, func() error {
			hash := c.hasher.nobody()
			if u != nil {
				hash = u.Hash
			}
			return bcrypt.CompareHashAndPassword(hash, []byte(password))
		})
		switch {
		case errors.Is(err, ErrBusy), err != nil && ctx.Err() != nil:
			return "", err
		case err != nil, u == nil:
			return "", ErrFailed
		}
		// It may have got another password since.
		if t = c.Table(); t.Enabled() && t.User(name) != nil && t.User(name).Stamp == u.Stamp {
			return c.cfg.Tokens.issue(t, c.cfg.Cluster, User{name, u.Stamp}, c.cfg.Clock())
		}
	}
	return "", ErrFailed
}
