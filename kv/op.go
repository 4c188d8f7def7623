package kv

import "fmt"

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
	// Version is what the key must be at for Put and Delete to take effect, 0 meaning
	// that there is no such key. Get, and Unconditional, ignore it.
	Version uint64
	// Unconditional lets Put and Delete take effect at any version.
	Unconditional bool
	// UnchangedSince, if not 0, is a store revision: Put and Delete take effect only if
	// the key was neither put nor deleted at a later one. Sent twice with one
	// revision that the store had reached before, an operation happens at most once.
	UnchangedSince uint64
	// Attempt says whether a Put or Delete with UnchangedSince is sent for the first time, or
	// again.
	Attempt Attempt
}

// Attempt tells the attempts of one operation apart. Together they happen at most once:
// of a FirstAttempt and any Resends that all carry one UnchangedSince, which the store had
// reached before the first of them was sent, at most one takes effect, in whatever order
// they arrive. A Resend is refused if the FirstAttempt took effect, since that changed the
// key; a FirstAttempt that comes after a Resend finds its trace.
type Attempt uint8

const (
	// AnyAttempt demands UnchangedSince.
	AnyAttempt Attempt = iota
	// FirstAttempt demands UnchangedSince only if a Resend for the key, or for one of the
	// few that share its trace, was executed or refused at that revision or later. So it
	// may carry an old revision.
	FirstAttempt
	// Resend demands UnchangedSince, and leaves the trace, be it executed or refused.
	Resend
)

func (a Attempt) valid() bool { return a <= Resend }

// Limits bound what one operation may carry, in bytes. A zero field stands for the
// field of DefaultLimits.
type Limits struct {
	MaxKeyBytes   int
	MaxValueBytes int
}

// DefaultLimits are in force where nothing else was asked for. Keys are kept small
// because every replica holds all of them in memory.
var DefaultLimits = Limits{MaxKeyBytes: 64 << 10, MaxValueBytes: 3 << 19} // 64 KiB, 1.5 MiB

// Validate says whether op may be submitted under limits: nil, or an error that names
// the field and wraps ErrUnknownKind, ErrEmptyKey or ErrTooLarge.
//
// It belongs at the server's edge. DoOp does not look at limits, because they are a
// setting of each server: replicas with different settings would diverge over it.
func (op Op) Validate(limits Limits) error {
	maxKey, maxValue := limits.MaxKeyBytes, limits.MaxValueBytes
	if maxKey == 0 {
		maxKey = DefaultLimits.MaxKeyBytes
	}
	if maxValue == 0 {
		maxValue = DefaultLimits.MaxValueBytes
	}
	switch {
	case !op.Kind.valid():
		return fmt.Errorf("kind is %v: %w", op.Kind, ErrUnknownKind)
	case op.Key == "":
		return ErrEmptyKey
	case len(op.Key) > maxKey:
		return fmt.Errorf("key has %d bytes, the limit is %d: %w", len(op.Key), maxKey, ErrTooLarge)
	case len(op.Value) > maxValue:
		return fmt.Errorf("value has %d bytes, the limit is %d: %w", len(op.Value), maxValue, ErrTooLarge)
	}
	return nil
}
