package state

import (
	"math/bits"
	"time"

	"balsa.example/kv"
)

// Figures are those of one replica, for people. Sizes are in bytes.
type Figures struct {
	kv.Figures
	Leases, Sessions int // Leases has the sessions, too
	LeasesEver       LeaseCounts
	Quota            int64
	// Refused is the size of the last write that the quota has refused, 0 for none. Until the cluster uses
	// commands of version 3 it counts since the start of this replica.
	Refused int64
	// Runs and RunBytes are the files of the history.
	Runs     int
	RunBytes int64
	// Scrubbed and Repaired count since the start; Damaged are the files that could not be repaired.
	Scrubbed, Repaired uint64
	Damaged            int
}

// LeaseCounts are what became of leases, sessions included: how many were granted, kept alive, revoked, and have
// expired. Each member counts what it executes.
type LeaseCounts struct {
	Granted, Renewed, Revoked, Expired uint64
	TTLs                               TTLCounts
}

// TTLCounts are how many leases were granted by their times to live: UpTo[i] of more than 2^(i-1) and at most 2^i seconds,
// the last of more than that. Seconds is the sum.
type TTLCounts struct {
	UpTo    [ttlBuckets + 1]uint64
	Seconds float64
}

const ttlBuckets = 24

// add counts a lease with a time to live in nanoseconds.
func (c *TTLCounts) add(ttl int64) {
	c.UpTo[min(bits.Len64(uint64(max(ttl-1, 0))/uint64(time.Second)), ttlBuckets)]++
	c.Seconds += time.Duration(ttl).Seconds()
}

// Figures returns figures of this replica.
func (m *Machine) Figures() Figures {
	p := m.present.Load()
	f := Figures{Figures: p.keys.Figures(), Quota: p.quota.Load(), Refused: p.refused.Load()}
	p.leases.mu.Lock()
	f.Leases, f.Sessions, f.LeasesEver = p.leases.table.Len(), p.leases.table.Sessions(), p.leases.ever
	p.leases.mu.Unlock()
	m.scrubs.mu.Lock()
	f.Scrubbed, f.Repaired, f.Damaged = m.scrubs.scrubbed, m.scrubs.repaired, len(m.scrubs.damaged)
	if m.isSmallDamaged() {
		f.Damaged++
	}
	m.scrubs.mu.Unlock()
	for _, r := range p.history.Runs() {
		f.Runs++
		f.RunBytes += r.Bytes
	}
	return f
}

// AtQuota tells whether the quota refuses puts: it has no byte left, or the last put that it has
// refused would be refused again. All replicas agree about it, and it ends by itself.
func (f Figures) AtQuota() bool {
	return f.Quota > 0 && (f.Bytes >= f.Quota || f.Refused > 0 && f.Bytes+f.Refused > f.Quota)
}
