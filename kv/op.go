package kv

import (
	"cmp"
	"fmt"
)

// OpKind says what an Op does.
type OpKind uint8

const (
	// Get reads a key. It goes through the log only where a read must be ordered
	// among the writes by the log itself; Store.Get is the cheap way.
	Get OpKind = iota + 1
	// Put creates a key or replaces its value.
	Put
	// Delete removes a key.
	Delete
)

func (k OpKind) String() string {
	switch k {
	case Get:
		return "get"
	case Put:
		return "put"
	case Delete:
		return "delete"
	}
	return fmt.Sprintf("OpKind(%d)", uint8(k))
}

// valid tells whether this program knows how to execute k.
func (k OpKind) valid() bool { return Get <= k && k <= Delete }

// Op is one operation on one key.
type Op struct {
	Kind OpKind
	Key  string
	// Value is what Put installs. Nil and empty are the same value.
	Value []byte
	// Version is the version that the key must have for Put and Delete to take effect; 0:
	// the key must be absent. Get ignores it, and so does an Unconditional operation.
	Version uint64
	// Unconditional lets Put and Delete take effect at any version.
	Unconditional bool
	// UnchangedSince, if not 0, is a revision of the store: Put and Delete take effect only
	// if the key was neither put nor deleted at a later one. An operation that is sent
	// twice, with the same revision, happens at most once if the store had reached that
	// revision before.
	UnchangedSince uint64
	// Attempt says whether a Put or Delete with UnchangedSince is sent for the first time
	// or again.
	Attempt Attempt
}

// Attempt tells the attempts of one operation apart. At most one of them takes effect, in
// whatever order they arrive, if there is one FirstAttempt, all others are Resends, and all
// carry the same UnchangedSince, which the store had reached before the first was sent:
//
//  1. A Resend that comes after the FirstAttempt took effect is refused, since the key has
//     changed.
//  2. A FirstAttempt that comes after a Resend finds the mark that the Resend has set.
type Attempt uint8

const (
	// AnyAttempt demands UnchangedSince.
	AnyAttempt Attempt = iota
	// FirstAttempt demands UnchangedSince only if a Resend was executed or refused at that
	// revision or later, for the key or for another one with the same mark. So it may carry
	// an old revision.
	FirstAttempt
	// Resend demands UnchangedSince, and sets the mark, be it executed or refused.
	Resend
)

func (a Attempt) valid() bool { return a <= Resend }

// Limits bound what one operation may carry. A zero field stands for the field of
// DefaultLimits.
type Limits struct {
	MaxKeyBytes   int
	MaxValueBytes int
	// MaxTxnOps is how many compares, and how many operations in each of its lists, a
	// transaction may have. So may each one that is nested in it.
	MaxTxnOps int
}

// DefaultLimits apply where none are set. The limit of keys is low because every replica
// holds all keys in memory.
var DefaultLimits = Limits{MaxKeyBytes: 64 << 10, MaxValueBytes: 3 << 19, MaxTxnOps: 128} // 64 KiB, 1.5 MiB

func (l Limits) orDefaults() Limits {
	return Limits{
		MaxKeyBytes:   cmp.Or(l.MaxKeyBytes, DefaultLimits.MaxKeyBytes),
		MaxValueBytes: cmp.Or(l.MaxValueBytes, DefaultLimits.MaxValueBytes),
		MaxTxnOps:     cmp.Or(l.MaxTxnOps, DefaultLimits.MaxTxnOps),
	}
}

// Validate says whether op may be submitted under limits: nil, or an error that names
// the field and wraps ErrUnknownKind, ErrEmptyKey or ErrTooLarge.
//
// The server calls it before Submit. DoOp ignores limits: each server has its own settings,
// so that replicas would diverge.
func (op Op) Validate(limits Limits) error {
	limits = limits.orDefaults()
	switch {
	case !op.Kind.valid():
		return fmt.Errorf("kind is %v: %w", op.Kind, ErrUnknownKind)
	case op.Key == "":
		return ErrEmptyKey
	case len(op.Key) > limits.MaxKeyBytes:
		return tooLarge("key", len(op.Key), limits.MaxKeyBytes)
	case len(op.Value) > limits.MaxValueBytes:
		return tooLarge("value", len(op.Value), limits.MaxValueBytes)
	}
	return nil
}
