package raft

import "fmt"

// Rand is the source of the core's randomness: election timeouts, and Config.FirstID where
// that is not given. *math/rand/v2.Rand is one.
type Rand interface {
	IntN(n int) int
	Uint64() uint64
}

// Config is what New needs to know. ID and Rand are required; zero values of the
// others take the defaults named.
type Config struct {
	ID NodeID
	// HeartbeatTicks is the number of Ticks between heartbeats (default 1), and
	// ElectionTimeoutTicks the least number without word from a leader before an
	// election (default 10). Each election waits for between one and two of those.
	HeartbeatTicks       int
	ElectionTimeoutTicks int
	// MaxAppendBytes bounds the entries of one AppendEntries (default 1 MiB); a
	// larger single entry travels alone.
	MaxAppendBytes int
	// MaxInflightAppends and MaxInflightBytes bound what is sent to one peer and not
	// yet acknowledged (defaults 256 and 16 MiB).
	MaxInflightAppends int
	MaxInflightBytes   int
	// MaxEntryBytes bounds the data of one entry; a larger proposal is refused with
	// ErrTooLarge (default 8 MiB). What carries messages must be able to carry one such entry.
	MaxEntryBytes int
	// MaxPendingBytes bounds a leader's entries that are not yet applied; beyond it
	// Propose answers ErrBusy (default 64 MiB).
	MaxPendingBytes int
	// MaxUnstableBytes bounds the entries that are not on the own disk yet. Beyond it a
	// leader's Propose answers ErrBusy, and a follower takes only heartbeats, until the
	// disk has caught up (default 64 MiB). Since entries that a majority holds are executed
	// without the own disk, no other bound would stop what waits for it.
	MaxUnstableBytes int
	// MaxUnappliedBytes bounds a follower's entries that are not yet applied, those that it
	// started with apart; beyond it the follower takes more with each heartbeat, as it has
	// room again (default 64 MiB).
	MaxUnappliedBytes int
	// LeaseDuration is the lease that this node grants to a leader with each acknowledgement
	// (AppendEntriesReply.LeaseGrant); 0 means none. A node whose LeaseDuration is above 0
	// also serves lease reads while it leads. Members need not agree on it: a leader counts
	// what each of them has granted.
	LeaseDuration Nanos
	// MaxClockDrift is the largest share by which the rates of two members' clocks may
	// differ: a leader counts on so much less of a promise.
	MaxClockDrift float64
	// Now is what the clock shows at the start, or less.
	Now  Instant
	Rand Rand
	// FirstID is where this node begins to count its ReadIDs and Campaigns. No id may come
	// again after a restart of the node, or a late answer could be taken for one to a new
	// question. So FirstID must be far from that of every earlier run: a random number will
	// do. 0 means one drawn from Rand, which then must not repeat itself either.
	FirstID uint64
}

func (c Config) withDefaults() (Config, error) {
	defaults := []struct {
		field *int
		value int
	}{
		{&c.HeartbeatTicks, 1},
		{&c.ElectionTimeoutTicks, 10},
		{&c.MaxAppendBytes, 1 << 20},
		{&c.MaxInflightAppends, 256},
		{&c.MaxInflightBytes, 16 << 20},
		{&c.MaxEntryBytes, 8 << 20},
		{&c.MaxPendingBytes, 64 << 20},
		{&c.MaxUnstableBytes, 64 << 20},
		{&c.MaxUnappliedBytes, 64 << 20},
	}
	for _, d := range defaults {
		if *d.field == 0 {
			*d.field = d.value
		}
		if *d.field < 0 {
			return c, fmt.Errorf("raft: a limit in Config is negative: %d", *d.field)
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
		return c, fmt.Errorf("raft: election timeout of %d ticks is not above the heartbeat's %d", c.ElectionTimeoutTicks, c.HeartbeatTicks)
	}
	return c, nil
}
