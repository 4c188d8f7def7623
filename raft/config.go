package raft

import "fmt"

// Rand is the source of the core's randomness: for election timeouts, and for Config.FirstID
// where that is 0. *math/rand/v2.Rand is one.
type Rand interface {
	IntN(n int) int
	Uint64() uint64
}

// Config is what New needs to know. ID and Rand are required; 0 means the default that a field
// names. Bounds on the bytes of several entries are in the measure of Entry.Size, and do not stop
// an entry that is alone.
type Config struct {
	ID NodeID
	// HeartbeatTicks is the number of Ticks between heartbeats (default 1).
	HeartbeatTicks int
	// ElectionTimeoutTicks is the number of Ticks without word from a leader after which an
	// election may begin (default 10). Each node waits for a random number between one and two
	// times as many. It must be above HeartbeatTicks.
	ElectionTimeoutTicks int
	// MaxAppendBytes bounds the entries of one AppendEntries (default 1 MiB).
	MaxAppendBytes int
	// MaxInflightAppends and MaxInflightBytes bound what is sent to one peer and not yet
	// acknowledged (defaults 256 and 16 MiB).
	MaxInflightAppends int
	MaxInflightBytes   int
	// MaxEntryBytes bounds the data of one entry (default 8 MiB). Propose refuses more with
	// ErrTooLarge. The network must be able to carry a message with one such entry. A configuration
	// has bounds of its own (see MaxMembers), and must fit as well.
	MaxEntryBytes int
	// MaxPendingBytes bounds a leader's entries that are not yet applied (default 64 MiB).
	// Beyond it Propose returns ErrBusy. A change of the members, of which there is one at a time, is
	// taken all the same.
	MaxPendingBytes int
	// MaxUnstableBytes bounds the entries that are not on this node's disk yet (default 64 MiB).
	// Beyond it Propose returns ErrBusy on a leader, and a follower takes no entries, until the
	// disk has caught up. MaxPendingBytes does not bound these: entries that a majority has on
	// disk are applied, even if this node's disk hangs.
	MaxUnstableBytes int
	// MaxUnappliedBytes bounds a follower's entries that are not yet applied (default 64 MiB).
	// Beyond it the follower takes no entries until it has applied some. The log that the node
	// was started with does not count.
	MaxUnappliedBytes int
	// Witness says that this node keeps no state: it is a witness, or a learner that is to be one, in
	// every configuration. It gets those entries as Committed that every full voter has on disk.
	Witness bool
	// MaxWitnessBytes bounds the log that a witness may not drop yet, because a full voter lacks it
	// (default 1 GiB). Beyond it, it takes only what a leader has accepted before it hears of that,
	// up to MaxPendingBytes more, and as much again with each new term.
	MaxWitnessBytes int
	// LeaseDuration is the lease that this node grants to a leader with each acknowledgement
	// (AppendEntriesReply.LeaseGrant); 0 means none. A node whose LeaseDuration is above 0
	// also serves lease reads while it leads. Members need not agree on it: a leader counts
	// what each of them has granted.
	LeaseDuration Nanos
	// MaxClockDrift is the largest share by which the rates of the clocks of two members may
	// differ, from 0 to below 1. A leader shortens each lease that it was granted by this share.
	MaxClockDrift float64
	// Now is what the clock shows when the node starts, or less.
	Now  Instant
	Rand Rand
	// FirstID is where this node begins to count its ReadIDs and Campaigns. No id may be used
	// again after a restart of the node; otherwise a late answer could be taken for the answer
	// to a new question. So FirstID must be far from that of every earlier run: a random number
	// will do. 0 means one drawn from Rand, which then must not repeat after a restart either.
	FirstID uint64
}

func (c Config) withDefaults() (Config, error) {
	defaults := []struct {
		name  string
		field *int
		value int
	}{
		{"HeartbeatTicks", &c.HeartbeatTicks, 1},
		{"ElectionTimeoutTicks", &c.ElectionTimeoutTicks, 10},
		{"MaxAppendBytes", &c.MaxAppendBytes, 1 << 20},
		{"MaxInflightAppends", &c.MaxInflightAppends, 256},
		{"MaxInflightBytes", &c.MaxInflightBytes, 16 << 20},
		{"MaxEntryBytes", &c.MaxEntryBytes, 8 << 20},
		{"MaxPendingBytes", &c.MaxPendingBytes, 64 << 20},
		{"MaxUnstableBytes", &c.MaxUnstableBytes, 64 << 20},
		{"MaxUnappliedBytes", &c.MaxUnappliedBytes, 64 << 20},
		{"MaxWitnessBytes", &c.MaxWitnessBytes, defaultWitnessBytes},
	}
	for _, d := range defaults {
		if *d.field == 0 {
			*d.field = d.value
		}
		if *d.field < 0 {
			return c, fmt.Errorf("raft: Config.%s is %d, and must not be negative", d.name, *d.field)
		}
	}
	switch {
	case c.ID == None:
		return c, fmt.Errorf("raft: Config.ID is zero")
	case c.Rand == nil:
		return c, fmt.Errorf("raft: Config.Rand is nil")
	case c.LeaseDuration > maxLeaseDuration:
		return c, fmt.Errorf("raft: Config.LeaseDuration of %d ns is more than a hundred years", c.LeaseDuration)
	case c.MaxClockDrift < 0 || c.MaxClockDrift >= 1:
		return c, fmt.Errorf("raft: Config.MaxClockDrift of %v is not a fraction", c.MaxClockDrift)
	case c.ElectionTimeoutTicks <= c.HeartbeatTicks:
		return c, fmt.Errorf("raft: Config.ElectionTimeoutTicks of %d is not above Config.HeartbeatTicks of %d", c.ElectionTimeoutTicks, c.HeartbeatTicks)
	}
	return c, nil
}
