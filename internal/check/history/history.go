// Package history records the operations of clients of a key/value service, and checks that
// they are linearizable, with every write executed at most once.
//
//	Check        gets and puts of a key, by all orders that the times allow
//	CheckCalls   all calls, by the store's revisions, against the naive machine
//	CheckStream  what a watcher was told, against the committed history
//	CheckLease   when a lease ended, against what clients know
package history

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"balsa.example/clerk"
)

// Kind is what an operation does.
type Kind uint8

// The operations that a History records.
const (
	Get Kind = iota
	Put
)

// Op is one operation of one client. Times are nanoseconds from a common start.
type Op struct {
	Client       int
	Kind         Kind
	Key          string
	Value        string // that a Put writes, or a Get returns
	Version      uint64 // that a Put expects, or a Get returns
	Revision     uint64 // the key's mod revision, if the answer has it
	Outcome      Outcome
	Call, Return int64
}

// resultVersion is the version that a Put makes if it is executed, or that a Get returned.
func (o Op) resultVersion() uint64 {
	if o.Kind == Put {
		return o.Version + 1
	}
	return o.Version
}

func (o Op) String() string {
	what := fmt.Sprintf("get(%q)", o.Key)
	if o.Kind == Put {
		what = fmt.Sprintf("put(%q, %q, %d)", o.Key, o.Value, o.Version)
	}
	s := fmt.Sprintf("%s -> %s", what, o.Outcome)
	if o.Kind == Get && o.Outcome == OK {
		s += fmt.Sprintf(" %q at %d", o.Value, o.Version)
	}
	return s
}

// Outcome is how an operation ended.
type Outcome uint8

// The outcomes. Maybe is a write that may have been executed, or may be yet.
const (
	OK Outcome = iota
	NoKey
	VersionMismatch
	Maybe
)

func (o Outcome) String() string {
	return [...]string{"ok", "no key", "version mismatch", "maybe"}[o]
}

// never is the return time of a write of unknown outcome.
const never = 1 << 62

// History records operations of many concurrent clients.
type History struct {
	start time.Time
	mu    sync.Mutex
	ops   []Op
	// failed counts the operations that certainly had no effect and returned nothing.
	failed int
}

// New starts a history.
func New() *History { return &History{start: time.Now()} }

// Ops returns what was recorded so far.
func (h *History) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Op(nil), h.ops...)
}

// Len is the number of operations recorded.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// Maybes counts the recorded Puts of unknown outcome.
func (h *History) Maybes() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, op := range h.ops {
		if op.Outcome == Maybe {
			n++
		}
	}
	return n
}

// Failed counts operations that were certainly not executed.
func (h *History) Failed() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

// Client is a *clerk.Clerk, or speaks another API of the service, with the same errors.
type Client interface {
	Get(ctx context.Context, key string, opts ...clerk.ReadOption) (clerk.KV, error)
	Put(ctx context.Context, key string, value []byte, version uint64, opts ...clerk.PutOption) (clerk.KV, error)
}

// Get is ck.Get, recorded for a client.
func (h *History) Get(ctx context.Context, client int, ck Client, key string) (clerk.KV, error) {
	op := Op{Client: client, Kind: Get, Key: key, Call: h.now()}
	kv, err := ck.Get(ctx, key)
	op.Value, op.Version, op.Revision = string(kv.Value), kv.Version, kv.ModRevision
	h.add(op, err)
	return kv, err
}

// Put is ck.Put, recorded for a client.
func (h *History) Put(ctx context.Context, client int, ck Client, key, value string, version uint64) (clerk.KV, error) {
	op := Op{Client: client, Kind: Put, Key: key, Value: value, Version: version, Call: h.now()}
	kv, err := ck.Put(ctx, key, []byte(value), version)
	op.Revision = kv.ModRevision
	h.add(op, err)
	return kv, err
}

func (h *History) now() int64 { return int64(time.Since(h.start)) }

func (h *History) add(op Op, err error) {
	op.Return = h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		op.Outcome = OK
	case op.Kind == Put && errors.Is(err, clerk.ErrMaybe):
		op.Outcome, op.Return = Maybe, never
	case errors.Is(err, clerk.ErrVersion):
		op.Outcome = VersionMismatch
	case errors.Is(err, clerk.ErrNoKey):
		op.Outcome = NoKey
	default:
		h.failed++
		return
	}
	h.ops = append(h.ops, op)
}
