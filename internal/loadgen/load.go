// Package loadgen puts load on a key/value system and measures throughput and latencies.
//
//	Load ──► Generator.Run ──► caller ─┬─► System.Put, System.Get, Store.Txn, ...
//	                           caller ─┤         │
//	                           caller ─┘         ▼
//	         Report ◄── percentiles ◄── HDR histograms of the latencies
//
// The package does not import the rest of balsa. It measures anything that implements System,
// so that different systems get exactly the same load.
//
// # What is measured
//
// Without a rate each caller sends its next operation when the last one has ended (a
// closed loop), and a latency is the time of the call. With a rate each operation has a
// scheduled time (an open loop), which does not move when the system stalls. A latency then
// counts from the scheduled time, so that the wait for a free caller is included. Operations
// that failed are counted by kind; their latencies are not in the histograms.
//
// Watchers, if there are any, watch all keys of the load. Each value then says when its put
// began, so that a watcher knows how old a value is when it is delivered.
package loadgen

import (
	"context"
	"fmt"
	"time"
)

// System is the system under load. It is called by many goroutines at a time.
type System interface {
	// Put sets a key. The value may be kept, but not written to.
	Put(ctx context.Context, key string, value []byte) error
	// Get reads a key. An absent key is not an error.
	Get(ctx context.Context, key string) error
}

// Store is a System that can do more than put and get. It is called by many goroutines at a
// time.
type Store interface {
	System
	// Txn sets a key in a transaction of one compare, that the key exists, and one put. It is an
	// error if the key does not exist.
	Txn(ctx context.Context, key string, value []byte) error
	// Update reads a key and sets it, if nobody else has set it meanwhile; else it does so again.
	Update(ctx context.Context, key string, value []byte) error
	// Range reads the keys from one to another, which is included.
	Range(ctx context.Context, first, last string) error
	// Grant makes a lease; nothing but KeepAlive need keep it alive.
	Grant(ctx context.Context, ttl time.Duration) (id int64, err error)
	KeepAlive(ctx context.Context, id int64) error
	Revoke(ctx context.Context, id int64) error
	// Watch calls deliver with each value that a key with the prefix is set to, until ctx ends.
	// Before it returns an error, it may have missed some.
	Watch(ctx context.Context, prefix string, deliver func(value []byte)) error
}

// Operation is what callers do instead of Puts and Gets. It takes a Store.
type Operation string

const (
	Txn       Operation = "txn"
	Update    Operation = "update"
	Range     Operation = "range"
	KeepAlive Operation = "keep-alive" // of as many leases as there are keys
)

// operations are the kinds of what callers do, besides gets.
var operations = map[Operation]kind{"": put, Txn: txn, Update: update, Range: ranges, KeepAlive: keepAlive}

// Load says what callers do, and for how long. Callers, Keys, KeySize, and one of Duration
// and Ops are required.
type Load struct {
	Callers int `json:"callers"`
	// Operation is empty for Puts and Gets.
	Operation Operation `json:"operation,omitempty"`
	// Reads is the share of Gets among the operations, from 0 to 1.
	Reads float64 `json:"reads"`
	// RangeKeys is how many keys a Range reads.
	RangeKeys int `json:"range_keys,omitempty"`
	// Watchers watch all keys meanwhile. They take a Store.
	Watchers int `json:"watchers,omitempty"`

	Keys         int          `json:"keys"`
	KeySize      int          `json:"key_bytes"`
	ValueSize    int          `json:"value_bytes"`
	Distribution Distribution `json:"distribution"`
	Seed         uint64       `json:"seed"` // of the choice of keys and operations

	// Rate bounds the operations per second of all callers together; 0: no bound.
	Rate float64 `json:"rate,omitempty"`
	// Timeout bounds each operation; 0: only the context of Run does.
	Timeout time.Duration `json:"timeout_ns,omitempty"`
	// No operation begins later than Duration after the start; 0: no bound.
	Duration time.Duration `json:"duration_ns,omitempty"`
	// Ops bounds the number of operations; 0: no bound.
	Ops int64 `json:"ops,omitempty"`
}

// Distribution says how keys are chosen.
type Distribution string

const (
	// Uniform chooses all keys with the same probability.
	Uniform Distribution = "uniform"
	// Zipf chooses key k with a probability proportional to 1/(k+1)^1.1: few keys are hot.
	Zipf Distribution = "zipf"
	// Sequential goes through all keys in order, again and again, all callers together.
	Sequential Distribution = "sequential"
)

// maxCallers, also of watchers: with more goroutines the generator itself would be the
// bottleneck.
const maxCallers = 100_000

// needsStore tells whether a System that can only put and get is not enough.
func (l Load) needsStore() bool { return l.Operation != "" || l.Watchers > 0 }

// Validate returns nil, or an error that names the field.
func (l Load) Validate() error {
	if _, ok := operations[l.Operation]; !ok {
		return fmt.Errorf("operation is %q; it must be empty, txn, update, range or keep-alive", l.Operation)
	}
	switch {
	case l.Callers < 1 || l.Callers > maxCallers:
		return fmt.Errorf("callers is %d; it must be from 1 to %d", l.Callers, maxCallers)
	case !(l.Reads >= 0 && l.Reads <= 1):
		return fmt.Errorf("read ratio is %v; it must be from 0 to 1", l.Reads)
	case l.Keys < 1:
		return fmt.Errorf("keys is %d; it must be above 0", l.Keys)
	case l.KeySize < minKeySize(l.Keys):
		return fmt.Errorf("key size is %d bytes; %d keys take at least %d", l.KeySize, l.Keys, minKeySize(l.Keys))
	case l.ValueSize < 0:
		return fmt.Errorf("value size is %d bytes", l.ValueSize)
	case l.Distribution != Uniform && l.Distribution != Zipf && l.Distribution != Sequential:
		return fmt.Errorf("distribution is %q; it must be uniform, zipf or sequential", l.Distribution)
	case l.Operation == Range && (l.RangeKeys < 1 || l.RangeKeys > l.Keys):
		return fmt.Errorf("keys of a range are %d; they must be from 1 to the number of keys, %d", l.RangeKeys, l.Keys)
	case l.Watchers < 0 || l.Watchers > maxCallers:
		return fmt.Errorf("watchers is %d; it must be from 0 to %d", l.Watchers, maxCallers)
	case l.Watchers > 0 && l.ValueSize < stampSize:
		return fmt.Errorf("value size is %d bytes; with watchers it must be at least %d", l.ValueSize, stampSize)
	case !(l.Rate >= 0 && l.Rate <= 1e9):
		return fmt.Errorf("rate is %v operations per second; it must be from 0 (no limit) to 1e9", l.Rate)
	case l.Timeout < 0 || l.Duration < 0 || l.Ops < 0:
		return fmt.Errorf("durations and ops must not be negative")
	case l.Duration == 0 && l.Ops == 0:
		return fmt.Errorf("neither a duration nor a number of operations is given")
	}
	return nil
}
