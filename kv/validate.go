package kv

import (
	"fmt"
	"math"
)

// MaxTxnDepth is how deep transactions may be nested. A transaction without others in it has
// depth 1. It is part of what commands mean, so that it never changes.
const MaxTxnDepth = 8

// unlimited are the limits of commands that are in the log already.
var unlimited = Limits{MaxKeyBytes: math.MaxInt - 1, MaxValueBytes: math.MaxInt, MaxTxnOps: math.MaxInt}

// Validate says whether a transaction may be submitted under limits: nil, or an error that
// names the field and wraps the sentinel of the refusal.
//
// The server calls it before Submit. A store ignores limits, since each server has its own
// settings, and calls Check.
func (t *Txn) Validate(limits Limits) error {
	limits = limits.orDefaults()
	if err := t.validate(&limits, MaxTxnDepth); err != nil {
		return err
	}
	if kept, most := t.kept(), max(maxKeptBytes/limits.MaxValueBytes, 1); kept > most {
		return fmt.Errorf("%d puts keep the value of their key, those of nested transactions included, the limit is %d, since each counts as a value of %d bytes: %w",
			kept, most, limits.MaxValueBytes, ErrTooLarge)
	}
	return t.validateChanges()
}

// Check says whether a transaction makes sense, in the same way on each replica. All that it
// looks at is the transaction itself.
func (t *Txn) Check() Code {
	err := t.validate(&unlimited, MaxTxnDepth)
	if err == nil {
		err = t.validateChanges()
	}
	code, _ := CodeOf(err)
	return code
}

// validateChanges refuses a transaction that could change a key twice.
func (t *Txn) validateChanges() error {
	if _, err := changesOf(t.Then); err != nil {
		return fmt.Errorf("then: %w", err)
	}
	if _, err := changesOf(t.Else); err != nil {
		return fmt.Errorf("else: %w", err)
	}
	return nil
}

// maxKeptBytes is what the puts of a transaction may write together of values that they keep. Those are not in the
// transaction, and each of them may be as large as the largest value. All of a revision has to fit into memory, and
// into one run, of each member: a transaction that is in the log is executed, whatever comes of it. How large the values
// are by then nobody can tell who validates it: that member may be behind, and other puts come first. So they are counted.
const maxKeptBytes = 256 << 20

// kept is how many values a transaction keeps at most, with those that are nested in it.
func (t *Txn) kept() int {
	in := func(ops []TxnOp) (n int) {
		for i := range ops {
			switch op := &ops[i]; {
			case op.Txn != nil:
				n += op.Txn.kept()
			case op.Put != nil && op.Put.IgnoreValue:
				n++
			}
		}
		return n
	}
	return max(in(t.Then), in(t.Else))
}

// Validate says whether a range may be read under limits. See Txn.Validate.
func (op *RangeOp) Validate(limits Limits) error {
	limits = limits.orDefaults()
	return op.validate(&limits)
}

func (t *Txn) validate(limits *Limits, depth int) error {
	if depth == 0 {
		return fmt.Errorf("transactions are nested more than %d deep: %w", MaxTxnDepth, ErrInvalid)
	}
	if len(t.If) > limits.MaxTxnOps {
		return fmt.Errorf("if has %d compares, the limit is %d: %w", len(t.If), limits.MaxTxnOps, ErrTooManyOps)
	}
	for i := range t.If {
		if err := t.If[i].validate(limits); err != nil {
			return fmt.Errorf("if[%d]: %w", i, err)
		}
	}
	if err := validateOps("then", t.Then, limits, depth); err != nil {
		return err
	}
	return validateOps("else", t.Else, limits, depth)
}

func validateOps(list string, ops []TxnOp, limits *Limits, depth int) error {
	if len(ops) > limits.MaxTxnOps {
		return fmt.Errorf("%s has %d operations, the limit is %d: %w", list, len(ops), limits.MaxTxnOps, ErrTooManyOps)
	}
	for i := range ops {
		if err := ops[i].validate(limits, depth); err != nil {
			return fmt.Errorf("%s[%d]: %w", list, i, err)
		}
	}
	return nil
}

func (op *TxnOp) validate(limits *Limits, depth int) error {
	switch *op {
	case TxnOp{Range: op.Range}, TxnOp{Put: op.Put}, TxnOp{Delete: op.Delete}, TxnOp{Txn: op.Txn}:
	default:
		return fmt.Errorf("more than one of range, put, delete and txn is set: %w", ErrInvalid)
	}
	switch {
	case op.Range != nil:
		return op.Range.validate(limits)
	case op.Put != nil:
		return op.Put.validate(limits)
	case op.Delete != nil:
		return op.Delete.validate(limits)
	case op.Txn != nil:
		return op.Txn.validate(limits, depth-1)
	}
	return fmt.Errorf("none of range, put, delete and txn is set: %w", ErrInvalid)
}

func (op *RangeOp) validate(limits *Limits) error {
	switch {
	case op.Limit < 0:
		return fmt.Errorf("limit is %d: %w", op.Limit, ErrInvalid)
	case op.MaxBytes < 0:
		return fmt.Errorf("max bytes is %d: %w", op.MaxBytes, ErrInvalid)
	case op.Sort > SortByValue:
		return fmt.Errorf("sort is %d: %w", op.Sort, ErrInvalid)
	}
	return op.Span.validate(limits)
}

func (op *PutOp) validate(limits *Limits) error {
	switch {
	case op.Key == "":
		return ErrEmptyKey
	case len(op.Key) > limits.MaxKeyBytes:
		return tooLarge("key", len(op.Key), limits.MaxKeyBytes)
	case len(op.Value) > limits.MaxValueBytes:
		return tooLarge("value", len(op.Value), limits.MaxValueBytes)
	case op.IgnoreValue && len(op.Value) > 0:
		return fmt.Errorf("ignore value, but there is one: %w", ErrInvalid)
	case op.IgnoreLease && op.Lease != 0:
		return fmt.Errorf("ignore lease, but there is one: %w", ErrInvalid)
	}
	return nil
}

func (c *Compare) validate(limits *Limits) error {
	switch {
	case c.Target > TargetLease:
		return fmt.Errorf("target is %d: %w", c.Target, ErrInvalid)
	case c.Relation > NotEqual:
		return fmt.Errorf("relation is %d: %w", c.Relation, ErrInvalid)
	case len(c.Value) > limits.MaxValueBytes:
		return tooLarge("value", len(c.Value), limits.MaxValueBytes)
	}
	return c.Span.validate(limits)
}

// validate allows ends that are one byte longer than a key, since the end of a single key is.
func (s *Span) validate(limits *Limits) error {
	for _, end := range []string{s.From, s.To} {
		if len(end) > limits.MaxKeyBytes+1 {
			return tooLarge("end of a range", len(end), limits.MaxKeyBytes+1)
		}
	}
	return nil
}

func tooLarge(field string, n, limit int) error {
	return fmt.Errorf("%s has %d bytes, the limit is %d: %w", field, n, limit, ErrTooLarge)
}
