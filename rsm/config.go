package rsm

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"balsa.example/raft"
)

// Config says how to run a replica. ID, Codec, Log and Transport are required, and either
// Machine and Snapshots, or Durable. A witness has only ID, Log, Snapshots and Transport. The rest
// has defaults.
type Config[Op, Result any] struct {
	ID        raft.NodeID
	Machine   StateMachine[Op, Result]
	Codec     Codec[Op]
	Log       Log
	Snapshots Snapshots // often the same value as Log
	Durable   DurableMachine[Op, Result]
	Transport Transport

	// Witness says that this replica is a witness: a voter that keeps the tail of the log and no
	// state (see package raft, witness.go). What is submitted to it, and reads, end with ErrWitness.
	Witness bool
	// MaxWitnessBytes bounds the log of a witness that it may not drop, because a replica with state
	// lacks it; it may take MaxPendingBytes more, and as much again with each new leader. Beyond it a
	// leader that needs the witness returns ErrBusy. It is kept in memory and on disk. Default 1 GiB.
	MaxWitnessBytes int64

	// MaxRaftState is how many bytes of log since the last snapshot trigger the next one, at
	// the latest. Members take theirs up to half of it earlier, so that they do not all write
	// at the same time. -1 means never. Default: 64 MiB, or half the size of the last snapshot
	// where that is more.
	MaxRaftState int64
	// HeartbeatInterval and ElectionTimeout default to 50 ms and 500 ms. An election
	// begins between one and two timeouts after the last message from a leader.
	HeartbeatInterval time.Duration
	ElectionTimeout   time.Duration
	// LeaseReads lets a leader serve reads of raft.ReadByLease without asking its followers.
	// A follower then promises, with each acknowledgement, to elect no leader for an
	// ElectionTimeout. Replicas need not agree on it: a lease rests on what a quorum has
	// promised. MaxClockDrift is the largest share by which the rates of two clocks of the
	// cluster may differ; a lease is shorter by that share. Default 0.1.
	LeaseReads    bool
	MaxClockDrift float64
	// Clock times leases. It must go on while the computer is suspended. Default:
	// CLOCK_BOOTTIME on Linux; elsewhere there is none, and LeaseReads has no effect.
	Clock func() time.Duration
	// MaxPendingBytes bounds the log that is not yet applied, and the log that is not yet on
	// the own disk, each. Beyond it Submit returns ErrBusy on a leader, and a follower takes
	// no more entries. Default 64 MiB. The same happens where the applied log reaches three
	// times MaxRaftState, because a snapshot takes long to write.
	MaxPendingBytes int64
	// MaxOpBytes bounds one encoded operation: Submit refuses a larger one with ErrTooLarge.
	// Default 8 MiB, at most MaxOpBytesLimit.
	MaxOpBytes int
	// Admit says whether this replica, if it leads, proposes an operation that another one
	// forwards: what Codec.Append made of it. Otherwise it gets ErrNotAdmitted. Admit is called by the
	// loop and must not block. Default: all are admitted. Operations of this replica's own are
	// the business of those who submit them.
	Admit func(op []byte) bool
	// First returns what this replica proposes when it leads, once in a term; false: nothing. It is asked when an
	// operation arrives, and what it returns comes before that. While entries of earlier terms are not executed,
	// which may make it needless, it is not proposed, and First is asked again with the next operation. The very
	// first operation of a cluster gets ErrBusy meanwhile, so that First comes before all others. What Refuse refuses
	// is not proposed. First is called by the loop and must not block. Default: nothing.
	First func() (op Op, ok bool)
	// Refuse says why an operation of this replica must not be proposed, nil if it may be:
	// other members may not know how to execute it, for instance, or it is too much work for them: then the error
	// wraps ErrTooLarge. Submit returns that error. Any goroutine calls it. Default: none is refused.
	Refuse func(op Op) error
	// OnConfiguration is told of the latest configuration in the log of this replica, and of the
	// committed one, at the start and whenever one changes: before the replica sends anything to a
	// new member, and before a ChangeConfiguration returns. Start calls it first, and then the loop.
	// It must not block.
	OnConfiguration func(latest, committed raft.Configuration)
	// Seed feeds the election timeouts. Zero: chosen at random.
	Seed   uint64
	Logger *slog.Logger
}

// MaxOpBytesLimit bounds Config.MaxOpBytes. Every Transport must be able to carry an operation
// of this size in one message.
const MaxOpBytesLimit = 32 << 20

// ticksPerHeartbeat makes the random election timeouts fine-grained, so that few elections
// collide.
const ticksPerHeartbeat = 5

func (c Config[Op, Result]) withDefaults() (Config[Op, Result], error) {
	c.setDefaults()
	if c.Witness && (c.Machine != nil || c.Durable != nil || c.Codec != nil) {
		return c, errors.New("rsm: Config.Witness is a replica without Machine, Durable and Codec: some are set")
	}
	if c.Witness {
		c.Machine, c.Codec = NoState[Op, Result]{}, NoState[Op, Result]{}
	}
	switch {
	case c.ID == raft.None:
		return c, errors.New("rsm: Config.ID is zero")
	case c.Codec == nil || c.Log == nil || c.Transport == nil:
		return c, errors.New("rsm: Config needs Codec, Log and Transport")
	case c.Durable == nil && (c.Machine == nil || c.Snapshots == nil):
		return c, errors.New("rsm: Config needs Machine and Snapshots, or Durable")
	case c.Durable != nil && (c.Machine != nil || c.Snapshots != nil):
		return c, errors.New("rsm: Config.Durable takes the place of Machine and Snapshots: all of them are set")
	}
	return c, c.checkSettings()
}

func (c *Config[Op, Result]) setDefaults() {
	orDuration := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	orBytes := func(b *int64, v int64) {
		if *b == 0 {
			*b = v
		}
	}
	orDuration(&c.HeartbeatInterval, 50*time.Millisecond)
	orDuration(&c.ElectionTimeout, 10*c.HeartbeatInterval)
	orBytes(&c.MaxPendingBytes, 64<<20)
	orBytes(&c.MaxWitnessBytes, 1<<30)
	if c.MaxOpBytes == 0 {
		c.MaxOpBytes = 8 << 20
	}
	if c.MaxClockDrift == 0 {
		c.MaxClockDrift = 0.1
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = bootTime
	}
	if c.Clock == nil {
		began := time.Now()
		c.Clock = func() time.Duration { return time.Since(began) }
		if c.LeaseReads {
			c.LeaseReads = false
			c.Logger.Warn("no lease reads: this system has no clock that goes on while it is suspended", "id", c.ID)
		}
	}
}

// Check tells what is wrong with the settings in c, nil if nothing is. ID, Log, Snapshots and
// Transport may still be missing. Start checks too; Check is for programs that have to know
// before they make a directory.
func (c Config[Op, Result]) Check() error {
	c.setDefaults()
	return c.checkSettings()
}

func (c *Config[Op, Result]) checkSettings() error {
	switch {
	case c.HeartbeatInterval < ticksPerHeartbeat*time.Microsecond*100:
		return fmt.Errorf("rsm: Config.HeartbeatInterval of %v is too short", c.HeartbeatInterval)
	case c.ElectionTimeout < 2*c.HeartbeatInterval:
		return fmt.Errorf("rsm: Config.ElectionTimeout of %v is less than two heartbeats of %v", c.ElectionTimeout, c.HeartbeatInterval)
	case c.MaxRaftState < -1:
		return fmt.Errorf("rsm: Config.MaxRaftState of %d is less than -1, which means never", c.MaxRaftState)
	case c.MaxOpBytes < 0 || c.MaxOpBytes > MaxOpBytesLimit:
		return fmt.Errorf("rsm: Config.MaxOpBytes of %d is not between 1 and %d", c.MaxOpBytes, MaxOpBytesLimit)
	case c.MaxPendingBytes < 0:
		return fmt.Errorf("rsm: Config.MaxPendingBytes of %d is negative", c.MaxPendingBytes)
	case c.MaxClockDrift < 0 || c.MaxClockDrift >= 1:
		return fmt.Errorf("rsm: Config.MaxClockDrift of %v is not a fraction", c.MaxClockDrift)
	}
	return nil
}

func (c *Config[Op, Result]) tick() time.Duration { return c.HeartbeatInterval / ticksPerHeartbeat }

// machine returns the machine as one that is durable, and what else it implements.
func (c *Config[Op, Result]) machine() (m DurableMachine[Op, Result], h Hasher, x Expediter) {
	if m = c.Durable; m != nil {
		h, _ = m.(Hasher)
		x, _ = m.(Expediter)
		return m, h, x
	}
	h, _ = c.Machine.(Hasher)
	x, _ = c.Snapshots.(Expediter)
	return WithSnapshots(c.Machine, c.Snapshots), h, x
}

func (c *Config[Op, Result]) snapshotPolicy() SnapshotPolicy {
	switch {
	case c.MaxRaftState != 0:
		return SnapshotPolicy{MaxRaftState: c.MaxRaftState}
	case c.Witness:
		return SnapshotPolicy{MaxRaftState: defaultWitnessLog}
	}
	return SnapshotPolicy{MaxRaftState: defaultMaxRaftState, Share: defaultSnapshotShare}
}

func (c *Config[Op, Result]) raftConfig() raft.Config {
	electionTicks := int(c.ElectionTimeout / c.tick())
	rc := raft.Config{
		ID:                   c.ID,
		HeartbeatTicks:       ticksPerHeartbeat,
		ElectionTimeoutTicks: electionTicks,
		MaxEntryBytes:        c.MaxOpBytes + maxNameBytes,
		MaxPendingBytes:      int(c.MaxPendingBytes),
		MaxUnstableBytes:     int(c.MaxPendingBytes),
		MaxUnappliedBytes:    int(c.MaxPendingBytes),
		Witness:              c.Witness,
		MaxWitnessBytes:      int(c.MaxWitnessBytes),
		Rand:                 rand.New(rand.NewPCG(c.Seed, uint64(c.ID))),
		FirstID:              rand.Uint64(), // never by Seed, which a restart may repeat
	}
	if c.LeaseReads {
		rc.LeaseDuration, rc.MaxClockDrift = raft.Nanos(c.ElectionTimeout), c.MaxClockDrift
	}
	return rc
}
